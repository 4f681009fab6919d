package flightserver

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// flatbuffer builds a FlatBuffers message from its end to its beginning, as
// every builder of the format does; unlike the Go library's it shares the layout
// of two tables only if their sizes agree too, which is what the server's
// library does and what shows in its bytes.
type flatbuffer struct {
	reversed []byte // the message so far, last byte first
	align    int    // the strictest alignment asked for

	tableEnd int           // where the table being written began
	slots    []int         // of that table: where each field is; 0 if absent
	layouts  map[string]at // vtables written so far
}

// at is a place, counted from the end of the message.
type at int

func newFlatbuffer() *flatbuffer { return &flatbuffer{align: 1, layouts: map[string]at{}} }

// pad makes room so that after size more bytes the message is aligned.
func (b *flatbuffer) pad(align, size int) {
	b.align = max(b.align, align)
	for (len(b.reversed)+size)%align != 0 {
		b.reversed = append(b.reversed, 0)
	}
}

// raw puts bytes in front.
func (b *flatbuffer) raw(data []byte) {
	for _, c := range slices.Backward(data) {
		b.reversed = append(b.reversed, c)
	}
}

// number puts an aligned little-endian number of size bytes in front.
func (b *flatbuffer) number(size int, v uint64) {
	b.pad(size, size)
	var le [8]byte
	binary.LittleEndian.PutUint64(le[:], v)
	b.raw(le[:size])
}

// reference puts in front how far it is from here to a place.
func (b *flatbuffer) reference(to at) {
	b.pad(4, 4)
	b.number(4, uint64(len(b.reversed)+4-int(to)))
}

func (b *flatbuffer) text(s string) at {
	b.pad(4, len(s)+1)
	b.raw(append([]byte(s), 0))
	b.number(4, uint64(len(s)))
	return at(len(b.reversed))
}

func (b *flatbuffer) list(items []at) at {
	b.pad(4, 4*len(items))
	for _, item := range slices.Backward(items) {
		b.reference(item)
	}
	b.number(4, uint64(len(items)))
	return at(len(b.reversed))
}

// begin starts a table with room for some fields; tables do not nest.
func (b *flatbuffer) begin(fields int) {
	b.tableEnd, b.slots = len(b.reversed), make([]int, fields)
}

// set writes a number field, unless it has its default.
func (b *flatbuffer) set(field, size int, v, byDefault uint64) {
	if v != byDefault {
		b.number(size, v)
		b.slots[field] = len(b.reversed)
	}
}

func (b *flatbuffer) refer(field int, to at) {
	b.reference(to)
	b.slots[field] = len(b.reversed)
}

// end finishes a table: its layout goes in front, or is shared with an earlier
// table.
func (b *flatbuffer) end() at {
	b.number(4, 0) // the distance to the layout, filled in below
	table := len(b.reversed)
	for len(b.slots) > 0 && b.slots[len(b.slots)-1] == 0 {
		b.slots = b.slots[:len(b.slots)-1]
	}
	var layout []byte
	layout = binary.LittleEndian.AppendUint16(layout, uint16(4+2*len(b.slots)))
	layout = binary.LittleEndian.AppendUint16(layout, uint16(table-b.tableEnd))
	for _, slot := range b.slots {
		offset := 0
		if slot != 0 {
			offset = table - slot
		}
		layout = binary.LittleEndian.AppendUint16(layout, uint16(offset))
	}
	place, shared := b.layouts[string(layout)]
	if !shared {
		b.raw(layout)
		place = at(len(b.reversed))
		b.layouts[string(layout)] = place
	}
	var distance [4]byte
	binary.LittleEndian.PutUint32(distance[:], uint32(int32(int(place)-table)))
	for i, c := range distance {
		b.reversed[table-1-i] = c
	}
	return at(table)
}

// finish returns the message whose root is a table.
func (b *flatbuffer) finish(root at) []byte {
	b.pad(b.align, 4)
	b.reference(root)
	message := bytes.Clone(b.reversed)
	slices.Reverse(message)
	return message
}
