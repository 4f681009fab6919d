// Package deadletter is the form of a dead letter: a row that a destination has refused,
// with its place and the reason. A letter is an entry of one row (package entry), whose
// columns are those of [Schema]; golden files pin it.
package deadletter

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
)

// Letter is a row that a destination has refused.
type Letter struct {
	Block  block.Number
	ID     string // of the row in its block; see [IDs]
	Row    int    // position in its entry of the log
	Column string // "": the row as a whole
	Value  string // for people, cut; "": not known
	Error  string // what is wrong and what to do

	Origin // the entry that brought the row

	// Source is the row, alone in a record, as the source sent it.
	Source arrow.RecordBatch
}

// Origin is an entry of the log.
type Origin struct {
	Live       bool // of the live lane, else of a partition
	Epoch, Seq uint64
}

// VoidAfter reports whether a row of o is void when a change of the live lane, of that epoch
// and sequence, has taken its block back. Of the live lane it is if it stands before the
// change; a log that was made anew counts from 1 again, in a higher epoch. History is
// applied beside the live lane, in any order: what it has brought by then is void, and
// what it brings in a later epoch is not.
func (o Origin) VoidAfter(epoch, seq uint64) bool {
	if !o.Live {
		return o.Epoch <= epoch
	}
	return cmp.Or(cmp.Compare(o.Epoch, epoch), cmp.Compare(o.Seq, seq)) < 0
}

// Release frees the row.
func (l Letter) Release() {
	if l.Source != nil {
		l.Source.Release()
	}
}

// Columns of a letter's payload.
const (
	columnBlock = iota
	columnRow
	columnColumn
	columnValue
	columnError
	columnSource
	columns
)

// Schema returns the columns of the letters of rows with a schema.
func Schema(rows *arrow.Schema) *arrow.Schema {
	fields := make([]arrow.Field, columns)
	fields[columnBlock] = arrow.Field{Name: "block", Type: arrow.PrimitiveTypes.Uint64}
	fields[columnRow] = arrow.Field{Name: "row", Type: arrow.PrimitiveTypes.Uint64}
	fields[columnColumn] = arrow.Field{Name: "column", Type: arrow.BinaryTypes.String, Nullable: true}
	fields[columnValue] = arrow.Field{Name: "value", Type: arrow.BinaryTypes.String, Nullable: true}
	fields[columnError] = arrow.Field{Name: "error", Type: arrow.BinaryTypes.String}
	fields[columnSource] = arrow.Field{Name: "source", Type: arrow.StructOf(rows.Fields()...)}
	return arrow.NewSchema(fields, nil)
}

// Headers that a letter has beside those of an entry.
const (
	headerSeq  = "Ampipe-Seq"  // sequence of the entry in the log that brought the row
	headerLane = "Ampipe-Lane" // that the entry is in: live or history

	laneLive, laneHistory = "live", "history"
)

// Message is a letter as it is published: headers and payload.
type Message struct {
	Header  map[string][]string
	Payload []byte
}

// Encoder writes letters of rows with one schema. It is not safe for concurrent use.
type Encoder struct {
	schema *arrow.Schema
	entry  *entry.Encoder
}

// NewEncoder returns an encoder of letters whose payloads have at most limit bytes.
func NewEncoder(rows *arrow.Schema, limit int) (*Encoder, error) {
	schema := Schema(rows)
	e, err := entry.NewEncoder(schema, entry.S2, limit)
	if err != nil {
		return nil, err
	}
	return &Encoder{schema, e}, nil
}

// Encode returns the message of a letter. One that is larger than the limit is an
// [entry.TooLargeError].
func (e *Encoder) Encode(l Letter) (Message, error) {
	rec, err := e.record(l)
	if err != nil {
		return Message{}, fmt.Errorf("write the dead letter of block %d, row %d: %w", l.Block, l.Row, err)
	}
	defer rec.Release()
	written, err := e.entry.Encode(entry.Header{Epoch: l.Epoch, Range: block.Closed(l.Block, l.Block)}, []arrow.RecordBatch{rec})
	if err != nil {
		return Message{}, fmt.Errorf("write the dead letter of block %d, row %d: %w", l.Block, l.Row, err)
	}
	header := written.Map()
	header[headerSeq] = []string{strconv.FormatUint(l.Seq, 10)}
	header[headerLane] = []string{laneHistory}
	if l.Live {
		header[headerLane] = []string{laneLive}
	}
	return Message{header, written.Payload}, nil
}

