package extract_test

import (
	"context"
	"iter"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/pool"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// watched is a source that knows how many of its answers are being read, and how many were
// broken off.
type watched struct {
	*chain
	reading, broken atomic.Int64
}

func (w *watched) Fetch(ctx context.Context, query string) iter.Seq2[amp.Message, error] {
	return func(yield func(amp.Message, error) bool) {
		w.reading.Add(1)
		defer w.reading.Add(-1)
		for msg, err := range w.chain.Fetch(ctx, query) {
			if ctx.Err() != nil {
				w.broken.Add(1)
			}
			if !yield(msg, err) {
				return
			}
		}
	}
}

// readBy waits until so many workers read.
func (w *watched) readBy(t *testing.T, n int64) {
	t.Helper()
	for limit := time.Now().Add(30 * time.Second); w.reading.Load() != n; time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("%d workers read, want %d", w.reading.Load(), n)
		}
	}
}

// TestWorkersLeave has an extractor work with more and with fewer workers while it reads:
// those that leave finish what they read, and others read the rest.
func TestWorkersLeave(t *testing.T) {
	t.Parallel()
	c := newChain(t, 3000, func(block.Number) int { return 1 })
	slow := make(chan struct{})
	c.during = func(block.Range, int) error {
		select {
		case <-slow:
		case <-time.After(10 * time.Millisecond):
		}
		return nil
	}
	b := setup(t, c)
	source := &watched{chain: c}
	b.x.Source, b.x.Resize = source, pool.Of(1)
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- b.x.Run(ctx) }()
	for i := range block.Number(3) {
		b.add(block.Range{Start: 1000 * i, End: 1000 * (i + 1)})
	}
	source.readBy(t, 1)
	b.x.Resize.Set(3)
	source.readBy(t, 3)
	b.x.Resize.Set(1)
	source.readBy(t, 1) // long before the partitions, of two seconds each, have been read
	left := block.Set{}
	for range 2 {
		p := <-b.seen.done
		if p.State != state.PartitionDone || p.Range().Len() > 900 || p.Attempts != 1 {
			t.Errorf("a worker that left has finished %+v", p)
		}
		left.Add(p.Range())
	}
	close(slow)
	for have := left; !have.Covers(block.Range{Start: 0, End: 3000}); {
		select {
		case p := <-b.seen.done:
			have.Add(p.Range())
		case <-ctx.Done():
			t.Fatalf("blocks %v are missing", have.Missing(block.Range{Start: 0, End: 3000}))
		}
		if n := source.reading.Load(); n > 1 {
			t.Errorf("%d workers read, want one", n)
		}
	}
	stop()
	must(t, <-ended)
	b.checkLog(block.Range{Start: 0, End: 3000})
	if n := source.broken.Load(); n > 0 {
		t.Errorf("%d answers were broken off", n)
	}
	again := 0
	for _, n := range c.reads {
		again += n - 1
	}
	if again > 40 { // the messages on their way to the workers that left
		t.Errorf("%d blocks were read again", again)
	}
}

// TestAWorkerThatWaitsLeavesAtOnce returns its partition, of which the source has nothing yet.
func TestAWorkerThatWaitsLeavesAtOnce(t *testing.T) {
	t.Parallel()
	c := newChain(t, 0, func(block.Number) int { return 1 })
	b := setup(t, c)
	b.x.Resize, b.x.NotYet = pool.Of(2), time.Hour
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- b.x.Run(ctx) }()
	b.add(block.Range{Start: 0, End: 10}, block.Range{Start: 10, End: 20})
	b.seen.comesTo(t, "partition 0.0", true)
	b.seen.comesTo(t, "partition 10.0", true)
	b.x.Resize.Set(1)
	task, err := b.tasks.Poll(ctx, queue.PartitionTask)
	must(t, err) // not only when the time of the task is over
	must(t, task.Later(ctx, 0))
	stop()
	must(t, <-ended)
}

// TestAPartitionIsBounded when a worker takes it: it was planned when the bound was another.
func TestAPartitionIsBounded(t *testing.T) {
	t.Parallel()
	b := setup(t, newChain(t, 1000, someRows))
	b.x.Workers, b.x.MostBlocks = 2, func() uint64 { return 150 }
	b.add(block.Range{Start: 0, End: 1000})
	for _, p := range b.run(block.Range{Start: 0, End: 1000}) {
		if n := p.Range().Len(); n > 150 {
			t.Errorf("partition %s has %d blocks", p.ID(), n)
		}
	}
	b.checkLog(block.Range{Start: 0, End: 1000})
}
