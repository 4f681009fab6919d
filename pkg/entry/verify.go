package entry

import (
	"errors"
	"fmt"

	flatbuffers "github.com/google/flatbuffers/go"
)

// The Arrow library believes the lengths in a message's metadata and makes
// slices of them; a wrong one ends the process, which nobody can recover from.
// These limits and the verifier stand before it.
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

	slotFieldType       = 8
	slotFieldDictionary = 12
	slotFieldChildren   = 14
	slotFieldMetadata   = 16

	slotEncodingID = 4

	slotBatchBuffers  = 8
	slotBatchVariadic = 12

	slotDictionaryID    = 4
	slotDictionaryBatch = 6
)

// Kinds of a message's header, and the two types of fields that have any number
// of buffers.
const (
	headerIsSchema     = 1
	headerIsDictionary = 2
	headerIsBatch      = 3

	typeBinaryView = 23
	typeTextView   = 24
)

var errMetadata = errors.New("the metadata of a message is damaged")

// verifier checks the messages of one stream, in order.
type verifier struct {
	fields       int           // of the schema, nested ones and metadata included
	views        int           // columns of views, for which a batch names the number of buffers
	dictionaries map[int64]int // the same inside each dictionary
}

// message checks what would make the Arrow library allocate or recurse without
// bounds and gives the size of the body. Offsets that lead out of the metadata
// are found by Go: the panic becomes an error.
func (v *verifier) message(meta []byte) (bodySize uint64, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errMetadata, p)
		}
	}()
	msg := table{flatbuffers.Table{Bytes: meta, Pos: flatbuffers.GetUOffsetT(meta)}}
	v.count(msg.length(slotMessageMetadata))
	header := msg.child(slotMessageHeader)
	switch kind := msg.byte(slotMessageType); kind {
	case headerIsSchema:
		*v = verifier{dictionaries: map[int64]int{}}
		v.count(header.length(slotSchemaMetadata))
		v.walk(header, slotSchemaFields, &v.views, maxDepth)
	case headerIsDictionary:
		header.child(slotDictionaryBatch).verifyVariadic(v.dictionaries[header.int64(slotDictionaryID)])
	case headerIsBatch:
		header.verifyVariadic(v.views)
	default:
		return 0, fmt.Errorf("%w: it is of kind %d", errMetadata, kind)
	}
	size := msg.int64(slotMessageBodySize)
	if size < 0 {
		return 0, fmt.Errorf("%w: the body has %d bytes", errMetadata, size)
	}
	return uint64(size), nil
}

// count counts fields and metadata, which may refer to each other in circles.
func (v *verifier) count(n int) {
	if v.fields += n; v.fields > maxFields {
		panic("there are too many fields")
	}
}

// walk counts the fields in a slot of t, and the views among them, which for
// those encoded by a dictionary are the dictionary's.
func (v *verifier) walk(t table, slot flatbuffers.VOffsetT, views *int, depth int) {
	n := t.length(slot)
	if n > 0 && depth == 0 {
		panic("types are nested too deep")
	}
	v.count(n)
	for i := range n {
		at := t.Vector(flatbuffers.UOffsetT(t.Offset(slot))) + flatbuffers.UOffsetT(4*i)
		field := table{flatbuffers.Table{Bytes: t.Bytes, Pos: t.Indirect(at)}}
		v.count(field.length(slotFieldMetadata))
		own, inside := views, 0
		if field.Offset(slotFieldDictionary) != 0 {
			own = &inside
		}
		if kind := field.byte(slotFieldType); kind == typeBinaryView || kind == typeTextView {
			*own++
		}
		v.walk(field, slotFieldChildren, own, depth-1)
		if own == &inside {
			v.dictionaries[field.child(slotFieldDictionary).int64(slotEncodingID)] = inside
		}
	}
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

func (t table) byte(slot flatbuffers.VOffsetT) byte {
	o := t.Offset(slot)
	if o == 0 {
		return 0
	}
	return t.GetByte(t.Pos + flatbuffers.UOffsetT(o))
}

func (t table) int64(slot flatbuffers.VOffsetT) int64 {
	o := t.Offset(slot)
	if o == 0 {
		return 0
	}
	return t.GetInt64(t.Pos + flatbuffers.UOffsetT(o))
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

// verifyVariadic checks the numbers of buffers that the given number of columns
// of views claim.
func (t table) verifyVariadic(views int) {
	if n := t.length(slotBatchVariadic); n != views {
		panic("the number of columns with views is not that of the schema")
	}
	buffers := int64(t.length(slotBatchBuffers))
	for i := range views {
		at := t.Vector(flatbuffers.UOffsetT(t.Offset(slotBatchVariadic))) + flatbuffers.UOffsetT(8*i)
		n := t.GetInt64(at)
		if n < 0 || n > buffers {
			panic("a column has more buffers than the message")
		}
		buffers -= n
	}
}