// record returns the letter as one row.
func (e *Encoder) record(l Letter) (arrow.RecordBatch, error) {
	if l.Source.NumRows() != 1 {
		return nil, fmt.Errorf("a letter has one row, not %d", l.Source.NumRows())
	}
	source := e.schema.Field(columnSource).Type.(*arrow.StructType)
	values := make([]arrow.Array, l.Source.NumCols())
	for i, column := range l.Source.Columns() {
		values[i] = alone(column)
		defer values[i].Release()
	}
	row, err := array.NewStructArrayWithFields(values, source.Fields())
	if err != nil {
		return nil, err
	}
	defer row.Release()
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(e.schema.Fields()[:columnSource], nil))
	defer b.Release()
	b.Field(columnBlock).(*array.Uint64Builder).Append(uint64(l.Block))
	b.Field(columnRow).(*array.Uint64Builder).Append(uint64(l.Row))
	for column, text := range map[int]string{columnColumn: l.Column, columnValue: l.Value} {
		if text == "" {
			b.Field(column).AppendNull()
			continue
		}
		b.Field(column).(*array.StringBuilder).Append(text)
	}
	b.Field(columnError).(*array.StringBuilder).Append(l.Error)
	place := b.NewRecordBatch()
	defer place.Release()
	return array.NewRecordBatch(e.schema, append(place.Columns()[:columnSource:columnSource], row), 1), nil
}

// alone returns a column of one value, which the caller releases. Its dictionary, which
// would be written with it, has no other values.
func alone(column arrow.Array) arrow.Array {
	d, isDictionary := column.(*array.Dictionary)
	if !isDictionary || d.IsNull(0) {
		column.Retain()
		return column
	}
	at := int64(d.GetValueIndex(0))
	word := array.NewSlice(d.Dictionary(), at, at+1)
	defer word.Release()
	b := array.NewBuilder(memory.DefaultAllocator, d.DataType().(*arrow.DictionaryType).IndexType)
	defer b.Release()
	b.AppendEmptyValue() // 0
	index := b.NewArray()
	defer index.Release()
	return array.NewDictionaryArray(d.DataType(), index, word)
}

// Parse reads the headers of a message, which it returns as an entry as well.
func Parse(header map[string][]string, payload []byte) (Origin, entry.Entry, error) {
	e, err := entry.Parse(header, payload)
	if err != nil {
		return Origin{}, e, err
	}
	if len(header[headerSeq]) != 1 || len(header[headerLane]) != 1 {
		return Origin{}, e, errNoLetter
	}
	seq, err := strconv.ParseUint(header[headerSeq][0], 10, 64)
	if err != nil || e.Kind != entry.Data || e.Range.Len() != 1 || e.Rows != 1 {
		return Origin{}, e, errNoLetter
	}
	return Origin{Live: header[headerLane][0] == laneLive, Epoch: e.Epoch, Seq: seq}, e, nil
}

var errNoLetter = errors.New("the message is not a dead letter: it is damaged, or was not written by ampipe")

// Decode reads a message. The caller releases the letter, and sets its ID, which is part of
// the subject.
func Decode(header map[string][]string, payload []byte) (Letter, error) {
	origin, e, err := Parse(header, payload)
	if err != nil {
		return Letter{}, err
	}
	schema, recs, err := entry.NewDecoder(nil).Decode(e)
	if err != nil {
		return Letter{}, err
	}
	defer func() {
		for _, rec := range recs {
			rec.Release()
		}
	}()
	if len(recs) != 1 || schema.NumFields() != columns {
		return Letter{}, errNoLetter
	}
	rec := recs[0]
	number, isNumber := rec.Column(columnBlock).(*array.Uint64)
	row, isRow := rec.Column(columnRow).(*array.Uint64)
	column, isColumn := rec.Column(columnColumn).(*array.String)
	value, isValue := rec.Column(columnValue).(*array.String)
	reason, isReason := rec.Column(columnError).(*array.String)
	source, isSource := rec.Column(columnSource).(*array.Struct)
	if !isNumber || !isRow || !isColumn || !isValue || !isReason || !isSource || number.Value(0) != uint64(e.Range.Start) {
		return Letter{}, errNoLetter
	}
	fields := make([]arrow.Array, source.NumField())
	for i := range fields {
		fields[i] = source.Field(i)
	}
	l := Letter{
		Block: e.Range.Start, Row: int(row.Value(0)), Error: reason.Value(0), Origin: origin,
		Source: array.NewRecordBatch(arrow.NewSchema(source.DataType().(*arrow.StructType).Fields(), nil), fields, 1),
	}
	if column.IsValid(0) {
		l.Column = column.Value(0)
	}
	if value.IsValid(0) {
		l.Value = value.Value(0)
	}
	return l, nil
}
