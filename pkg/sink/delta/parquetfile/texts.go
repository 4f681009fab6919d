package parquetfile

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
)

// texts writes text and bytes, each after its length.
type texts struct {
	low, high bound
	known     bool
}

// bound is the lowest or the highest value. Most are told from it by their first bytes.
type bound struct {
	value []byte
	first uint64
}

func (b *bound) set(v []byte, first uint64) {
	b.value, b.first = append(b.value[:0], v...), first // v is borrowed
}

// above reports whether a value is above the bound.
func (b *bound) above(v []byte, first uint64) bool {
	return first > b.first || first == b.first && bytes.Compare(v, b.value) > 0
}

// below reports whether a value is below the bound.
func (b *bound) below(v []byte, first uint64) bool {
	return first < b.first || first == b.first && bytes.Compare(v, b.value) < 0
}

// firstBytes returns the first eight bytes as a number, in their order. Those that are missing
// are zeros: values that differ by them have to be compared.
func firstBytes(v []byte) uint64 {
	if len(v) >= 8 {
		return binary.BigEndian.Uint64(v)
	}
	var padded [8]byte
	copy(padded[:], v)
	return binary.BigEndian.Uint64(padded[:])
}

const lengthBytes = 4

func (t *texts) encode(page []byte, have int, a arrow.Array, from, to, limit int) ([]byte, int) {
	text := a.(interface {
		ValueOffsets() []int32
		ValueBytes() []byte
	})
	valid, offset := nullsOf(a)
	offsets, all := text.ValueOffsets(), text.ValueBytes()
	base := offsets[0]
	// Room for all at once, as far as they can be of this page.
	page = slices.Grow(page, max(min(int(offsets[to]-offsets[from])+(to-from)*lengthBytes, limit-len(page)), 0))
	for i := from; i < to; i++ {
		if valid != nil && bitutil.BitIsNotSet(valid, offset+i) {
			continue
		}
		v := all[offsets[i]-base : offsets[i+1]-base]
		if len(page)+lengthBytes+len(v) > limit && have > 0 {
			return page, i
		}
		have++
		page = append(binary.LittleEndian.AppendUint32(page, uint32(len(v))), v...)
		t.widen(v)
	}
	return page, to
}

// widen makes the bounds include a value.
func (t *texts) widen(v []byte) {
	first := firstBytes(v)
	if !t.known {
		t.low.set(v, first)
		t.high.set(v, first)
		t.known = true
		return
	}
	if t.low.below(v, first) {
		t.low.set(v, first)
	} else if t.high.above(v, first) {
		t.high.set(v, first)
	}
}

func (t *texts) bounds() (low, high []byte, ok bool) {
	return bytes.Clone(t.low.value), bytes.Clone(t.high.value), t.known
}

func (t *texts) reset() { t.known = false }
