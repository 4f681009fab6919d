package amp

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"
)

func TestSizeClasses(t *testing.T) {
	last := -1
	for n := minPooled; n < 1<<22; n += 1 + n/1000 {
		index, size := class(n)
		if size < n || size > n+n/4+1 {
			t.Fatalf("%d bytes are given %d", n, size)
		}
		if again, same := class(size); again != index || same != size {
			t.Fatalf("%d bytes come from class %d and go back to %d", n, index, again)
		}
		if index < last {
			t.Fatalf("class %d of %d bytes is below the one before", index, n)
		}
		last = index
	}
}

func TestPooledAllocator(t *testing.T) {
	r := &pooledAllocator{from: memory.DefaultAllocator}
	for _, n := range []int{0, 1, minPooled - 1, minPooled, 2<<20 + 12345} {
		b := r.Allocate(n)
		if len(b) != n {
			t.Fatalf("%d bytes for %d", len(b), n)
		}
		for i := range b {
			b[i] = byte(i)
		}
		b = r.Reallocate(2*n, b)
		for i := range n {
			if b[i] != byte(i) {
				t.Fatalf("byte %d of %d was lost in growing", i, n)
			}
		}
		if b = r.Reallocate(n/2, b); len(b) != n/2 {
			t.Fatalf("%d bytes for %d", len(b), n/2)
		}
		r.Free(b)
	}
}
