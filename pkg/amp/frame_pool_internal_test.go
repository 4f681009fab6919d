package amp

import "testing"

func TestFramePool(t *testing.T) {
	t.Parallel()
	var p framePool
	for _, length := range []int{0, 1, 1 << 10, maxFrame - 1, maxFrame, maxFrame + 1, 1 << 20} {
		b := p.Get(length)
		if len(*b) != length {
			t.Errorf("a buffer of %d bytes has %d", length, len(*b))
		}
		*b = (*b)[:length/2] // as a frame with padding is cut
		p.Put(b)
		if again := p.Get(length); len(*again) != length {
			t.Errorf("a buffer of %d bytes that was used before has %d", length, len(*again))
		}
	}
}
