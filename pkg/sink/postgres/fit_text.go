package postgres

import (
	"bytes"
	"encoding/binary"
	"unicode"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/ampipe/ampipe/pkg/arrowfmt"
)

// bounds limit the characters of a text.
type bounds struct {
	limit  int
	pad    bool // with blanks, up to the limit
	reason string
}

func (b bounds) texts(arr arrow.Array) cells { return &boundedTexts{blobsOf(arr), b} }

func (b bounds) hexes(arr arrow.Array) cells { return &boundedHexes{hexes{values: blobsOf(arr)}, b} }

// padded ends a field that begins at start with as many blanks as it lacks.
func (b bounds) padded(dst []byte, start, characters int) []byte {
	if !b.pad || characters < 0 {
		return dst
	}
	for range b.limit - characters {
		dst = append(dst, ' ')
	}
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}

// firstInvalid returns the first of some rows whose text is invalid by itself, or for which
// invalid returns a reason, and why; or -1.
func firstInvalid(b blobs, from, to int, invalid func(text []byte) string) (int, string) {
	row, reason := b.invalid(from, to)
	if row >= 0 {
		to = row
	}
	for i := from; i < to; i++ {
		if b.null(i) {
			continue
		}
		if reason := invalid(b.value(i)); reason != "" {
			return i, reason
		}
	}
	return row, reason
}

type boundedTexts struct {
	blobs
	bounds
}

// invalid counts blanks at the end as well: PostgreSQL would cut them off in silence.
func (c *boundedTexts) invalid(from, to int) (int, string) {
	return firstInvalid(c.blobs, from, to, func(v []byte) string {
		if len(v) > c.limit && utf8.RuneCount(v) > c.limit {
			return c.bounds.reason
		}
		return ""
	})
}

func (c *boundedTexts) append(dst []byte, i int) []byte {
	start, characters := len(dst), -1
	if c.pad && !c.null(i) {
		characters = utf8.RuneCount(c.value(i))
	}
	return c.padded(c.blobs.append(dst, i), start, characters)
}

type boundedHexes struct {
	hexes
	bounds
}

func (c *boundedHexes) invalid(from, to int) (int, string) {
	for i := from; i < to; i++ {
		if !c.values.null(i) && 2+2*len(c.values.value(i)) > c.limit {
			return i, c.bounds.reason
		}
	}
	return -1, ""
}

func (c *boundedHexes) append(dst []byte, i int) []byte {
	start, characters := len(dst), -1
	if !c.values.null(i) {
		characters = 2 + 2*len(c.values.value(i))
	}
	return c.padded(c.hexes.append(dst, i), start, characters)
}

// labels are texts that have to be values of an enum.
type labels struct {
	blobs
	set    map[string]bool
	reason string
	add    string // how the text becomes one of them; "": not at all
}

// longestLabel is how many bytes a value of an enum has at most.
const longestLabel = 63

func (c *labels) invalid(from, to int) (int, string) {
	return firstInvalid(c.blobs, from, to, func(v []byte) string {
		switch {
		case c.set[string(v)]:
			return ""
		case c.add != "" && len(v) <= longestLabel && !bytes.ContainsFunc(v, unicode.IsControl):
			return c.reason + ", or " + c.add
		}
		return c.reason
	})
}

// steps are times, or timestamps, whose last digits are cut off, towards the past.
type steps struct {
	cells
	step int64 // microseconds
}

func (c *steps) append(dst []byte, i int) []byte {
	start := len(dst)
	dst = c.cells.append(dst, i)
	if field := dst[start:]; len(field) == 12 { // no NULL
		v := int64(binary.BigEndian.Uint64(field[4:]))
		binary.BigEndian.PutUint64(field[4:], uint64(arrowfmt.FloorDiv(v, c.step)*c.step))
	}
	return dst
}

// arrays are lists that become arrays of one dimension.
type arrays struct {
	validity
	list     array.ListLike
	elements cells
	oid      uint32 // of their type
}

func arraysOf(arr arrow.Array, bind func(arrow.Array) cells, oid uint32) cells {
	list := arr.(array.ListLike)
	return &arrays{validityOf(arr), list, bind(list.ListValues()), oid}
}

func (c *arrays) invalid(from, to int) (int, string) {
	for i := from; i < to; i++ {
		if c.null(i) {
			continue
		}
		first, end := c.list.ValueOffsets(i)
		if row, reason := c.elements.invalid(int(first), int(end)); row >= 0 {
			return i, within(reason)
		}
	}
	return -1, ""
}

// append writes the count of dimensions, whether there is a NULL, the type of the
// elements and, unless there are none, their count and the lowest index.
func (c *arrays) append(dst []byte, i int) []byte {
	if c.null(i) {
		return appendNull(dst)
	}
	first, end := c.list.ValueOffsets(i)
	start := len(dst)
	dimensions := uint32(1)
	if first == end {
		dimensions = 0
	}
	dst = binary.BigEndian.AppendUint32(append(dst, 0, 0, 0, 0), dimensions)
	dst = binary.BigEndian.AppendUint32(append(dst, 0, 0, 0, 0), c.oid)
	if first < end {
		dst = binary.BigEndian.AppendUint32(dst, uint32(end-first))
		dst = append(dst, 0, 0, 0, 1)
	}
	for k := first; k < end; k++ {
		at := len(dst)
		dst = c.elements.append(dst, int(k))
		if dst[at] == 0xff { // no length begins so
			dst[start+11] = 1
		}
	}
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}

// plainDocuments are JSON that is stored as it is written.
type plainDocuments struct{ *documents }

func (c *plainDocuments) append(dst []byte, i int) []byte {
	if c.null(i) {
		return appendNull(dst)
	}
	start := len(dst)
	dst = c.json(append(dst, 0, 0, 0, 0), i)
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}
