package amptest

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Allocator returns memory for [amp.Config.Allocator] that fails the test when a record
// is not released, and spoils what is released, so that a record read too late
// fails instead of passing by luck.
func Allocator(t testing.TB) memory.Allocator {
	t.Helper()
	checked := memory.NewCheckedAllocator(spoiler{memory.DefaultAllocator})
	t.Cleanup(func() { checked.AssertSize(t, 0) })
	return checked
}

type spoiler struct{ memory.Allocator }

func (s spoiler) Free(b []byte) {
	for i := range b {
		b[i] = 0xdb
	}
	s.Allocator.Free(b)
}
