package amp

import (
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/freelist"
)

// pooledAllocator is an allocator that hands out freed memory again. Unlike what
// Arrow's builders expect of an allocator, it does not clear it: clearing and
// collecting cost as much as receiving a message does, and a message is about to
// be read into all of it. What is not asked for again is left to the collector.
type pooledAllocator struct {
	from  memory.Allocator // of memory that is not at hand
	sizes [4 * 64]freelist.List[[]byte]
}

// minPooled is the size, in bytes, below which reuse is not worth it.
const minPooled = 16 << 10

// class returns the size class of n bytes, and its size: four classes to each power
// of two, so that at most a fifth of the memory is wasted.
func class(n int) (index, size int) {
	top := bits.Len(uint(n-1)) - 3 // n-1 is 1xx times 2^top, and something
	step := (n-1)>>top + 1
	return 4*top + step, step << top
}

// Allocate returns n bytes of any content.
func (r *pooledAllocator) Allocate(n int) []byte {
	if n < minPooled {
		return r.from.Allocate(n)
	}
	index, size := class(n)
	if b, ok := r.sizes[index].Get(); ok {
		return b[:n]
	}
	return r.from.Allocate(size)[:n]
}

// Reallocate grows or shrinks b.
func (r *pooledAllocator) Reallocate(n int, b []byte) []byte {
	if n <= cap(b) {
		return b[:n]
	}
	grown := r.Allocate(n)
	copy(grown, b)
	r.Free(b)
	return grown
}

// Free keeps b for the next message of its size.
func (r *pooledAllocator) Free(b []byte) {
	if cap(b) < minPooled {
		return
	}
	b = b[:cap(b)]
	if index, size := class(len(b)); size == len(b) {
		r.sizes[index].Put(b)
	}
}
