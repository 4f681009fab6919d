package rdb

import (
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// FuzzHash holds that a reader of the format finds in a hash what was written, forwards
// and backwards, whatever stands before it. Lines of the text are names and values.
func FuzzHash(f *testing.F) {
	for _, seed := range []string{
		"a\n1", "", "\n", "0\n-0\n00\n-\n+1", "127\n128\n-1\n-4096\n-4097\n4095\n4096", "32767\n32768\n-32768\n-32769\n8388607\n8388608\n-8388608\n-8388609",
		"2147483647\n2147483648\n-2147483648\n-2147483649\n9223372036854775807\n9223372036854775808\n-9223372036854775808\n-9223372036854775809",
		strings.Repeat("x", 63) + "\n" + strings.Repeat("x", 64) + "\n" + strings.Repeat("x", 4095) + "\n" + strings.Repeat("x", 4096),
	} {
		f.Add(seed, uint8(len(seed)))
	}
	f.Fuzz(func(t *testing.T, text string, before uint8) {
		checkHash(t, int(before), strings.Split(text, "\n"))
	})
}

// TestHashOfManyFields: 16 bits do not hold the number of elements.
func TestHashOfManyFields(t *testing.T) {
	for _, n := range []int{math.MaxUint16 - 1, math.MaxUint16, math.MaxUint16 + 1, 70_000} {
		checkHash(t, 7, make([]string, n))
	}
}

func checkHash(t *testing.T, start int, want []string) {
	t.Helper()
	dump := OpenHash(make([]byte, start))
	for _, field := range want {
		dump = CloseElement(append(OpenElement(dump), field...), len(dump))
	}
	dump = CloseHash(dump, start, len(want))[start:]

	body, end := dump[:len(dump)-8], dump[len(dump)-10:]
	if dump[0] != 16 || dump[1] != 0x80 || binary.LittleEndian.Uint16(end) != 10 || binary.LittleEndian.Uint64(end[2:]) != bitwise(body) {
		t.Fatalf("begins with %x and ends with %x", dump[:2], end)
	}
	pack := body[6 : len(body)-2]
	if n := len(pack); int(binary.BigEndian.Uint32(dump[2:])) != n || int(binary.LittleEndian.Uint32(pack)) != n ||
		int(binary.LittleEndian.Uint16(pack[4:])) != min(len(want), math.MaxUint16) || pack[n-1] != 0xff {
		t.Fatalf("the listpack of %d bytes and %d elements begins with %x", n, len(want), pack[:6])
	}
	got, sizes := elements(t, pack[6:len(pack)-1])
	if !slices.Equal(got, want) {
		t.Fatalf("got %.100q, want %.100q", got, want)
	}
	at := len(pack) - 1
	for _, size := range slices.Backward(sizes) {
		length := 0
		for shift := 0; ; shift += 7 {
			at--
			length |= int(pack[at]&127) << shift
			if pack[at] < 128 {
				break
			}
		}
		if length != size {
			t.Fatalf("an element of %d bytes says %d to who reads backwards", size, length)
		}
		at -= size
	}
}

// elements reads those of a listpack, and their sizes without what is for reading
// backwards.
func elements(t *testing.T, pack []byte) (texts []string, sizes []int) {
	for len(pack) > 0 {
		head, size, text := pack[0], 0, ""
		integer := func(bytes int) {
			var wide [8]byte
			copy(wide[8-bytes:], pack[1:1+bytes])
			v := int64(binary.LittleEndian.Uint64(wide[:])) >> (64 - 8*bytes)
			size, text = 1+bytes, strconv.FormatInt(v, 10)
		}
		stored := func(before, n int) { size, text = before+n, string(pack[before:before+n]) }
		switch {
		case head < 0x80:
			size, text = 1, strconv.Itoa(int(head))
		case head < 0xc0:
			stored(1, int(head&63))
		case head < 0xe0:
			v := int16(binary.BigEndian.Uint16(pack)<<3) >> 3
			size, text = 2, strconv.Itoa(int(v))
		case head < 0xf0:
			stored(2, int(head&15)<<8|int(pack[1]))
		case head == 0xf0:
			stored(5, int(binary.LittleEndian.Uint32(pack[1:])))
		case head <= 0xf4:
			integer([]int{2, 3, 4, 8}[head-0xf1])
		default:
			t.Fatalf("an element begins with %x", head)
		}
		texts, sizes = append(texts, text), append(sizes, size)
		back := 1
		for rest := size >> 7; rest > 0; rest >>= 7 {
			back++
		}
		pack = pack[size+back:]
	}
	return texts, sizes
}

// bitwise is the checksum, one bit at a time.
func bitwise(b []byte) (crc uint64) {
	for _, c := range b {
		crc ^= uint64(c)
		for range 8 {
			crc = crc>>1 ^ jones*(crc&1)
		}
	}
	return crc
}

// TestChecksum: the check value of CRC-64 of Jones, as Redis itself tests it, and texts of
// every length, of which the ends are read otherwise.
func TestChecksum(t *testing.T) {
	if got := checksum([]byte("123456789")); got != 0xe9c6d914c4b8d9ca {
		t.Errorf("got %#x", got)
	}
	text := make([]byte, 100)
	for i := range text {
		text[i] = byte(i*i*37 + 11)
		if got, want := checksum(text[:i]), bitwise(text[:i]); got != want {
			t.Errorf("%d bytes: got %#x, want %#x", i, got, want)
		}
	}
}

// BenchmarkChecksum: a row has some 600 bytes.
func BenchmarkChecksum(b *testing.B) {
	row := make([]byte, 600)
	b.SetBytes(int64(len(row)))
	for b.Loop() {
		checksum(row)
	}
}
