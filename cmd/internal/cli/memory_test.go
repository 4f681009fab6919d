package cli

import (
	"runtime"
	"runtime/metrics"
	"testing"
)

// A quiet process returns the memory that it needed before; one that still loads does not.
func TestMemoryIsReturned(t *testing.T) {
	const needed = 256 << 20
	b := make([]byte, needed)
	for i := range b {
		b[i] = 1
	}
	runtime.KeepAlive(b)
	b = nil
	runtime.GC()

	allocated, _ := memoryUse()
	before := returned()
	(&returner{allocated: allocated - quietBytes - 1}).look()
	if n := returned(); n > before+needed/2 {
		t.Errorf("%d bytes were returned while it loads", n-before)
	}
	(&returner{allocated: allocated}).look()
	if n := returned(); n < needed/2 {
		t.Errorf("%d bytes were returned of %d", n, needed)
	}
}

func returned() uint64 {
	samples := []metrics.Sample{{Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64()
}
