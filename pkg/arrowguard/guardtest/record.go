package guardtest

import (
	"bytes"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Schema has a column of every shape that a record batch can have.
var Schema = arrow.NewSchema([]arrow.Field{
	{Name: "block", Type: arrow.PrimitiveTypes.Uint64},
	{Name: "bool", Type: arrow.FixedWidthTypes.Boolean, Nullable: true},
	{Name: "hash", Type: &arrow.FixedSizeBinaryType{ByteWidth: 4}, Nullable: true},
	{Name: "text", Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: "large", Type: arrow.BinaryTypes.LargeString, Nullable: true},
	{Name: "view", Type: arrow.BinaryTypes.StringView, Nullable: true},
	{Name: "bytes", Type: arrow.BinaryTypes.Binary, Nullable: true},
	{Name: "value", Type: &arrow.Decimal128Type{Precision: 38, Scale: 2}, Nullable: true},
	{Name: "time", Type: &arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: "UTC"}},
	{Name: "null", Type: arrow.Null, Nullable: true},
	{Name: "list", Type: arrow.ListOf(arrow.BinaryTypes.String), Nullable: true},
	{Name: "largelist", Type: arrow.LargeListOf(arrow.PrimitiveTypes.Int32), Nullable: true},
	{Name: "listview", Type: arrow.ListViewOf(arrow.PrimitiveTypes.Int32), Nullable: true},
	{Name: "pair", Type: arrow.FixedSizeListOf(2, arrow.PrimitiveTypes.Int16), Nullable: true},
	{Name: "map", Type: arrow.MapOf(arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int32), Nullable: true},
	{Name: "struct", Type: arrow.StructOf(
		arrow.Field{Name: "a", Type: arrow.BinaryTypes.String, Nullable: true},
		arrow.Field{Name: "b", Type: arrow.ListOf(arrow.PrimitiveTypes.Uint8), Nullable: true},
	), Nullable: true},
	{Name: "word", Type: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int16, ValueType: arrow.BinaryTypes.String}, Nullable: true},
	{Name: "sparse", Type: arrow.SparseUnionOf(fields, []arrow.UnionTypeCode{3, 5})},
	{Name: "dense", Type: arrow.DenseUnionOf(fields, []arrow.UnionTypeCode{3, 5})},
	{Name: "runs", Type: arrow.RunEndEncodedOf(arrow.PrimitiveTypes.Int32, arrow.BinaryTypes.String)},
}, nil)

var fields = []arrow.Field{
	{Name: "n", Type: arrow.PrimitiveTypes.Int32, Nullable: true},
	{Name: "s", Type: arrow.BinaryTypes.String, Nullable: true},
}

// Record returns three rows of [Schema], the second with nulls where it may.
func Record(t testing.TB) arrow.RecordBatch {
	t.Helper()
	row := `{"block": 7, "bool": true, "hash": "3q2+7w==", "text": "short", "large": "short", "view": "a text that does not fit into its view",
		"bytes": "AQID", "value": "1.25", "time": "2026-11-29T00:00:00Z", "null": null, "list": ["a", null, "bc"], "largelist": [1, 2],
		"listview": [3, 4], "pair": [5, 6], "map": [{"key": "k", "value": 8}], "struct": {"a": "x", "b": [9]}, "word": "one",
		"sparse": [3, 11], "dense": [5, "union"], "runs": "run"}`
	rows := "[" + row + `, {"block": 8, "time": "2026-11-29T00:00:01Z", "sparse": [5, "s"], "dense": [3, 12], "runs": "run"},` + row + "]"
	rec, _, err := array.RecordFromJSON(memory.DefaultAllocator, Schema, strings.NewReader(rows))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(rec.Release)
	return rec
}

// Message is a message of a stream.
type Message struct{ Metadata, Body []byte }

// Write returns the messages that the Arrow library's writer makes of record
// batches, the first being the schema.
func Write(t testing.TB, recs []arrow.RecordBatch, options ...ipc.Option) []Message {
	t.Helper()
	var all messages
	w := ipc.NewWriterWithPayloadWriter(&all, append(options, ipc.WithSchema(recs[0].Schema()))...)
	for _, rec := range recs {
		if err := w.Write(rec); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return all
}

// messages collects what a writer sends.
type messages []Message

func (m *messages) Start() error { return nil }
func (m *messages) Close() error { return nil }

func (m *messages) WritePayload(p ipc.Payload) error {
	header := p.Meta()
	defer header.Release()
	var body bytes.Buffer
	err := p.SerializeBody(&body)
	*m = append(*m, Message{bytes.Clone(header.Bytes()), body.Bytes()})
	return err
}
