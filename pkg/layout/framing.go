package layout

import (
	"fmt"

	flatbuffers "github.com/google/flatbuffers/go"
)

// Slots of the tables in Arrow's format/Message.fbs.
const (
	slotHeader   = 8
	slotBodySize = 10
	slotNodes    = 6
	slotBuffers  = 8
	slotVariadic = 12
)

// Framing describes the metadata of a record batch's message: the size of its body,
// length and nulls of every array, place and size of every buffer. It panics on
// what is none, so it is for tests.
func Framing(metadata []byte) string {
	message := flatbuffers.Table{Bytes: metadata, Pos: flatbuffers.GetUOffsetT(metadata)}
	batch := message
	batch.Pos = message.Indirect(message.Pos + flatbuffers.UOffsetT(message.Offset(slotHeader)))
	size := int64(0)
	if o := message.Offset(slotBodySize); o != 0 {
		size = message.GetInt64(message.Pos + flatbuffers.UOffsetT(o))
	}
	return fmt.Sprintf("body of %d, arrays %v, buffers %v, buffers of views %v",
		size, numbers(batch, slotNodes, 2), numbers(batch, slotBuffers, 2), numbers(batch, slotVariadic, 1))
}

// numbers reads a list of groups of 64-bit numbers.
func numbers(t flatbuffers.Table, slot flatbuffers.VOffsetT, group int) [][]int64 {
	o := flatbuffers.UOffsetT(t.Offset(slot))
	if o == 0 {
		return nil
	}
	all := make([][]int64, t.VectorLen(o))
	at := t.Vector(o)
	for i := range all {
		for range group {
			all[i] = append(all[i], t.GetInt64(at))
			at += 8
		}
	}
	return all
}
