package amp

import "github.com/ampipe/ampipe/pkg/freelist"

// maxFrame is the largest HTTP/2 frame that a server may send, since the client asks for no
// larger ones (RFC 9113, 4.2).
const maxFrame = 16 << 10

// framePool hands out the buffers into which gRPC reads frames. gRPC's own pool clears a
// buffer each time, a twentieth of what reading costs, and the frame overwrites it anyway.
// It is safe for concurrent use.
type framePool struct{ frames freelist.List[*[]byte] }

// Get implements mem.BufferPool: what the buffer holds is anything.
func (p *framePool) Get(length int) *[]byte {
	if length > maxFrame {
		b := make([]byte, length)
		return &b
	}
	b, ok := p.frames.Get()
	if !ok {
		full := make([]byte, maxFrame)
		b = &full
	}
	*b = (*b)[:length]
	return b
}

// Put implements mem.BufferPool.
func (p *framePool) Put(b *[]byte) {
	if cap(*b) == maxFrame {
		p.frames.Put(b)
	}
}
