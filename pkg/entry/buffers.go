package entry

import (
	"bytes"

	"github.com/ampipe/ampipe/pkg/freelist"
)

// Buffers are what encoders write to while they encode: an entry before compression, and
// once more compressed. Encoders that share them need the memory of those that encode at
// the same time, and not of all that exist. What is not in use is left to Go's collector.
type Buffers struct {
	turns chan struct{}
	idle  freelist.List[*buffers]
	done  freelist.List[[]byte] // payloads
}

type buffers struct {
	stream bytes.Buffer
	packed []byte
	small  int // uses in a row that needed little of stream
}

// After smallUses of less than a quarter, the memory is left to the collector, unless it has
// only smallBuffer bytes: a live lane begins with large entries, and has small ones for ever.
const (
	smallUses   = 16
	smallBuffer = 256 << 10
)

// trim drops memory that has not been needed for some time.
func (b *buffers) trim() {
	if room := b.stream.Cap(); room <= smallBuffer || b.stream.Len() > room/4 {
		b.small = 0
		return
	}
	b.small++
	if b.small == smallUses {
		*b = buffers{}
	}
}

// NewBuffers returns buffers for so many encoders at a time; others wait for their turn.
func NewBuffers(n int) *Buffers { return &Buffers{turns: make(chan struct{}, n)} }

// Share makes the encoder use b from now on. It is not called while the encoder encodes.
func (e *Encoder) Share(b *Buffers) { e.buffers = b }

// take waits for a turn, which ends with put.
func (b *Buffers) take() *buffers {
	b.turns <- struct{}{}
	if idle, ok := b.idle.Get(); ok {
		return idle
	}
	return new(buffers)
}

func (b *Buffers) put(used *buffers) {
	used.trim()
	b.idle.Put(used)
	<-b.turns
}

// payload returns a copy of packed, in memory that was given back if there is any.
func (b *Buffers) payload(packed []byte) []byte {
	if done, ok := b.done.Get(); ok {
		return append(done[:0], packed...)
	}
	return bytes.Clone(packed)
}

// Reuse takes the payload of an entry back, which nobody may read any more.
func (e *Encoder) Reuse(of *Entry) {
	if cap(of.Payload) > 0 {
		payload := of.Payload
		of.Payload = nil
		e.buffers.done.Put(payload)
	}
}
