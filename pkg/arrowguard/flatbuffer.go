package arrowguard

import (
	"errors"
	"fmt"
	"math"

	flatbuffers "github.com/google/flatbuffers/go"
)

// errMetadata is the error for metadata that no Arrow library wrote.
var errMetadata = errors.New("the metadata of an Arrow message is damaged")

// Slots of the tables in Arrow's format/Message.fbs and format/Schema.fbs.
const (
	slotMessageVersion  = 4
	slotMessageType     = 6
	slotMessageHeader   = 8
	slotMessageBodySize = 10
	slotMessageMetadata = 12

	slotSchemaEndianness = 4
	slotSchemaFields     = 6
	slotSchemaMetadata   = 8

	slotFieldName       = 4
	slotFieldKind       = 8
	slotFieldType       = 10
	slotFieldDictionary = 12
	slotFieldChildren   = 14
	slotFieldMetadata   = 16

	slotEncodingID    = 4
	slotEncodingIndex = 6

	slotKey   = 4
	slotValue = 6

	slotBatchRows        = 4
	slotBatchNodes       = 6
	slotBatchBuffers     = 8
	slotBatchCompression = 10
	slotBatchVariadic    = 12

	slotDictionaryID      = 4
	slotDictionaryBatch   = 6
	slotDictionaryIsDelta = 8
)

// Kinds of a message's header.
const (
	headerIsSchema     = 1
	headerIsDictionary = 2
	headerIsBatch      = 3
)

// metadataV5 is the version of the format since 2020, and the only one read.
const metadataV5 = 4

// table reads flatbuffers by slot; its methods panic when an offset is wrong.
type table struct{ flatbuffers.Table }

// parse returns the root table of a message's metadata.
func parse(meta []byte) table {
	return table{flatbuffers.Table{Bytes: meta, Pos: flatbuffers.GetUOffsetT(meta)}}
}

// damaged makes an error of what the methods of [table] panic with: an offset that
// leads out of the metadata is found by Go's own checks.
func damaged(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: %v", errMetadata, p)
	}
}

// BodySize returns the length of the body that a message's metadata announces.
func BodySize(meta []byte) (size uint64, err error) {
	defer damaged(&err)
	n := parse(meta).int64(slotMessageBodySize)
	if n < 0 {
		return 0, fmt.Errorf("%w: the body has %d bytes", errMetadata, n)
	}
	return uint64(n), nil
}

func (t table) has(slot flatbuffers.VOffsetT) bool { return t.Offset(slot) != 0 }

// at returns the position of what a slot holds; 0: nothing.
func (t table) at(slot flatbuffers.VOffsetT) flatbuffers.UOffsetT {
	o := t.Offset(slot)
	if o == 0 {
		return 0
	}
	return t.Pos + flatbuffers.UOffsetT(o)
}

func (t table) child(slot flatbuffers.VOffsetT) table {
	at := t.at(slot)
	if at == 0 {
		panic("a part is missing")
	}
	return table{flatbuffers.Table{Bytes: t.Bytes, Pos: t.Indirect(at)}}
}

func (t table) byte(slot flatbuffers.VOffsetT) byte { return t.GetByteSlot(slot, 0) }

func (t table) int16(slot flatbuffers.VOffsetT, absent int16) int16 {
	return t.GetInt16Slot(slot, absent)
}

func (t table) int32(slot flatbuffers.VOffsetT, absent int32) int32 {
	return t.GetInt32Slot(slot, absent)
}

func (t table) int64(slot flatbuffers.VOffsetT) int64 { return t.GetInt64Slot(slot, 0) }

// text returns the bytes of a text, as they stand in the metadata.
func (t table) text(slot flatbuffers.VOffsetT) []byte {
	if at := t.at(slot); at != 0 {
		return t.ByteVector(at)
	}
	return nil
}

// list is a vector of tables or structs.
type list struct {
	table
	start flatbuffers.UOffsetT
	size  int // bytes of an item
	len   int
}

// list returns the vector in a slot, whose items have a number of bytes.
func (t table) list(slot flatbuffers.VOffsetT, size int) list {
	o := flatbuffers.UOffsetT(t.Offset(slot))
	if o == 0 {
		return list{}
	}
	l := list{table: t, start: t.Vector(o), size: size, len: t.VectorLen(o)}
	if l.len < 0 || l.len > len(t.Bytes)/size || int(l.start) > math.MaxInt32 {
		panic("a list is longer than the message")
	}
	return l
}

// int64 returns the n-th of the 64-bit numbers of an item.
func (l list) int64(item, n int) int64 {
	return l.GetInt64(l.start + flatbuffers.UOffsetT(item*l.size+8*n))
}

// int32 returns an item that is a number.
func (l list) int32(item int) int32 {
	return l.GetInt32(l.start + flatbuffers.UOffsetT(item*l.size))
}

// item returns one that is a table.
func (l list) item(i int) table {
	at := l.start + flatbuffers.UOffsetT(i*l.size)
	return table{flatbuffers.Table{Bytes: l.Bytes, Pos: l.Indirect(at)}}
}
