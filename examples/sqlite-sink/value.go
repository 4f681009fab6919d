package main

import (
	"fmt"
	"math"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/ampipe/ampipe/pkg/arrowfmt"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
)

// typeOf returns the type of SQLite for values of an Arrow type. What SQLite has no type
// for, such as times, decimals and lists, is text.
func typeOf(t arrow.DataType) string {
	t = arrowfmt.Underlying(t)
	switch {
	case arrow.IsInteger(t.ID()), t.ID() == arrow.BOOL:
		return "INTEGER"
	case arrow.IsFloating(t.ID()):
		return "REAL"
	case arrowfmt.IsBytes(t):
		return "BLOB"
	default:
		return "TEXT"
	}
}

// cell reads value i of a column as what SQLite stores, or says why it cannot store it.
type cell func(i int) (value any, reason string)

// cellsOf returns the cells of a column. Their values own their memory: the column is
// borrowed.
func cellsOf(column arrow.Array, kind string) cell {
	nulls := arrowfmt.NullsOf(column)
	read := valuesOf(column, kind)
	return func(i int) (any, string) {
		if nulls.Null(i) {
			return nil, ""
		}
		return read(i)
	}
}

// valuesOf reads values that are not NULL.
func valuesOf(column arrow.Array, kind string) cell {
	if d, is := column.(*array.Dictionary); is {
		values := cellsOf(d.Dictionary(), kind)
		return func(i int) (any, string) { return values(d.GetValueIndex(i)) }
	}
	if kind == "BLOB" {
		value := arrowfmt.Bytes(column)
		return func(i int) (any, string) { return append([]byte{}, value(i)...), "" }
	}
	parse := map[string]func(string) (any, string){"INTEGER": integer, "REAL": real, "TEXT": text}[kind]
	write := arrowfmt.Options(0).Text(column)
	return func(i int) (any, string) { return parse(string(write(nil, i))) }
}

func text(s string) (any, string) { return s, "" }

func integer(s string) (any, string) {
	switch s {
	case "false":
		return int64(0), ""
	case "true":
		return int64(1), ""
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return s, "it is above the highest integer of SQLite; cast the column to a text in the query"
	}
	return n, ""
}

func real(s string) (any, string) {
	v, _ := strconv.ParseFloat(s, 64) // it was a float
	if math.IsNaN(v) {
		return s, "SQLite would store it as NULL; replace it in the query"
	}
	return v + 0, "" // SQLite has no negative zero
}

// rowReader reads the rows of a record, which it borrows.
type rowReader struct {
	table  *table
	blocks sink.Blocks
	cells  []cell
}

func (g *table) reader(rec arrow.RecordBatch) (*rowReader, error) {
	blocks, err := sink.BlocksOf(rec, g.BlockColumn)
	if err != nil {
		return nil, err
	}
	r := &rowReader{table: g, blocks: blocks}
	for i, column := range rec.Columns() {
		r.cells = append(r.cells, cellsOf(column, g.types[i]))
	}
	return r, nil
}

// row returns the values of row i, whose position in its entry is at.
func (r *rowReader) row(i, at int) ([]any, error) {
	values := make([]any, len(r.cells))
	for c, cell := range r.cells {
		value, reason := cell(i)
		if reason != "" {
			return nil, r.refuse(i, at, c, fmt.Sprint(value), reason)
		}
		values[c] = value
	}
	for _, c := range r.table.key {
		if values[c] == nil {
			return nil, r.refuse(i, at, c, "NULL", "the column is of the key, in which NULL is not allowed; leave such rows out in the query")
		}
	}
	return values, nil
}

func (r *rowReader) refuse(i, at, column int, value, reason string) error {
	return fault.Permanent(&sink.BadRowError{
		Block: r.blocks.At(i), Row: at, Column: r.table.Schema.Field(column).Name, Value: fault.Shorten(value, 100), Reason: reason,
	})
}
