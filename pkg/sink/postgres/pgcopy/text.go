package pgcopy

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"unicode"
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

// blobs are the values of an array of texts or bytes, whatever their layout, written as
// they are.
type blobs struct {
	Values
	value func(i int) []byte
}

func bindBlobs(arr arrow.Array) Values { return blobsOf(arr).Values }

func blobsOf(arr arrow.Array) blobs {
	b := blobs{Values{nulls: arrowfmt.NullsOf(arr)}, arrowfmt.Bytes(arr)}
	if arr.Len() == 0 { // may have no buffers at all
		return b
	}
	// all returns the memory that holds all values of [from, to), one after the other, if
	// the layout has such.
	var all func(from, to int) []byte
	switch a := arr.(type) {
	case interface{ ValueOffsets() []int32 }: // Utf8 and Binary
		b.append, all = contiguous(a.ValueOffsets(), bufferOf(arr, 2))
	case interface{ ValueOffsets() []int64 }:
		b.append, all = contiguous(a.ValueOffsets(), bufferOf(arr, 2))
	case *array.FixedSizeBinary:
		width := a.DataType().(*arrow.FixedSizeBinaryType).ByteWidth
		data := bufferOf(arr, 1)[arr.Data().Offset()*width:]
		b.append = func(dst []byte, i int) []byte { return appendBytes(dst, data[i*width:(i+1)*width]) }
	default:
		value := b.value
		b.append = func(dst []byte, i int) []byte { return appendBytes(dst, value(i)) }
	}
	if !arrowfmt.IsText(arr.DataType()) {
		return b
	}
	value := b.value
	b.check(func(i int) string { return invalidText(value(i)) })
	if one := b.invalid; all != nil { // nearly always all of them are fine. A NULL may have any bytes
		b.invalid = func(from, to int) (int, string) {
			if text := all(from, to); bytes.IndexByte(text, 0) < 0 && isASCII(text) {
				return -1, ""
			}
			return one(from, to)
		}
	}
	return b
}

// contiguous is the layout of Utf8, Binary and their large kinds.
func contiguous[O int32 | int64](offsets []O, data []byte) (one func([]byte, int) []byte, all func(from, to int) []byte) {
	one = func(dst []byte, i int) []byte { return appendBytes(dst, data[offsets[i]:offsets[i+1]]) }
	return one, func(from, to int) []byte { return data[offsets[from]:offsets[max(from, to)]] }
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
	for ; len(b) >= 8; b = b[8:] {
		if binary.LittleEndian.Uint64(b)&0x8080808080808080 != 0 {
			return false
		}
	}
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// bindHex writes bytes as text, 0x and two digits for each.
func bindHex(arr arrow.Array) Values {
	value := arrowfmt.Bytes(arr)
	return Values{nulls: arrowfmt.NullsOf(arr), append: func(dst []byte, i int) []byte {
		v := value(i)
		return arrowfmt.AppendHex(appendLen(dst, hexLen(v)), v)
	}}
}

func hexLen(v []byte) int { return 2 + 2*len(v) }

// fitText takes texts, and bytes as hexadecimal digits, into a column that may bound
// their length. bind is nil for others.
func fitText(dt arrow.DataType, as string, t Type) (bind Bind, wider string) {
	hex := as == AsHex && arrowfmt.IsBytes(dt)
	limit, limited := t.length()
	fixed, sized := dt.(*arrow.FixedSizeBinaryType)
	switch {
	case !hex && !arrowfmt.IsText(dt), hex && limited && sized && 2+2*fixed.ByteWidth > limit:
		return nil, ""
	case hex && !limited:
		return bindHex, ""
	case !limited:
		return bindBlobs, ""
	case !sized:
		wider = "text"
	}
	reason := fmt.Sprintf("the text has more than %d characters, and the column is %s; %s", limit, t.SQL, widen("text"))
	return func(arr arrow.Array) Values {
		// Blanks at the end count as well: PostgreSQL would cut them off in silence.
		v, value, characters := bindBlobs(arr), arrowfmt.Bytes(arr), utf8.RuneCount
		if hex {
			v, characters = bindHex(arr), hexLen
		}
		v.check(func(i int) string {
			if text := value(i); (hex || len(text) > limit) && characters(text) > limit {
				return reason
			}
			return ""
		})
		if t.Base == "character" {
			exact := v.append
			v.append = func(dst []byte, i int) []byte {
				start := len(dst)
				dst = exact(dst, i)
				for range limit - characters(value(i)) {
					dst = append(dst, ' ')
				}
				return setLen(dst, start)
			}
		}
		return v
	}, wider
}

// longestLabel is how many bytes a value of an enum has at most.
const longestLabel = 63

// fitLabel takes texts that are values of an enum.
func fitLabel(t Type) Bind {
	reason := fmt.Sprintf("the text is none of the values of the enum %s; %s", t.SQL, widen("text"))
	set := make(map[string]bool)
	for _, label := range t.Labels {
		set[label] = true
	}
	return func(arr arrow.Array) Values {
		b := blobsOf(arr)
		b.check(func(i int) string {
			v := b.value(i)
			switch {
			case set[string(v)]:
				return ""
			case !t.Domain && t.Name != "" && len(v) <= longestLabel && !bytes.ContainsFunc(v, unicode.IsControl):
				return reason + fmt.Sprintf(", or ALTER TYPE %s ADD VALUE <literal>", t.Name)
			}
			return reason
		})
		return b.Values
	}
}
