package entry

import (
	"errors"
	"fmt"

	flatbuffers "github.com/google/flatbuffers/go"
)

// The Arrow library believes the lengths in a message's metadata and makes
// slices of them; a wrong one ends the process, which nobody can recover from.
// These limits and verifyMessage stand before it.
const (
	maxDepth  = 64      // of nested types
	maxFields = 1 << 16 // in a schema, nested ones and metadata included
)

// Slots of the tables in Arrow's format/Message.fbs and format/Schema.fbs.
const (
	slotMessageType     = 6
	slotMessageHeader   = 8
	slotMessageBodySize = 10
	slotMessageMetadata = 12

	slotSchemaFields   = 6
	slotSchemaMetadata = 8

	slotFieldChildren = 14
	slotFieldMetadata = 16

	slotBatchBuffers  = 8
	slotBatchVariadic = 12

	slotDictionaryBatch = 6
)

// Kinds of a message's header.
const (
	headerIsSchema     = 1
	headerIsDictionary = 2
	headerIsBatch      = 3
)

var errMetadata = errors.New("the metadata of a message is damaged")

// verifyMessage checks what would make the Arrow library allocate or recurse
// without bounds and gives the size of the body. Offsets that lead out of the
// metadata are found by Go: the panic becomes an error.
func verifyMessage(meta []byte) (bodySize uint64, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errMetadata, p)
		}
	}()
	msg := table{flatbuffers.Table{Bytes: meta, Pos: flatbuffers.GetUOffsetT(meta)}}
	var fields counter
	fields.add(msg.length(slotMessageMetadata))
	header := msg.child(slotMessageHeader)
	var kind byte
	if o := msg.Offset(slotMessageType); o != 0 {
		kind = msg.GetByte(msg.Pos + flatbuffers.UOffsetT(o))
	}
	switch kind {
	case headerIsSchema:
		fields.add(header.length(slotSchemaMetadata))
		fields.walk(header, slotSchemaFields, maxDepth)
	case headerIsDictionary:
		batch := header.child(slotDictionaryBatch)
		batch.verifyVariadic()
	case headerIsBatch:
		header.verifyVariadic()
	default:
		return 0, fmt.Errorf("%w: it is of kind %d", errMetadata, kind)
	}
	o := msg.Offset(slotMessageBodySize)
	if o == 0 {
		return 0, nil
	}
	size := msg.GetInt64(msg.Pos + flatbuffers.UOffsetT(o))
	if size < 0 {
		return 0, fmt.Errorf("%w: the body has %d bytes", errMetadata, size)
	}
	return uint64(size), nil
}

// table reads flatbuffers by slot; its methods panic when they are led astray.
type table struct{ flatbuffers.Table }

func (t table) child(slot flatbuffers.VOffsetT) table {
	o := t.Offset(slot)
	if o == 0 {
		panic("a part is missing")
	}
	return table{flatbuffers.Table{Bytes: t.Bytes, Pos: t.Indirect(t.Pos + flatbuffers.UOffsetT(o))}}
}

func (t table) length(slot flatbuffers.VOffsetT) int {
	o := t.Offset(slot)
	if o == 0 {
		return 0
	}
	n := t.VectorLen(flatbuffers.UOffsetT(o))
	if n < 0 || n > len(t.Bytes)/4 {
		panic("a list is longer than the message")
	}
	return n
}

// verifyVariadic checks the numbers of buffers that view columns claim.
func (t table) verifyVariadic() {
	buffers := int64(t.length(slotBatchBuffers))
	for i := range t.length(slotBatchVariadic) {
		at := t.Vector(flatbuffers.UOffsetT(t.Offset(slotBatchVariadic))) + flatbuffers.UOffsetT(8*i)
		n := t.GetInt64(at)
		if n < 0 || n > buffers {
			panic("a column has more buffers than the message")
		}
		buffers -= n
	}
}

// counter counts fields and metadata, which may refer to each other in circles.
type counter int

func (c *counter) add(n int) {
	if *c += counter(n); *c > maxFields {
		panic("there are too many fields")
	}
}

func (c *counter) walk(t table, slot flatbuffers.VOffsetT, depth int) {
	n := t.length(slot)
	if n > 0 && depth == 0 {
		panic("types are nested too deep")
	}
	c.add(n)
	for i := range n {
		at := t.Vector(flatbuffers.UOffsetT(t.Offset(slot))) + flatbuffers.UOffsetT(4*i)
		field := table{flatbuffers.Table{Bytes: t.Bytes, Pos: t.Indirect(at)}}
		c.add(field.length(slotFieldMetadata))
		c.walk(field, slotFieldChildren, depth-1)
	}
}
