package arrowfmt

import (
	"encoding/hex"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// Nulls reports which values of an array are NULL. It reads only the bitmap, for arrays
// return nil for empty text as well.
type Nulls struct {
	bits   []byte // nil: there are none
	offset int
}

// NullsOf binds the bitmap of an array.
func NullsOf(arr arrow.Array) Nulls {
	switch {
	case arr.NullN() == 0:
		return Nulls{}
	case arr.DataType().ID() == arrow.NULL: // has no bitmap
		return Nulls{bits: make([]byte, (arr.Len()+7)/8)}
	default:
		return Nulls{bits: arr.NullBitmapBytes(), offset: arr.Data().Offset()}
	}
}

// Any reports whether a value may be NULL.
func (n Nulls) Any() bool { return n.bits != nil }

// Null reports whether value i is NULL.
func (n Nulls) Null(i int) bool {
	if n.bits == nil {
		return false
	}
	i += n.offset
	return n.bits[i>>3]&(1<<(i&7)) == 0
}

// Underlying returns the type of the values of a type: of a dictionary's, and of what
// extension types are stored as.
func Underlying(dt arrow.DataType) arrow.DataType {
	for {
		switch t := dt.(type) {
		case *arrow.DictionaryType:
			dt = t.ValueType
		case arrow.ExtensionType:
			dt = t.StorageType()
		default:
			return dt
		}
	}
}

// IsText reports whether the values of a type are texts.
func IsText(dt arrow.DataType) bool {
	switch dt.ID() {
	case arrow.STRING, arrow.LARGE_STRING, arrow.STRING_VIEW:
		return true
	default:
		return false
	}
}

// IsBytes reports whether the values of a type are bytes that are no texts.
func IsBytes(dt arrow.DataType) bool {
	switch dt.ID() {
	case arrow.BINARY, arrow.LARGE_BINARY, arrow.BINARY_VIEW, arrow.FIXED_SIZE_BINARY:
		return true
	default:
		return false
	}
}

// Bytes returns a function that returns the values of an array of texts or bytes. They are
// not copied. It may be called only for values that are not NULL.
func Bytes(arr arrow.Array) func(i int) []byte {
	if arr.Len() == 0 { // may have no buffers at all
		return nil
	}
	switch a := arr.(type) {
	case *array.String:
		return cut(a.ValueOffsets(), arr)
	case *array.LargeString:
		return cut(a.ValueOffsets(), arr)
	case *array.Binary:
		return cut(a.ValueOffsets(), arr)
	case *array.LargeBinary:
		return cut(a.ValueOffsets(), arr)
	case *array.FixedSizeBinary:
		return a.Value
	case *array.BinaryView:
		return a.Value
	case *array.StringView:
		return viewed(a)
	case *array.Dictionary:
		values := Bytes(a.Dictionary())
		return func(i int) []byte { return values(a.GetValueIndex(i)) }
	default:
		return Bytes(arr.(array.ExtensionArray).Storage())
	}
}

func cut[O int32 | int64](offsets []O, arr arrow.Array) func(i int) []byte {
	var data []byte
	if b := arr.Data().Buffers()[2]; b != nil {
		data = b.Bytes()
	}
	return func(i int) []byte { return data[offsets[i]:offsets[i+1]] }
}

func viewed(a *array.StringView) func(i int) []byte {
	buffers := a.Data().Buffers()[2:]
	return func(i int) []byte {
		h := a.ValueHeader(i)
		if h.IsInline() {
			return h.InlineBytes()
		}
		return buffers[h.BufferIndex()].Bytes()[h.BufferOffset():][:h.Len()]
	}
}

// AppendHex appends bytes as 0x and two digits for each.
func AppendHex(dst, v []byte) []byte { return hex.AppendEncode(append(dst, '0', 'x'), v) }
