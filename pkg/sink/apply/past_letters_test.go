package apply_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/deadletter"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink/apply"
	"github.com/ampipe/ampipe/pkg/state"
)

// replayEnv is a destination whose refused rows are put aside, and a request to load some of
// its blocks again. Its process is killed at a call of NATS.
type replayEnv struct {
	*env
	letters *fakeLetters
	log     lanes
	mu      sync.Mutex
	seqs    map[string]uint64 // of the letters in their stream
	last    uint64
	request state.Replay
	rev     uint64
	calls   int
	killAt  int // the call at which the process is killed; 0: none
	after   bool
	kill    context.CancelFunc
}

// call makes a call of NATS. The process may be killed before or after it.
func (r *replayEnv) call(do func()) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls++
	if r.calls != r.killAt {
		do()
		return nil
	}
	if r.after {
		do()
	}
	r.kill()
	return context.Canceled
}

func (r *replayEnv) Put(ctx context.Context, letters []deadletter.Letter) (err error) {
	failed := r.call(func() {
		for _, l := range letters {
			r.last++
			r.seqs[fmt.Sprintf("%d.%s", l.Block, l.ID)] = r.last
		}
		err = r.letters.Put(context.WithoutCancel(ctx), letters)
	})
	if failed != nil {
		return failed
	}
	return err
}

func (r *replayEnv) TakeBack(context.Context, block.Number, uint64, uint64) error { return nil }

func (r *replayEnv) Mark(context.Context) (mark state.LettersMark, err error) {
	return mark, r.call(func() { mark = state.LettersMark{Stream: time.Unix(1, 0), Seq: r.last} })
}

func (r *replayEnv) Blocks(context.Context) (blocks block.Set, err error) {
	return blocks, r.call(func() {
		for _, l := range r.letters.all {
			blocks.Add(block.Closed(l.Block, l.Block))
		}
	})
}

func (r *replayEnv) RemoveBefore(_ context.Context, blocks block.Set, mark state.LettersMark) error {
	var keys []string
	r.mu.Lock()
	for key, l := range r.letters.all {
		if blocks.Has(l.Block) && r.seqs[key] <= mark.Seq {
			keys = append(keys, key)
		}
	}
	r.mu.Unlock()
	for _, key := range keys {
		err := r.call(func() { delete(r.letters.all, key) })
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *replayEnv) Replay(context.Context, string) (state.Replay, uint64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.request, r.rev, nil
}

func (r *replayEnv) WaitReplay(ctx context.Context, _ string, _ uint64) error {
	<-ctx.Done() // nobody else asks
	return ctx.Err()
}

func (r *replayEnv) SaveReplay(_ context.Context, _ string, q state.Replay, rev uint64) (uint64, error) {
	conflict := false
	err := r.call(func() {
		conflict = rev != r.rev
		if !conflict {
			r.request, r.rev = q, rev+1
		}
	})
	if conflict {
		return 0, queue.ErrConflict
	}
	return rev + 1, err
}

func (r *replayEnv) Partitions(context.Context) ([]queue.Stored[state.Partition], error) {
	return []queue.Stored[state.Partition]{{Value: state.Partition{End: 30}}}, nil
}

func (r *replayEnv) Report(context.Context, string) (state.SinkReport, uint64, error) {
	return state.SinkReport{Coverage: r.store.CommitState().Coverage}, 1, nil
}

// process carries requests out until it is killed, or a time is over.
func (r *replayEnv) process(name string, limit time.Duration) {
	ctx, kill := context.WithTimeout(r.Context(), limit)
	defer kill()
	r.mu.Lock()
	r.kill = kill
	r.mu.Unlock()
	loop := *r.loop
	loop.DeadLetters = r
	(&apply.Replayer{Loop: loop, Requests: r, Log: r.log, Letters: r, Worker: name}).Run(ctx)
}

// wantKnown fails if a row of a block that is there is in the destination and no letter.
func (r *replayEnv) wantKnown(when string) {
	r.Helper()
	known := map[string]bool{}
	for _, row := range r.store.Rows() {
		known[row.Values[0].(string)] = true
	}
	for _, text := range r.letters.current() {
		known[text] = true
	}
	for _, there := range r.store.CommitState().Coverage.Ranges() {
		for n := there.Start; n < there.End; n++ {
			for i := range 3 {
				if name := fmt.Sprintf("%d.%d", n, i); !known[name] {
					r.Errorf("%s: nobody knows of row %s", when, name)
				}
			}
		}
	}
}

// current returns the texts of the rows that are letters now.
func (f *fakeLetters) current() (texts []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key := range f.all {
		texts = append(texts, f.texts[key])
	}
	return texts
}

// TestLettersOfReplayedBlocks are removed once the blocks are there again, unless the row
// was refused again, wherever the process was killed meanwhile.
func TestLettersOfReplayedBlocks(t *testing.T) {
	for kill := 0; ; kill++ {
		calls := 0
		synctest.Test(t, func(t *testing.T) {
			all := entries(t, 3, 3)
			r := &replayEnv{env: newEnv(t, all...), log: lanes{}, seqs: map[string]uint64{}, letters: &fakeLetters{}}
			r.loop.DeadLetters = r
			r.refuse("3.1", "5.0", "5.2", "17.2")
			r.runs(time.Minute)
			r.loop.Live = nil
			for i, e := range all {
				r.log["p.0.0"] = append(r.log["p.0.0"], queue.Message{Entry: e, Seq: uint64(i + 1)})
			}
			if n := len(r.letters.all); n != 4 {
				t.Fatalf("%d letters: %v", n, r.letters.rows())
			}
			r.refuse("5.0", "17.2") // the table was mended
			blocks := block.NewSet(block.Closed(3, 3), block.Closed(5, 5))
			r.request = state.Replay{Blocks: blocks, FromLog: blocks.Clone(), Step: state.ReplayRemoves}
			r.rev, r.calls, r.killAt, r.after = 1, 0, (kill+1)/2, kill%2 == 0
			r.process("one", time.Minute)
			r.wantKnown("when it is killed")
			calls, r.killAt = r.calls, 0
			r.process("two", time.Minute)
			r.wantKnown("at the end")
			if r.request.Step != state.ReplayDone || len(r.request.Past) > 0 {
				t.Errorf("the request is %+v", r.request)
			}
			texts := slices.Sorted(slices.Values(r.letters.current()))
			if want := []string{"17.2", "5.0"}; !slices.Equal(texts, want) {
				t.Errorf("letters are %q, want %q", texts, want)
			}
			written := map[string]int{}
			for _, row := range r.store.Rows() {
				written[row.Values[0].(string)]++
			}
			if len(written) != 88 || slices.Max(slices.Collect(maps.Values(written))) != 1 {
				t.Errorf("%d rows are written", len(written))
			}
		})
		if t.Failed() {
			t.Fatalf("killed at call %d", (kill+1)/2)
		}
		if kill > 0 && calls < (kill+1)/2 {
			break // it was done before
		}
	}
}
