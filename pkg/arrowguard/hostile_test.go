package arrowguard

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"

	"github.com/ampipe/ampipe/pkg/arrowguard/guardtest"
)

// forged is an answer that one thing is wrong with: a record batch of three rows, and
// what was done to its messages.
type forged struct {
	name    string
	column  string // of guardtest.Schema; empty: all
	options []ipc.Option
	forge   func(m []guardtest.Message)
	want    string // in the error
}

// last is the record batch of an answer.
func last(m []guardtest.Message) guardtest.Message { return m[len(m)-1] }

// batchOf returns the table of a record batch.
func batchOf(m []guardtest.Message) table {
	return parse(last(m).Metadata).child(slotMessageHeader)
}

// fieldOf returns the table of the first column in the schema.
func fieldOf(m []guardtest.Message) table {
	return parse(m[0].Metadata).child(slotMessageHeader).list(slotSchemaFields, 4).item(0)
}

// set overwrites one of the 64-bit numbers of an item.
func (l list) set(item, n int, to int64) {
	binary.LittleEndian.PutUint64(l.Bytes[int(l.start)+item*l.size+8*n:], uint64(to))
}

// setNode forges the length (n = 0) or the null count (n = 1) of a field.
func setNode(node, n int, to int64) func([]guardtest.Message) {
	return func(m []guardtest.Message) { batchOf(m).list(slotBatchNodes, 16).set(node, n, to) }
}

// setBuffer forges the offset (n = 0) or the length (n = 1) of a buffer.
func setBuffer(buffer, n int, to int64) func([]guardtest.Message) {
	return func(m []guardtest.Message) { batchOf(m).list(slotBatchBuffers, 16).set(buffer, n, to) }
}

// setBody forges the bytes of a buffer, from a position in it on.
func setBody(buffer, at int, bytes ...byte) func([]guardtest.Message) {
	return func(m []guardtest.Message) {
		start := int(batchOf(m).list(slotBatchBuffers, 16).int64(buffer, 0))
		copy(last(m).Body[start+at:], bytes)
	}
}

// setInt32 forges a number in a buffer.
func setInt32(buffer, at int, to int32) func([]guardtest.Message) {
	return setBody(buffer, 4*at, binary.LittleEndian.AppendUint32(nil, uint32(to))...)
}

