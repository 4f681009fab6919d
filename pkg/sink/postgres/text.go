package postgres

import (
	"bytes"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/ampipe/ampipe/pkg/arrowfmt"
)

// Why a text is refused.
const (
	holdsNUL = "the text holds a NUL character, which PostgreSQL cannot store; " +
		"write regexp_replace(<column>, '\\x00', '', 'g') AS <column> in the query"
	notUnicode = "the text is not valid UTF-8; write CAST(<column> AS BYTEA) AS <column> in the query, and " +
		"run ALTER TABLE <table> ALTER COLUMN <column> TYPE bytea USING convert_to(<column>, 'UTF8')"
)

// blobs are the values of a column of texts or bytes, whatever their layout.
type blobs interface {
	cells
	null(i int) bool
	value(i int) []byte
	// span returns the memory that holds all values of [from, to), one after the
	// other, if the layout has such.
	span(from, to int) ([]byte, bool)
}

// offsets is the layout of Utf8, Binary and their large kinds.
type offsets[O int32 | int64] struct {
	validity
	text   bool
	starts []O
	data   []byte
}

func (s *offsets[O]) value(i int) []byte { return s.data[s.starts[i]:s.starts[i+1]] }

func (s *offsets[O]) span(from, to int) ([]byte, bool) {
	if from >= to {
		return nil, true
	}
	return s.data[s.starts[from]:s.starts[to]], true
}

func (s *offsets[O]) append(dst []byte, i int) []byte {
	if s.null(i) {
		return appendNull(dst)
	}
	return appendBytes(dst, s.data[s.starts[i]:s.starts[i+1]])
}

func (s *offsets[O]) invalid(from, to int) (int, string) {
	if !s.text {
		return -1, ""
	}
	return invalidTexts(s, from, to)
}

// fixed is the layout of FixedSizeBinary.
type fixed struct {
	alwaysValid
	validity
	width int
	data  []byte // from the first value on
}

func (s *fixed) value(i int) []byte { return s.data[i*s.width : (i+1)*s.width] }

func (s *fixed) span(from, to int) ([]byte, bool) { return s.data[from*s.width : to*s.width], true }

func (s *fixed) append(dst []byte, i int) []byte {
	if s.null(i) {
		return appendNull(dst)
	}
	return appendBytes(dst, s.data[i*s.width:(i+1)*s.width])
}

// views is the layout of Utf8View and BinaryView.
type views struct {
	validity
	text    bool
	headers interface {
		ValueHeader(i int) *arrow.ViewHeader
	}
	data [][]byte
}

func (s *views) value(i int) []byte {
	h := s.headers.ValueHeader(i)
	if h.IsInline() {
		return h.InlineBytes()
	}
	return s.data[h.BufferIndex()][h.BufferOffset():][:h.Len()]
}

func (s *views) span(int, int) ([]byte, bool) { return nil, false }

func (s *views) append(dst []byte, i int) []byte {
	if s.null(i) {
		return appendNull(dst)
	}
	return appendBytes(dst, s.value(i))
}

func (s *views) invalid(from, to int) (int, string) {
	if !s.text {
		return -1, ""
	}
	return invalidTexts(s, from, to)
}

// blobsOf returns the values of any column of texts or bytes.
func blobsOf(arr arrow.Array) blobs {
	valid := validityOf(arr)
	if arr.Len() == 0 { // may have no buffers at all
		return &fixed{}
	}
	switch a := arr.(type) {
	case *array.String:
		return &offsets[int32]{valid, true, a.ValueOffsets(), bufferOf(arr, 2)}
	case *array.LargeString:
		return &offsets[int64]{valid, true, a.ValueOffsets(), bufferOf(arr, 2)}
	case *array.Binary:
		return &offsets[int32]{valid, false, a.ValueOffsets(), bufferOf(arr, 2)}
	case *array.LargeBinary:
		return &offsets[int64]{valid, false, a.ValueOffsets(), bufferOf(arr, 2)}
	case *array.FixedSizeBinary:
		width := a.DataType().(*arrow.FixedSizeBinaryType).ByteWidth
		return &fixed{validity: valid, width: width, data: bufferOf(arr, 1)[arr.Data().Offset()*width:]}
	case *array.StringView:
		return &views{valid, true, a, viewed(arr)}
	default:
		return &views{valid, false, a.(*array.BinaryView), viewed(arr)}
	}
}

// viewed returns the buffers that the headers of a view point into.
func viewed(arr arrow.Array) [][]byte {
	var data [][]byte
	for _, b := range arr.Data().Buffers()[2:] {
		data = append(data, b.Bytes())
	}
	return data
}

// invalidTexts looks at all bytes at once first, for nearly always all of them are
// fine. A NULL may have any bytes.
func invalidTexts(values blobs, from, to int) (int, string) {
	if all, ok := values.span(from, to); ok && bytes.IndexByte(all, 0) < 0 && isASCII(all) {
		return -1, ""
	}
	for i := from; i < to; i++ {
		if values.null(i) {
			continue
		}
		if reason := invalidText(values.value(i)); reason != "" {
			return i, reason
		}
	}
	return -1, ""
}

func invalidText(text []byte) string {
	switch {
	case bytes.IndexByte(text, 0) >= 0:
		return holdsNUL
	case !utf8.Valid(text):
		return notUnicode
	default:
		return ""
	}
}

// isASCII reports whether every byte is below 0x80: then any cut of them is valid
// UTF-8.
func isASCII(b []byte) bool {
	for len(b) >= 8 {
		if (b[0]|b[1]|b[2]|b[3]|b[4]|b[5]|b[6]|b[7])&0x80 != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// hexes are byte strings written as text, 0x and two digits for each byte.
type hexes struct {
	alwaysValid
	values blobs
}

func (c *hexes) append(dst []byte, i int) []byte {
	if c.values.null(i) {
		return appendNull(dst)
	}
	v := c.values.value(i)
	return arrowfmt.AppendHex(appendLen(dst, 2+2*len(v)), v)
}

func appendLen(dst []byte, n int) []byte {
	return append(dst, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

func appendBytes(dst, v []byte) []byte { return append(appendLen(dst, len(v)), v...) }

func bindBlobs(arr arrow.Array) cells { return blobsOf(arr) }

// bindHex returns nil for what is not binary.
func bindHex(dt arrow.DataType) func(arrow.Array) cells {
	if !arrowfmt.IsBytes(dt) {
		return nil
	}
	return func(arr arrow.Array) cells { return &hexes{values: blobsOf(arr)} }
}
