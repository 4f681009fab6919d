package extract_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/queue"
)

// TestAFrozenProcessAddsNothingToAnEndedLane freezes a process in the middle of a
// partition, whose query is mended meanwhile, and lets it continue when the lane was ended
// by another.
func TestAFrozenProcessAddsNothingToAnEndedLane(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		bytes int  // of an entry
		trim  bool // the log is trimmed before it continues
	}{
		"before its first entry":                {1 << 20, false},
		"after some entries":                    {4 << 10, false},
		"before its first entry, a trimmed log": {1 << 20, true},
		"after some entries, a trimmed log":     {4 << 10, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, all := t.Context(), block.Range{Start: 0, End: 300}
			chain := newChain(t, all.End, func(block.Number) int { return 30 })
			b := setup(t, chain)
			b.x.Workers, b.x.EntryBytes = 1, c.bytes
			paused, resumes := make(chan struct{}), make(chan struct{})
			var first atomic.Bool
			chain.during = func(_ block.Range, sent int) error {
				if sent == 8 && first.CompareAndSwap(false, true) {
					close(paused)
					<-resumes
				}
				return nil
			}
			spec := b.x.Spec
			spec.Query = "SELECT * FROM test.rows"
			rev, err := b.state.SaveSpec(ctx, spec, 0)
			must(t, err)
			b.add(all)
			frozen, said := *b.x, &lines{}
			frozen.Logger = zerolog.New(said)
			running, stop := context.WithCancel(ctx)
			ended := make(chan error, 1)
			go func() { ended <- frozen.Run(running) }()
			<-paused

			// Of the same epoch: the frozen process, which hears nothing, would leave the
			// partition otherwise.
			spec.Version, spec.Query = 1, "SELECT * FROM test.mended"
			must(t, second(b.state.SaveSpec(ctx, spec, rev)))
			clearTasks(t, b.server, "test", queue.PartitionTask)
			must(t, second(b.tasks.Add(ctx, queue.PartitionTask, "0.0")))
			other, enough := context.WithCancel(ctx)
			over := make(chan error, 1)
			go func() { over <- b.x.Run(other) }()
			p := untilDone(t, b.state, "0.0")
			tail, err := b.log.Tail(ctx, p.Lane())
			must(t, err)
			if tail.Entry.Kind != entry.Ended || tail.Entry.Range.Start != p.End || (p.End == 0) != (c.bytes == 1<<20) {
				t.Fatalf("the partition ends at block %d, its lane with %+v", p.End, tail.Entry)
			}
			if c.trim {
				must(t, b.log.TrimLanes(ctx, queue.History, tail.Seq))
			}

			close(resumes)
			for deadline := time.Now().Add(20 * time.Second); !said.has("taken over by another worker"); {
				now, err := b.log.Tail(ctx, p.Lane())
				must(t, err)
				if now.Seq > tail.Seq || time.Now().After(deadline) {
					t.Fatalf("the ended lane was continued with %+v", now.Entry)
				}
				<-time.After(5 * time.Millisecond)
			}
			enough()
			must(t, <-over)
			stop()
			must(t, <-ended)
		})
	}
}
