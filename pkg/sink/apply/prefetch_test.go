package apply_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"

	arrowmemory "github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink"
)

// decodedMeanwhile is how many transactions' rows, of a thousand each, are in
// memory while the first transactions, one for each writer, do not end.
func decodedMeanwhile(t *testing.T, live bool, writers int) (loads float64) {
	synctest.Test(t, func(t *testing.T) {
		r := newEnv(t)
		for i, e := range entries(t, 60, 100) { // of a thousand rows
			r.log.append(queue.Message{Entry: e, Seq: uint64(i + 1), After: uint64(i), Lane: laneOf(live)})
		}
		memory := r.loop.Allocator.(*arrowmemory.CheckedAllocator)
		decoder := entry.NewDecoder(memory)
		_, records, err := decoder.Decode(r.log.all[59].Entry)
		if err != nil {
			t.Fatal(err)
		}
		one := memory.CurrentAlloc()
		for _, rec := range records {
			rec.Release()
		}
		r.loop.Writers = writers
		if live {
			r.loop.Source, r.loop.Live = newFakeLog(), r.log
			r.loop.Rows = 1
		}
		on := make(chan struct{})
		var first sync.WaitGroup
		first.Add(writers)
		calls := 0
		var mu sync.Mutex
		r.store.Faults.Begin = func(context.Context, []sink.Change) error {
			mu.Lock()
			calls++
			wait := calls <= writers
			mu.Unlock()
			if wait {
				first.Done()
				<-on
			}
			return nil
		}
		stop := r.start()
		first.Wait()
		synctest.Wait()
		loads = float64(memory.CurrentAlloc()) / float64(one)
		close(on)
		synctest.Wait()
		if err := stop(); err != nil {
			t.Error(err)
		}
		r.wantBlocks(100, upTo(600))
	})
	return loads
}

// TestLoopDecodesAhead: the next transaction's rows are ready before the one that
// runs has ended, and no more than these.
func TestLoopDecodesAhead(t *testing.T) {
	for writers := 1; writers <= 3; writers++ {
		if n := decodedMeanwhile(t, false, writers); n < float64(writers)+0.6 || n > float64(writers)+1.2 {
			t.Errorf("%d writers: rows of %.2f transactions are in memory, want one more than writers", writers, n)
		}
	}
}

// TestLiveEntriesShareTheNextTransaction: they are not decoded before it begins.
func TestLiveEntriesShareTheNextTransaction(t *testing.T) {
	if n := decodedMeanwhile(t, true, 1); n < 0.6 || n > 1.2 {
		t.Errorf("rows of %.2f transactions are in memory, want only those of the one that runs", n)
	}
}
