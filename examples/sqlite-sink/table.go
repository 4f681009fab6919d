package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/arrowfmt"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
)

// table is the table of a sink, and the statements for it.
//
// Without a key, rows are appended to the table itself. With one, the table is a view of
// the newest version of each row, and all versions are in a table beside it: what a reorg
// takes away uncovers the version before it.
type table struct {
	sink.Values
	name, rows string // what is read, and the table that is written; quoted
	owner      string // the sink
	columns    []string
	types      []string // of SQLite
	block      string   // the block column
}

func newTable(c Config, t sink.Table) (*table, error) {
	g := &table{name: quoted(c.Table), rows: quoted(c.Table), owner: t.Pipeline + "/" + t.Sink}
	g.Table, g.Column = t, cells
	seen := map[string]bool{}
	for _, f := range t.Schema.Fields() {
		name := strings.ToLower(f.Name) // SQLite's names differ in more than case
		if seen[name] {
			return nil, fault.Permanent(fmt.Errorf("two columns are called %q: rename one in the query, with AS", f.Name))
		}
		seen[name] = true
		of, _ := columnType(f.Type)
		g.columns, g.types = append(g.columns, quoted(f.Name)), append(g.types, of)
	}
	g.block = g.columns[t.BlockColumn]
	for _, name := range c.Key {
		found := t.Schema.FieldIndices(name)
		if len(found) == 0 {
			return nil, fault.Permanent(fmt.Errorf("the query has no column %q, which key names: change one of them", name))
		}
		g.Key = append(g.Key, found[0])
	}
	if g.Key != nil {
		g.rows = quoted(c.Table + "_versions")
	}
	return g, nil
}

func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// definition is the statements that make the table.
func (g *table) definition() string {
	var lines, key, same []string
	for i, c := range g.columns {
		lines = append(lines, c+" "+g.types[i])
	}
	for _, i := range g.Key {
		key, same = append(key, g.columns[i]), append(same, fmt.Sprintf("newer.%s = v.%s", g.columns[i], g.columns[i]))
	}
	if g.Key != nil {
		if !g.Windowed() {
			key = append(key, g.block) // a version for each block
		}
		lines = append(lines, "PRIMARY KEY ("+strings.Join(key, ", ")+")")
	}
	text := fmt.Sprintf("CREATE TABLE %s (\n  %s\n) STRICT;\nCREATE INDEX %s ON %s (%s);",
		g.rows, strings.Join(lines, ",\n  "), quoted("by block of "+g.rows), g.rows, g.block)
	if g.Key != nil {
		text += fmt.Sprintf("\nCREATE VIEW %s AS SELECT %s FROM %s AS v\n"+
			"WHERE NOT EXISTS (SELECT 1 FROM %s AS newer WHERE %s AND newer.%s > v.%s);",
			g.name, strings.Join(g.columns, ", "), g.rows, g.rows, strings.Join(same, " AND "), g.block, g.block)
	}
	return text
}

// insert writes a row. With a key, it replaces the one that its block has of the key.
func (g *table) insert() string {
	return fmt.Sprintf("INSERT OR REPLACE INTO %s VALUES (?%s)", g.rows, strings.Repeat(", ?", len(g.columns)-1))
}

// ofBlocks completes a statement about the rows of [from, to].
func (g *table) ofBlocks(statement string) string {
	return statement + " WHERE " + g.block + " BETWEEN ? AND ?"
}

// columnType returns the type of SQLite for values of an Arrow type, and what reads a value
// of it from its text. What SQLite has no type for, such as times, decimals and lists, is
// text. A value that SQLite would change is refused.
func columnType(t arrow.DataType) (name string, parse func(s string) (value any, reason string)) {
	t = arrowfmt.Underlying(t)
	switch {
	case arrow.IsInteger(t.ID()), t.ID() == arrow.BOOL:
		return "INTEGER", integer
	case arrow.IsFloating(t.ID()):
		return "REAL", real
	case arrowfmt.IsBytes(t):
		return "BLOB", nil
	default:
		return "TEXT", func(s string) (any, string) { return s, "" }
	}
}

// cells returns what reads the values of a column as SQLite stores them.
func cells(_ int, column arrow.Array) func(i int) (value any, reason string) {
	_, parse := columnType(column.DataType())
	if parse == nil {
		value := arrowfmt.Bytes(column)
		return func(i int) (any, string) { return append([]byte{}, value(i)...), "" }
	}
	write := arrowfmt.Options(0).Text(column)
	return func(i int) (any, string) { return parse(string(write(nil, i))) }
}

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
	return v + 0, "" // it has no negative zero
}
