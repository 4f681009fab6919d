package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/pipeline"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/sinktest/memsink"
	"github.com/ampipe/ampipe/pkg/state"
	"github.com/ampipe/ampipe/pkg/status"
)

// told is what a program knows that only listens to an observer.
type told struct {
	testing.TB
	inside  atomic.Int32 // calls under way
	changed chan struct{}

	mu      sync.Mutex
	results map[string]bool      // by the id of the partition
	history block.Set            // of results
	live    map[string]block.Set // of each sink
	from    map[string]block.Number
	last    map[string]block.Hash
}

func (w *told) observer() pipeline.Observer {
	return pipeline.Observer{Partition: w.partition, Live: w.blocks}
}

// enter notes a call; leave ends it.
func (w *told) enter() (leave func()) {
	if w.inside.Add(1) > 1 {
		w.Error("two functions of an observer run at once")
	}
	w.mu.Lock()
	return func() {
		w.mu.Unlock()
		w.inside.Add(-1)
		select {
		case w.changed <- struct{}{}:
		default:
		}
	}
}

func (w *told) partition(r pipeline.Result) {
	defer w.enter()()
	if r.Pipeline != "watched" || r.State != state.PartitionDone || r.Error != "" || r.Tries != 1 || r.Seconds <= 0 ||
		r.RowsPerSec != float64(r.Rows)/r.Seconds || w.results[r.Partition] {
		w.Errorf("a result is %+v", r)
	}
	w.results[r.Partition] = true
	w.history.Add(r.Blocks())
}

func (w *told) blocks(b pipeline.LiveBlocks) {
	defer w.enter()()
	held := w.live[b.Sink]
	first, known := w.from[b.Sink]
	switch {
	case b.Pipeline != "watched" || b.Blocks.Empty():
		w.Errorf("blocks are %+v", b)
	case !b.Undone && !slices.Equal(held.Missing(b.Blocks), []block.Range{b.Blocks}):
		w.Errorf("sink %s is said to hold blocks %v again; it had %v", b.Sink, b.Blocks, held)
	case !b.Undone && (b.Hash.IsZero() || b.Seen.IsZero()):
		w.Errorf("blocks are %+v", b)
	case b.Undone && !held.Covers(block.Range{Start: max(first, b.Blocks.Start), End: b.Blocks.End}):
		w.Errorf("sink %s is said to have undone blocks %v; it had %v", b.Sink, b.Blocks, held)
	}
	if !known || b.Blocks.Start < first {
		w.from[b.Sink] = b.Blocks.Start
	}
	if b.Undone {
		held.Remove(b.Blocks)
	} else {
		held.Add(b.Blocks)
		w.last[b.Sink] = b.Hash
	}
	w.live[b.Sink] = held
}

// await waits until each sink is known to be at the head of the chain.
func (w *told) await(head block.Cursor, sinks ...string) {
	w.Helper()
	limit := time.After(time.Minute)
	for {
		w.mu.Lock()
		behind := slices.ContainsFunc(sinks, func(name string) bool {
			held := w.live[name]
			return !held.Covers(block.Range{Start: w.from[name], End: head.Number + 1}) || w.last[name] != head.Hash
		})
		w.mu.Unlock()
		if !behind {
			return
		}
		select {
		case <-w.changed:
		case <-limit:
			w.Fatalf("it was not told that the sinks are at block %d: %v", head.Number, w.live)
		}
	}
}

// resultLine is the line of a partition in the log.
var resultLine = regexp.MustCompile(`"level":"info","pipeline":"watched","partition":"\d+\.\d+","range":"\[\d+, \d+\)",` +
	`"rows":\d+,"seconds":[\d.e-]+,"rows_per_second":\d+,"tries":1,"message":"partition done"`)

// TestAnObserverKnowsWhatTheDestinationsHold: through reorgs and a restart, of sinks that
// commit each block and of those that collect them. The embedding program ends a run by its
// context, which is no failure.
func TestAnObserverKnowsWhatTheDestinationsHold(t *testing.T) {
	t.Parallel()
	chain := newModelChain(rand.New(rand.NewPCG(7, 133)))
	srv := amptest.Start(t, func(q amptest.Query) amptest.Answer {
		if q.Stream() {
			return chain.Answer(q)
		}
		return batch(chain.Chain, q.SQL)
	})
	store := &memsink.Store{}
	memory := sink.Custom("memory", func(struct{}) (sink.Writer, error) { return store.Writer(), nil })
	pipelines, err := config.Parse(filepath.Join(t.TempDir(), "pipeline.yaml"), fmt.Appendf(nil, `
pipeline: watched
source: { amp: %q, query: "SELECT * FROM model.rows" }
range: { reorg_buffer: 50, partition_size: 100 }
nats: { embedded: ./nats }
extract: { workers: 2 }
log: { max_bytes: 256MiB, entry_bytes: 64KiB }
sinks:
  - { name: store, custom: { kind: memory } }
  - { name: lake, delta: { path: ./lake, max_commit_delay: 100ms, checkpoint_every: 100 } }
`, srv.URL()), func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	seen := &told{
		TB: t, changed: make(chan struct{}, 1), results: map[string]bool{},
		live: map[string]block.Set{}, from: map[string]block.Number{}, last: map[string]block.Hash{},
	}
	var log journal
	start := func() (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- pipeline.Run(ctx, pipelines, pipeline.Options{
				Destinations: append(allDestinations(), memory), Observer: seen.observer(), Logger: zerolog.New(&log),
			})
		}()
		return func() {
			cancel()
			err := <-done
			if !errors.Is(err, context.Canceled) || !errors.Is(err, ops.ErrInterrupted) {
				t.Errorf("the run ended with %v", err)
			}
		}
	}
	for range 2 {
		stop := start()
		seen.await(chain.Head(), "store", "lake")
		for _, depth := range []int{0, 12, 60, 1} {
			if depth > 0 {
				chain.reorg(depth)
			}
			chain.extend(chain.build(chain.head()+1, 2))
			seen.await(chain.Head(), "store", "lake")
		}
		stop()
		viewer := pipeline.NewViewer(pipelines)
		overview := viewer.Look(t.Context())
		viewer.Close()
		if all := overview.Pipelines[0].Processes; len(all) != 1 || all[0].State != status.Ended || all[0].Error != "" {
			t.Errorf("the process that was told to stop is shown as %+v", all)
		}
		chain.reorg(5) // while nothing runs
	}

	live := store.CommitState().Live
	if want := block.NewSet(block.Range{Start: live.Start, End: live.Cursor.Number + 1}); !seen.live["store"].Equal(want) {
		t.Errorf("the observer knows of live blocks %v, the destination has %v", seen.live["store"], want)
	}
	if !seen.history.Covers(block.Range{End: live.Start}) {
		t.Errorf("there were results of blocks %v, the live lane begins at %d", seen.history, live.Start)
	}
	if tail := log.tail(journalLines); !resultLine.MatchString(tail) {
		t.Errorf("the log has no line of a result:\n%.2000s", tail)
	}
}
