package arrowfmt_test

import (
	"bytes"
	"encoding/json"
	"math/big"
	"testing"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow/decimal256"

	"github.com/ampipe/ampipe/pkg/arrowfmt"
)

// FuzzAppendString holds that a text comes back from its JSON, whatever is in it, and that
// what was there stays.
func FuzzAppendString(f *testing.F) {
	for _, seed := range []string{"", "a\"b\\c", "\x00\b\f\n\r\t\x1f\x7f", "ä€😀\u2028", "\xff", "</script>"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, o := range []arrowfmt.Options{compact, jsonb} {
			quoted := o.AppendString([]byte("["), text)
			if quoted[0] != '[' {
				t.Fatalf("what was there became %q", quoted)
			}
			if !utf8.Valid(text) {
				continue // only that it does not panic
			}
			if bytes.ContainsFunc(quoted, func(r rune) bool { return r < ' ' }) {
				t.Fatalf("%q has a control character", quoted)
			}
			var back []string
			if err := json.Unmarshal(append(quoted, ']'), &back); err != nil || back[0] != string(text) {
				t.Fatalf("%q is written as %q, which is %q, %v", text, quoted, back, err)
			}
		}
	})
}

// FuzzAppendDecimal holds that any 256 bits are written as a big number is.
func FuzzAppendDecimal(f *testing.F) {
	f.Add([]byte{}, int8(0))
	f.Add([]byte{1}, int8(40))
	f.Add(bytes.Repeat([]byte{0xff}, 32), int8(-7))
	f.Add(append(bytes.Repeat([]byte{0}, 31), 0x80), int8(76))
	f.Fuzz(func(t *testing.T, raw []byte, places int8) {
		var bits [32]byte
		copy(bits[:], raw) // the lowest byte first
		var limbs [4]uint64
		v := new(big.Int)
		for i := 31; i >= 0; i-- {
			limbs[i/8] = limbs[i/8]<<8 | uint64(bits[i])
			v.Or(v.Lsh(v, 8), big.NewInt(int64(bits[i])))
		}
		if bits[31]&0x80 != 0 {
			v.Sub(v, pow(2, 256))
		}
		n := decimal256.New(limbs[3], limbs[2], limbs[1], limbs[0])
		minus, size := arrowfmt.Split256(&n)
		got, want := string(arrowfmt.AppendDecimal([]byte("x"), minus, size, int(places))), "x"+written(v, int(places))
		if got != want {
			t.Fatalf("%s with %d places is written as %s, want %s", v, places, got, want)
		}
	})
}
