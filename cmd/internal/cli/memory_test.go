package cli

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"testing/synctest"
	"time"
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

// What a load has left is returned, also when it has not been collected yet.
func TestGarbageIsReturned(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	const needed = 256 << 20
	debug.FreeOSMemory()
	loaded, _ := memoryUse()
	b := make([]byte, needed)
	for i := range b {
		b[i] = 1
	}
	runtime.KeepAlive(b)
	b = nil

	allocated, unused := memoryUse()
	if unused >= worthReturning {
		t.Fatalf("%d bytes count as unused", unused)
	}
	before := returned()
	r := &returner{allocated: allocated, returned: loaded}
	r.look()
	if n := returned(); n < before+needed/2 {
		t.Errorf("%d bytes were returned of %d", n-before, needed)
	}
	if r.returned < allocated {
		t.Error("it would be returned once more")
	}
}

// A process that still loads is looked at again: it may be quiet then, without a collection.
func TestQuietIsSeenAfterALoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		allocated, _ := memoryUse()
		r := &returner{waits: true, allocated: allocated - quietBytes - 1}
		r.look()
		r.mu.Lock()
		waits := r.waits
		r.mu.Unlock()
		if !waits {
			t.Fatal("a process that loads is not looked at again")
		}
		time.Sleep(quiet + time.Millisecond)
		synctest.Wait()
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.waits {
			t.Error("a quiet process was not seen")
		}
	})
}

func returned() uint64 {
	samples := []metrics.Sample{{Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64()
}
