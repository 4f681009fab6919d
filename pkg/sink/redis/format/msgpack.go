package format

import "encoding/binary"

// The MessagePack that the script reads: texts, arrays of them and, in headers,
// maps. Nothing else is needed, and numbers would lose digits in Lua.

// AppendPacked writes a text.
func AppendPacked[T string | []byte](dst []byte, text T) []byte {
	switch n := len(text); {
	case n < 32:
		dst = append(dst, 0xa0|byte(n))
	case n < 256:
		dst = append(dst, 0xd9, byte(n))
	default:
		dst = binary.BigEndian.AppendUint32(append(dst, 0xdb), uint32(n))
	}
	return append(dst, text...)
}

// openText begins a text whose length is not known yet.
func openText(dst []byte) []byte { return append(dst, 0xd9, 0) }

// closeText ends the text that began at a position with openText, and returns it
// the form that AppendPacked returns.
func closeText(dst []byte, at int) []byte {
	n := len(dst) - at - 2
	switch {
	case n < 32:
		dst[at] = 0xa0 | byte(n)
		copy(dst[at+1:], dst[at+2:])
		return dst[:len(dst)-1]
	case n < 256:
		dst[at+1] = byte(n)
		return dst
	}
	dst = append(dst, 0, 0, 0)
	copy(dst[at+5:], dst[at+2:at+2+n])
	dst[at] = 0xdb
	binary.BigEndian.PutUint32(dst[at+1:], uint32(n))
	return dst
}

// OpenArray begins an array; [CloseArray] writes how many elements it got.
func OpenArray(dst []byte) []byte { return append(dst, 0xdd, 0, 0, 0, 0) }

// CloseArray ends the array of n elements that began at a position.
func CloseArray(dst []byte, at, n int) { binary.BigEndian.PutUint32(dst[at+1:], uint32(n)) }

// Header is the map that tells the script what to do.
type Header struct {
	buf []byte
	n   int
}

// Reset begins an empty header.
func (h *Header) Reset() { h.buf, h.n = append(h.buf[:0], 0xdf, 0, 0, 0, 0), 0 }

// Text adds a text.
func (h *Header) Text(name, value string) {
	h.buf, h.n = AppendPacked(AppendPacked(h.buf, name), value), h.n+1
}

// Flag adds a truth value.
func (h *Header) Flag(name string, value bool) {
	b := byte(0xc2)
	if value {
		b = 0xc3
	}
	h.buf, h.n = append(AppendPacked(h.buf, name), b), h.n+1
}

// List adds a list of texts.
func (h *Header) List(name string, values ...string) {
	h.buf, h.n = AppendPacked(h.buf, name), h.n+1
	at := len(h.buf)
	h.buf = OpenArray(h.buf)
	for _, v := range values {
		h.buf = AppendPacked(h.buf, v)
	}
	CloseArray(h.buf, at, len(values))
}

// packed writes a list of n texts that are packed already.
func (h *Header) packed(name string, texts []byte, n int) {
	h.buf, h.n = AppendPacked(h.buf, name), h.n+1
	at := len(h.buf)
	h.buf = append(OpenArray(h.buf), texts...)
	CloseArray(h.buf, at, n)
}

// Bytes returns the header, packed; it is valid until Reset.
func (h *Header) Bytes() []byte {
	binary.BigEndian.PutUint32(h.buf[1:], uint32(h.n))
	return h.buf
}

// headOf reads the head of a text or an array: its own width, the size of what follows, and
// whether that is a text. A width of 0 says that b does not begin with one.
func headOf(b []byte) (width, size int, text bool) {
	switch c := b[0]; {
	case c&0xe0 == 0xa0:
		return 1, int(c & 31), true
	case c&0xf0 == 0x90:
		return 1, int(c & 15), false
	case c == 0xd9 && len(b) > 1:
		return 2, int(b[1]), true
	case (c == 0xda || c == 0xdc) && len(b) > 2:
		return 3, int(binary.BigEndian.Uint16(b[1:])), c == 0xda
	case (c == 0xdb || c == 0xdd) && len(b) > 4:
		return 5, int(binary.BigEndian.Uint32(b[1:])), c == 0xdb
	}
	return 0, 0, false
}

// TextAt returns the text that packed bytes begin with: as it is packed, and what it
// says.
func TextAt(b []byte) (packed, text []byte) {
	width, size, _ := headOf(b)
	return b[:width+size], b[width : width+size]
}

// UnpackTexts reads the arrays of texts of an index entry, one array in the
// other, and hands out each text with its depth.
func UnpackTexts(b []byte, each func(depth int, text string)) error {
	left := []int{1}
	for len(b) > 0 {
		for len(left) > 0 && left[len(left)-1] == 0 {
			left = left[:len(left)-1]
		}
		if len(left) == 0 {
			return ErrState
		}
		left[len(left)-1]--
		width, size, text := headOf(b)
		if width == 0 {
			return ErrState
		}
		b = b[width:]
		if !text {
			left = append(left, size)
			continue
		}
		if len(b) < size {
			return ErrState
		}
		each(len(left)-1, string(b[:size]))
		b = b[size:]
	}
	return nil
}