var forgeries = []forged{
	{name: "a compressed buffer of 2^45 bytes", column: "text", options: []ipc.Option{ipc.WithLZ4()}, want: "compressed", forge: setBody(0, 0, 0, 0, 0, 0, 0, 0x20, 0, 0)},
	{name: "a compressed body", options: []ipc.Option{ipc.WithZstd()}, want: "compressed"},
	{name: "a view into a buffer that does not exist", column: "view", want: "into buffer 9 of 1", forge: setInt32(1, 2, 9)},
	{name: "a view into a negative buffer", column: "view", want: "into buffer -1 of 1", forge: setInt32(1, 2, -1)},
	{name: "a view behind its buffer", column: "view", want: "38 bytes at 1073741824 of a buffer of 76", forge: setInt32(1, 3, 1<<30)},
	{name: "a view before its buffer", column: "view", want: "38 bytes at -5", forge: setInt32(1, 3, -5)},
	{name: "a view of negative length", column: "view", want: "a size of -5", forge: setInt32(1, 0, -5)},
	{name: "a view with another prefix", column: "view", want: "begins with other bytes", forge: setInt32(1, 1, 77)},
	{name: "a number of view buffers", column: "view", want: "announces 1099511627776 buffers", forge: func(m []guardtest.Message) { batchOf(m).list(slotBatchVariadic, 8).set(0, 0, 1<<40) }},
	{name: "a negative number of view buffers", column: "view", want: "announces -1 buffers", forge: func(m []guardtest.Message) { batchOf(m).list(slotBatchVariadic, 8).set(0, 0, -1) }},
	{name: "fewer view buffers than there are", column: "view", want: "into buffer 0 of 0", forge: func(m []guardtest.Message) { batchOf(m).list(slotBatchVariadic, 8).set(0, 0, 0) }},

	{name: "a buffer behind the body", column: "text", want: "outside the body", forge: setBuffer(1, 0, 1<<40)},
	{name: "a buffer before the body", column: "text", want: "outside the body", forge: setBuffer(1, 0, -8)},
	{name: "a buffer longer than the body", column: "text", want: "outside the body", forge: setBuffer(2, 1, 1<<62)},
	{name: "a buffer of negative length", column: "text", want: "outside the body", forge: setBuffer(2, 1, -1)},
	{name: "offset and length that overflow", column: "text", want: "outside the body", forge: func(m []guardtest.Message) {
		setBuffer(2, 0, 1<<62)(m)
		setBuffer(2, 1, 1<<62)(m)
	}},
	{name: "buffers that overlap", column: "text", want: "inside the one before", forge: setBuffer(2, 0, 8)},
	{name: "a buffer between two numbers", column: "block", want: "no multiple of 8", forge: func(m []guardtest.Message) {
		setBuffer(1, 0, 1)(m)
		setBuffer(1, 1, 16)(m)
	}},
	{name: "a buffer that is too short", column: "block", want: "3 values of 64 bits have 8 bytes", forge: setBuffer(1, 1, 8)},
	{name: "no buffer", column: "block", want: "have 0 bytes", forge: setBuffer(1, 1, 0)},
	{name: "no offsets", column: "text", want: "the offsets of its 3 values have 0 bytes", forge: setBuffer(1, 1, 0)},
	{name: "a bitmap that is too short", column: "text", want: "the bitmap of its 3 values has 0 bytes", forge: setBuffer(0, 1, 0)},

	{name: "offsets that descend", column: "text", want: "the offset after value 1 is 5, less than the one before it, 9", forge: setInt32(1, 1, 9)},
	{name: "offsets behind the text", column: "text", want: "end at 1073741824, there are only 10", forge: setInt32(1, 3, 1<<30)},
	{name: "negative offsets", column: "text", want: "first offset is -1", forge: setInt32(1, 0, -1)},
	{name: "long offsets that descend", column: "large", want: "less than the one before", forge: setInt32(1, 2, 9)},
	{name: "long offsets behind the text", column: "large", want: "there are only 10", forge: setInt32(1, 7, 1)},
	{name: "binary offsets behind the bytes", column: "bytes", want: "there are only 6", forge: setInt32(1, 3, 99)},
	{name: "list offsets behind the items", column: "list", want: "there are only 6", forge: setInt32(1, 3, 99)},
	{name: "list offsets that descend", column: "list", want: "less than the one before", forge: setInt32(1, 1, 6)},
	{name: "text in a list", column: "list", want: `inside, field "item": the offset after value`, forge: setInt32(3, 1, 99)},
	{name: "long list offsets behind the items", column: "largelist", want: "there are only 4", forge: setInt32(1, 6, 99)},
	{name: "map offsets behind the entries", column: "map", want: "there are only 2", forge: setInt32(1, 3, 99)},
	{name: "text in a map", column: "map", want: `inside, field "key"`, forge: setInt32(4, 1, 99)},
	{name: "text in a struct", column: "struct", want: `inside, field "a"`, forge: setInt32(2, 1, 99)},
	{name: "a list view behind the items", column: "listview", want: "list 0 has 2 items at 99", forge: setInt32(1, 0, 99)},
	{name: "a list view longer than the items", column: "listview", want: "list 0 has 99 items", forge: setInt32(2, 0, 99)},
	{name: "a list view of negative size", column: "listview", want: "list 0 has -1 items", forge: setInt32(2, 0, -1)},
	{name: "fewer items than fixed-size lists", column: "pair", want: "5 values where 6 belong", forge: setNode(1, 0, 5)},
	{name: "fewer values than structs", column: "struct", want: "2 values where 3 belong", forge: setNode(1, 0, 2)},
	{name: "an index behind the dictionary", column: "word", want: "number 9 of a dictionary of 1", forge: setBody(1, 0, 9, 0)},
	{name: "an index before the dictionary", column: "word", want: "number -1 of a dictionary", forge: setBody(1, 0, 0xff, 0xff)},
	{name: "no dictionary", column: "word", want: "dictionar", forge: func(m []guardtest.Message) { m[1] = m[2] }},
	{name: "a union of a type that does not exist", column: "sparse", want: "type id 4", forge: setBody(0, 0, 4)},
	{name: "a union of a negative type", column: "dense", want: "type id -128", forge: setBody(0, 0, 0x80)},
	{name: "a union offset behind its values", column: "dense", want: "number 99 of the", forge: setInt32(1, 0, 99)},
	{name: "a negative union offset", column: "dense", want: "number -1 of the", forge: setInt32(1, 0, -1)},
	{name: "runs that end too early", column: "runs", want: "runs end at 1, there are 3 values", forge: setInt32(1, 0, 1)},
	{name: "runs that end before they begin", column: "runs", want: "run 0 ends at -1", forge: setInt32(1, 0, -1)},

	{name: "bytes that are no text", column: "text", want: "value 0 is not UTF-8", forge: setBody(2, 0, 0xff)},
	{name: "bytes that are no text, in a list", column: "list", want: "value 0 is not UTF-8", forge: setBody(4, 0, 0xff)},
	{name: "bytes that are no text, in a view", column: "view", want: "value 0 is not UTF-8", forge: func(m []guardtest.Message) {
		setBody(2, 0, 0xff)(m)
		setBody(1, 4, 0xff)(m)
	}},
	{name: "text that ends inside a character", column: "text", want: "value 0 is not UTF-8", forge: setBody(2, 4, 0xc3, 0xa9)},

	{name: "more nulls than values", column: "text", want: "4 nulls among 3", forge: setNode(0, 1, 4)},
	{name: "a negative number of nulls", column: "text", want: "-1 nulls", forge: setNode(0, 1, -1)},
	{name: "nulls that are not there", column: "text", want: "announces 2 nulls among 3 values and has 1", forge: setNode(0, 1, 2)},
	{name: "a negative number of values", column: "text", want: "-1 values in", forge: setNode(0, 0, -1)},
	{name: "more values than rows", column: "text", want: "", forge: setNode(0, 0, 4)},
	{name: "2^40 nulls", column: "null", want: "announces 1099511627776 values", forge: setNode(0, 0, 1<<40)},
	{name: "2^40 rows", column: "null", want: "1099511627776 rows", forge: func(m []guardtest.Message) {
		setNode(0, 0, 1<<40)(m)
		setRows(m, 1<<40)
	}},
	{name: "a negative number of rows", column: "block", want: "-3 rows", forge: func(m []guardtest.Message) { setRows(m, -3) }},

	{name: "a second schema", column: "block", want: "a second schema", forge: func(m []guardtest.Message) { m[1] = m[0] }},
	{name: "no schema", column: "block", want: "instead of a schema", forge: func(m []guardtest.Message) { m[0] = m[1] }},
	{name: "a message of another kind", column: "block", want: "kind 4", forge: func(m []guardtest.Message) {
		message := parse(m[1].Metadata)
		message.Bytes[message.at(slotMessageType)] = 4
	}},
	{name: "an old version", column: "block", want: "version V4", forge: func(m []guardtest.Message) {
		message := parse(m[1].Metadata)
		message.Bytes[message.at(slotMessageVersion)] = 3
	}},
	{name: "a batch of another schema", column: "block", want: "has not the fields inside", forge: func(m []guardtest.Message) {
		fieldOf(m).Bytes[fieldOf(m).at(slotFieldKind)] = 12 // a list, without its child
	}},
	{name: "a wide fixed-size binary", column: "hash", want: "it must be 1 to 16777216", forge: func(m []guardtest.Message) {
		t := fieldOf(m).child(slotFieldType)
		binary.LittleEndian.PutUint32(t.Bytes[t.at(4):], 1<<31-1)
	}},
	{name: "a fixed-size binary of no bytes", column: "hash", want: "it must be 1 to 16777216", forge: func(m []guardtest.Message) {
		t := fieldOf(m).child(slotFieldType)
		binary.LittleEndian.PutUint32(t.Bytes[t.at(4):], 0)
	}},
	{name: "a wide fixed-size list", column: "pair", want: "it must be 1 to 16777216", forge: func(m []guardtest.Message) {
		t := fieldOf(m).child(slotFieldType)
		binary.LittleEndian.PutUint32(t.Bytes[t.at(4):], 1<<31-1)
	}},
	{name: "a fixed-size list of fewer than none", column: "pair", want: "it must be 1 to 16777216", forge: func(m []guardtest.Message) {
		t := fieldOf(m).child(slotFieldType)
		binary.LittleEndian.PutUint32(t.Bytes[t.at(4):], 1<<32-1)
	}},
	{name: "a precision of 100", column: "value", want: "a precision of 100; of 128 bits it must be 1 to 38", forge: func(m []guardtest.Message) {
		t := fieldOf(m).child(slotFieldType)
		t.Bytes[t.at(4)] = 100
	}},
	{name: "a scale of a billion", column: "value", want: "it must be -38 to 38", forge: func(m []guardtest.Message) {
		t := fieldOf(m).child(slotFieldType)
		binary.LittleEndian.PutUint32(t.Bytes[t.at(6):], 1e9)
	}},
	{name: "a type that does not exist", column: "block", want: "type 99", forge: func(m []guardtest.Message) {
		fieldOf(m).Bytes[fieldOf(m).at(slotFieldKind)] = 99
	}},
	{name: "big-endian numbers", column: "block", want: "big-endian", forge: func(m []guardtest.Message) {
		// A short that is left out is little-endian: the slot is pointed at another one.
		schema := parse(m[0].Metadata).child(slotMessageHeader)
		vtable := int(schema.Pos) - int(schema.GetSOffsetT(schema.Pos))
		binary.LittleEndian.PutUint16(schema.Bytes[vtable+slotSchemaEndianness:], uint16(schema.Offset(slotSchemaFields)))
	}},
	{name: "half the metadata of a schema", column: "block", want: "", forge: func(m []guardtest.Message) { m[0].Metadata = m[0].Metadata[:len(m[0].Metadata)/2] }},
	{name: "half the metadata of a batch", column: "block", want: "", forge: func(m []guardtest.Message) { m[1].Metadata = m[1].Metadata[:len(m[1].Metadata)/2] }},
	{name: "no metadata", column: "block", want: "", forge: func(m []guardtest.Message) { m[1].Metadata = nil }},
	{name: "no body", column: "block", want: "outside the body", forge: func(m []guardtest.Message) { m[1].Body = nil }},
	{name: "half the body", want: "outside the body", forge: func(m []guardtest.Message) { m[len(m)-1].Body = last(m).Body[:len(last(m).Body)/2] }},
}

