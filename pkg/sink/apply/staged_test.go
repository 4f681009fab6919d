package apply_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/sinktest/memsink"
)

// stager keeps changes until they are committed to a destination in memory. A
// CommitState beside it says what would be refused.
type stager struct {
	*memsink.Writer
	refuse   func(sink.Change) error // when staged
	onCommit func() error            // before a commit, if set
	full     int                     // changes
	staged   []sink.Change
}

func (g *stager) NewStaging() sink.Staging { return g }

func (g *stager) Stage(_ context.Context, changes []sink.Change) (sink.Staged, error) {
	for _, c := range changes {
		if g.refuse != nil {
			if err := g.refuse(c); err != nil {
				return sink.Staged{}, err
			}
		}
	}
	for _, c := range changes {
		c.Records = slices.Clone(c.Records)
		for _, rec := range c.Records {
			rec.Retain()
		}
		g.staged = append(g.staged, c)
	}
	return sink.Staged{Full: g.full > 0 && len(g.staged) >= g.full}, nil
}

func (g *stager) Commit(ctx context.Context) (sink.Applied, error) {
	if g.onCommit != nil {
		if err := g.onCommit(); err != nil {
			return sink.Applied{}, err
		}
	}
	applied, err := g.Apply(ctx, g.staged)
	if err == nil {
		g.Discard()
	}
	return applied, err
}

func (g *stager) Discard() {
	for _, c := range g.staged {
		for _, rec := range c.Records {
			rec.Release()
		}
	}
	g.staged = nil
}

// stagingEnv is an env whose Writer is a stager.
func stagingEnv(t *testing.T, all ...entry.Entry) (*env, *stager) {
	r := newEnv(t, all...)
	g := &stager{Writer: r.loop.Writer.(*memsink.Writer)}
	r.loop.Writer = g
	return r, g
}

func TestHistoryIsStagedUntilTheLogIsRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all := entries(t, 60, 40)
		r, _ := stagingEnv(t, all...)
		r.log.limit = 4 * len(all[0].Payload) // far less than all of them: payloads are let go of
		stop := r.start()
		time.Sleep(450 * time.Millisecond)
		synctest.Wait()
		if acked := r.log.acked(); len(acked) > 0 {
			t.Errorf("%d entries were acknowledged before the commit", len(acked))
		}
		time.Sleep(500 * time.Millisecond)
		synctest.Wait()
		if sizes := r.watch.sizes(); !slices.Equal(sizes, []uint64{60 * 10 * 40}) {
			t.Errorf("commits of %v rows, want one of all", sizes)
		}
		if acked := r.log.acked(); len(acked) != 60 {
			t.Errorf("%d entries were acknowledged", len(acked))
		}
		r.wantBlocks(40, block.Range{End: 600})
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestTheEndOfHistoryIsCommittedAtOnce: who knows that nothing more comes need not
// wait. Where it is not known, that is asked again until a commit is due anyway.
func TestTheEndOfHistoryIsCommittedAtOnce(t *testing.T) {
	t.Parallel()
	for _, ended := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			asked := 0
			r, _ := stagingEnv(t)
			r.loop.Ended = func(context.Context) bool { asked++; return ended }
			stop := r.start()
			for _, e := range entries(t, 5, 5) {
				r.log.add(e)
			}
			time.Sleep(300 * time.Millisecond) // entries wait 200 ms for others
			synctest.Wait()
			if n := len(r.watch.sizes()); (n == 1) != ended {
				t.Errorf("%d commits soon after the last entry, ended: %t", n, ended)
			}
			time.Sleep(600 * time.Millisecond)
			synctest.Wait()
			if n := len(r.watch.sizes()); n != 1 || (asked == 1) != ended || asked > 30 {
				t.Errorf("%d commits, asked %d times, ended: %t", n, asked, ended)
			}
			r.wantBlocks(5, block.Range{End: 50})
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestASlowSourceIsStaged has pauses in the middle of a partition.
func TestASlowSourceIsStaged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, _ := stagingEnv(t)
		r.loop.StageTime = 10 * time.Second
		stop := r.start()
		for n := range block.Number(8) {
			r.log.add(encode(t, logSchema, entry.Header{Range: block.Closed(n, n), End: 8}, 0, 5))
			time.Sleep(2 * time.Second)
		}
		synctest.Wait()
		if n := len(r.watch.sizes()); n != 2 { // after 10 s, and at the partition's end
			t.Errorf("%d commits, want 2", n)
		}
		r.wantBlocks(5, block.Range{End: 8})
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestLiveEntriesWaitForTheWholeDelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, _ := stagingEnv(t)
		r.loop.StageTime = 10 * time.Second
		stop := r.start()
		began := time.Now()
		var seq uint64
		for n := range block.Number(12) {
			e := encoded(t, logSchema, block.Closed(n, n), 5)
			e.End = 0
			m := r.log.append(queue.Message{Entry: e, Lane: queue.LiveLane, After: seq})
			seq = m.Seq
			time.Sleep(2 * time.Second)
		}
		synctest.Wait()
		if n := len(r.watch.sizes()); n != 2 {
			t.Errorf("%d commits in %v, want 2", n, time.Since(began))
		}
		// The one that ends a bounded lane does not wait: nothing comes after it.
		e := encoded(t, logSchema, block.Closed(12, 12), 5)
		r.log.append(queue.Message{Entry: e, Lane: queue.LiveLane, After: seq})
		time.Sleep(time.Second)
		synctest.Wait()
		if n := len(r.watch.sizes()); n != 3 {
			t.Errorf("%d commits after the end of the lane, want 3", n)
		}
		if err := stop(); err != nil { // what is staged is committed when it stops
			t.Error(err)
		}
		r.wantBlocks(5, block.Range{End: 13})
		if n := r.log.outstanding(); n > 0 {
			t.Errorf("%d messages were not answered", n)
		}
	})
}

func TestAFullStagingIsCommittedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, g := stagingEnv(t, entries(t, 40, 40)...)
		g.full, r.loop.StageTime = 10, time.Hour
		r.loop.Rows = 1
		stop := r.start()
		time.Sleep(10 * time.Millisecond)
		synctest.Wait()
		if n := len(r.watch.sizes()); n < 3 {
			t.Errorf("%d commits, want one for each 10 entries", n)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		r.wantBlocks(40, block.Range{End: 400})
	})
}

// TestWhatHasToBeStagedAgainComesAgain lets commits fail in every way.
func TestWhatHasToBeStagedAgainComesAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, g := stagingEnv(t, entries(t, 20, 10)...)
		failures := []error{
			errors.New("a cut line"),
			fault.Later(errors.New("away"), time.Second),
			fmt.Errorf("another process was faster: %w", sink.ErrRestage),
			errors.New("a cut line"),
		}
		g.onCommit = func() error {
			if len(failures) == 0 {
				return nil
			}
			err := failures[0]
			failures = failures[1:]
			if errors.Is(err, sink.ErrRestage) {
				g.Discard()
			}
			return err
		}
		stop := r.start()
		time.Sleep(time.Minute)
		synctest.Wait()
		r.wantBlocks(10, block.Range{End: 200})
		for _, m := range r.log.all {
			if delivered, acked := m.counts(); delivered != 2 || acked != 1 {
				t.Errorf("entry %d was delivered %d times and acknowledged %d times", m.Seq, delivered, acked)
			}
		}
		if len(r.watch.paused()) == 0 || r.watch.resumed() == 0 {
			t.Error("nobody was told of the pause")
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestARefusedRowDoesNotKeepTheOthersBack has one row that cannot be held: the
// loop ends, and everything else is committed.
func TestARefusedRowDoesNotKeepTheOthersBack(t *testing.T) {
	t.Parallel()
	r, g := stagingEnv(t, entries(t, 20, 10)...)
	g.refuse = func(c sink.Change) error {
		if c.Range.Has(77) {
			return &sink.BadRowError{Block: 77, Row: 70, Column: "text", Reason: "the test refuses it"}
		}
		return nil
	}
	err := r.fails()
	if bad, ok := errors.AsType[*sink.BadRowError](err); !ok || bad.Block != 77 {
		t.Errorf("the loop ended with %v", err)
	}
	covered := r.store.CommitState().Coverage
	if covered.Has(77) || !covered.Covers(block.Range{Start: 70, End: 77}) || !covered.Covers(block.Range{Start: 78, End: 80}) {
		t.Errorf("coverage is %v: the blocks around 77 are missing", covered)
	}
}
