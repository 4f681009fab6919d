package flightserver

import "testing"

// TestDataCount: only the payload of DATA frames counts, however the writes cut
// the frames.
func TestDataCount(t *testing.T) {
	frame := func(kind byte, size int) []byte {
		return append([]byte{0, byte(size >> 8), byte(size), kind, 0, 0, 0, 0, 1}, make([]byte, size)...)
	}
	var wire []byte
	for _, f := range [][]byte{frame(4, 0), frame(1, 30), frame(frameData, 700), frame(8, 4), frame(frameData, 0), frame(frameData, 9)} {
		wire = append(wire, f...)
	}
	for _, piece := range []int{1, 2, 7, 100, len(wire)} {
		var d dataCount
		for at := 0; at < len(wire); at += piece {
			d.add(wire[at:min(at+piece, len(wire))])
		}
		if d.data != 709 || d.left != 0 || d.have != 0 {
			t.Errorf("in pieces of %d: %d bytes of data, frame state %d %d", piece, d.data, d.left, d.have)
		}
	}
}