func setRows(m []guardtest.Message, n int64) {
	batch := batchOf(m)
	binary.LittleEndian.PutUint64(batch.Bytes[batch.at(slotBatchRows):], uint64(n))
}

// TestForgeriesAreRefused: each is an error that says what is wrong, not a panic and
// not rows.
func TestForgeriesAreRefused(t *testing.T) {
	whole := guardtest.Record(t)
	for _, f := range forgeries {
		t.Run(f.name, func(t *testing.T) {
			rec := whole
			if f.column != "" {
				rec = only(t, whole, f.column)
			}
			messages := guardtest.Write(t, []arrow.RecordBatch{rec}, f.options...)
			if f.options == nil {
				if _, err := read(t, messages); err != nil {
					t.Fatalf("before anything was done to it: %v", err)
				}
			}
			if f.forge != nil {
				f.forge(messages)
			}
			recs, err := read(t, messages)
			if err == nil {
				t.Fatalf("passed: %v", recs)
			}
			t.Log(err)
			if !strings.Contains(err.Error(), f.want) {
				t.Errorf("error is %q, want %q in it", err, f.want)
			}
		})
	}
}

// only is one column of a record batch.
func only(t *testing.T, rec arrow.RecordBatch, column string) arrow.RecordBatch {
	t.Helper()
	i := rec.Schema().FieldIndices(column)[0]
	one := array.NewRecordBatch(arrow.NewSchema([]arrow.Field{rec.Schema().Field(i)}, nil), []arrow.Array{rec.Column(i)}, rec.NumRows())
	t.Cleanup(one.Release)
	return one
}
