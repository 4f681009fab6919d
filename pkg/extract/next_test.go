package extract_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/extract"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// preparing is a chain that can prepare queries.
type preparing struct {
	*chain
	prepared chan block.Range
}

func (p preparing) Prepare(_ context.Context, query string) error {
	m := bounds.FindStringSubmatch(query)
	p.prepared <- block.Range{Start: number(m[1]), End: number(m[2])}
	return nil
}

func setupPreparing(t *testing.T) (*env, preparing) {
	t.Helper()
	c := newChain(t, 300, someRows)
	b := setup(t, c)
	p := preparing{c, make(chan block.Range, 10)}
	b.x.Source, b.x.Workers = p, 1
	b.add(block.Range{Start: 0, End: 100}, block.Range{Start: 100, End: 200}, block.Range{Start: 200, End: 300})
	return b, p
}

// TestTheNextQueryIsPreparedWhileOneIsRead, and not the last, which another worker may take.
func TestTheNextQueryIsPreparedWhileOneIsRead(t *testing.T) {
	t.Parallel()
	b, p := setupPreparing(t)
	b.chain.before = func(r block.Range) error {
		if r.Start > 0 {
			return nil
		}
		select {
		case next := <-p.prepared:
			if want := (block.Range{Start: 100, End: 200}); next != want {
				t.Errorf("blocks %v are prepared, want %v", next, want)
			}
		case <-time.After(30 * time.Second):
			t.Error("nothing is prepared")
		}
		return nil
	}
	b.run(block.Range{Start: 0, End: 300})
	b.checkLog(block.Range{Start: 0, End: 300})
	if n := len(p.prepared); n > 0 {
		t.Errorf("%d more are prepared", n)
	}
}

// TestAPreparedPartitionIsGivenBackToAnIdleWorker: the first is read until another worker has
// read the next.
func TestAPreparedPartitionIsGivenBackToAnIdleWorker(t *testing.T) {
	t.Parallel()
	b, p := setupPreparing(t)
	given := make(chan struct{})
	var once sync.Once
	b.chain.before = func(r block.Range) error {
		switch {
		case r.Start >= 100 && r.Start < 200:
			once.Do(func() { close(given) })
		case r.Start < 100:
			select {
			case <-given:
			case <-time.After(30 * time.Second):
				t.Error("no other worker reads the next partition")
			}
		}
		return nil
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		<-p.prepared
		other := &extract.Extractor{
			Source: b.chain, Tasks: b.tasks, Log: b.log, State: b.state, Spec: b.x.Spec, Query: b.x.Query, Schema: b.x.Schema,
			Workers: 1, Backoff: b.x.Backoff, Codec: b.x.Codec, EntryBytes: b.x.EntryBytes, EntryLimit: b.x.EntryLimit,
			Observer: b.seen, Logger: b.x.Logger,
		}
		ended <- other.Run(ctx)
	}()
	b.run(block.Range{Start: 0, End: 300})
	stop()
	must(t, <-ended)
	b.checkLog(block.Range{Start: 0, End: 300})
}

// TestAPreparedPartitionIsGivenBackAtTheEnd, at once, and not when its time is over.
func TestAPreparedPartitionIsGivenBackAtTheEnd(t *testing.T) {
	t.Parallel()
	b, p := setupPreparing(t)
	ctx, stop := context.WithCancel(t.Context())
	b.chain.during = func(block.Range, int) error {
		<-p.prepared
		stop()
		return nil
	}
	must(t, b.x.Run(ctx))
	for range 3 {
		_, err := b.tasks.Poll(t.Context(), queue.PartitionTask)
		must(t, err)
	}
}

// holding calls a function before a partition has finished.
type holding struct {
	*seen
	finished func(state.Partition)
}

func (h holding) Finished(p state.Partition) {
	h.finished(p)
	h.seen.Finished(p)
}

// TestAPartitionEndsBesideTheNext: a worker reads the next while the last of one is on its way
// to the log.
func TestAPartitionEndsBesideTheNext(t *testing.T) {
	t.Parallel()
	b := setup(t, newChain(t, 200, someRows))
	b.x.Workers = 1
	next := make(chan struct{})
	b.chain.before = func(r block.Range) error {
		if r.Start == 100 {
			close(next)
		}
		return nil
	}
	b.x.Observer = holding{b.seen, func(p state.Partition) {
		if p.Start > 0 {
			return
		}
		select {
		case <-next:
		case <-time.After(30 * time.Second):
			t.Error("the next partition is not read before the first has ended")
		}
	}}
	b.add(block.Range{Start: 0, End: 100}, block.Range{Start: 100, End: 200})
	b.run(block.Range{Start: 0, End: 200})
	b.checkLog(block.Range{Start: 0, End: 200})
}
