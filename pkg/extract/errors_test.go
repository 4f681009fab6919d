package extract_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/state"
)

// TestABrokenStreamGoesOn cuts every answer after two messages. That is more
// often than there are attempts, but each time something is gained.
func TestABrokenStreamGoesOn(t *testing.T) {
	t.Parallel()
	c := newChain(t, 200, func(block.Number) int { return 3 })
	c.during = func(_ block.Range, sent int) error {
		if sent == 2 {
			return errCut
		}
		return nil
	}
	b := setup(t, c)
	b.add(block.Range{Start: 0, End: 200})
	b.run(block.Range{Start: 0, End: 200})
	b.checkLog(block.Range{Start: 0, End: 200})
	for n, times := range c.reads {
		if times > 2 {
			t.Errorf("block %d was read %d times; only the last block of a broken stream is read again", n, times)
		}
	}
}

func TestGivesUpWhenNothingIsGained(t *testing.T) {
	t.Parallel()
	c := newChain(t, 100, someRows)
	c.before = func(r block.Range) error {
		if r.Start < 50 {
			return errCut
		}
		return nil
	}
	b := setup(t, c)
	b.add(block.Range{Start: 0, End: 50}, block.Range{Start: 50, End: 100})
	states := map[block.Number]state.Partition{}
	for _, p := range b.run(block.Range{Start: 0, End: 100}) {
		states[p.Start] = p
	}
	failed := states[0]
	if failed.State != state.PartitionFailed || !strings.Contains(failed.Error, "gave up after 3 attempts") ||
		!strings.Contains(failed.Error, errCut.Error()) {
		t.Errorf("partition %+v, want it failed with its error", failed)
	}
	if states[50].State != state.PartitionDone {
		t.Errorf("the other partition is %+v, want it done", states[50])
	}
}

// TestOnlyWhatIsNotInTheLogFails: blocks that had been read before the rest was given up are
// done, and nobody is told that they could not be read.
func TestOnlyWhatIsNotInTheLogFails(t *testing.T) {
	t.Parallel()
	c := newChain(t, 100, func(block.Number) int { return 3 })
	c.before = func(r block.Range) error {
		if r.Start > 0 {
			return errCut
		}
		return nil
	}
	c.during = func(_ block.Range, sent int) error {
		if sent == 2 {
			return errCut
		}
		return nil
	}
	b := setup(t, c)
	b.x.Workers = 1
	b.add(block.Range{End: 100})
	var done, failed block.Set
	for _, p := range b.run(block.Range{End: 100}) {
		if p.State == state.PartitionDone {
			done.Add(p.Range())
			b.checkLog(p.Range())
		} else {
			failed.Add(p.Range())
		}
	}
	if done.Len() == 0 || !done.Covers(block.Range{End: 100 - block.Number(failed.Len())}) {
		t.Errorf("%v are done and %v have failed, want the first ones done", done, failed)
	}
}

func TestTooMuchIsHalved(t *testing.T) {
	t.Parallel()
	c := newChain(t, 100, someRows)
	c.before = func(r block.Range) error {
		if r.Len() > 3 {
			return fmt.Errorf("fetch: %w", amp.ErrTooMuch)
		}
		return nil
	}
	b := setup(t, c)
	b.x.Workers = 1
	b.add(block.Range{Start: 0, End: 100})
	b.run(block.Range{Start: 0, End: 100})
	b.checkLog(block.Range{Start: 0, End: 100})
}

func TestOneBlockThatIsTooMuchFails(t *testing.T) {
	t.Parallel()
	c := newChain(t, 10, someRows)
	c.before = func(block.Range) error { return fmt.Errorf("fetch: %w", amp.ErrTooMuch) }
	b := setup(t, c)
	b.add(block.Range{Start: 0, End: 10})
	for _, p := range b.run(block.Range{Start: 0, End: 10}) {
		if p.State != state.PartitionFailed {
			t.Errorf("partition %+v, want it failed", p)
		}
	}
}

// TestABlockThatCannotBeComputedFailsAlone, the first, the last and others, whatever the
// reason is that only its own rows are to blame for.
func TestABlockThatCannotBeComputedFailsAlone(t *testing.T) {
	t.Parallel()
	for name, reason := range map[string]error{
		"a row":     amp.ErrRow,
		"a message": fault.Permanent(amp.ErrMessageSize),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad := []block.Number{0, 37, 38, 99}
			c := newChain(t, 100, someRows)
			c.before = func(r block.Range) error {
				for _, n := range bad {
					if r.Has(n) {
						return fmt.Errorf("fetch: %w", reason)
					}
				}
				return nil
			}
			b := setup(t, c)
			b.add(block.Range{Start: 0, End: 100})
			var failed block.Set
			for _, p := range b.run(block.Range{Start: 0, End: 100}) {
				if p.State == state.PartitionFailed {
					failed.Add(p.Range())
				}
			}
			if got, want := fmt.Sprint(failed.Ranges()), "[[0, 1) [37, 39) [99, 100)]"; got != want {
				t.Errorf("failed: %s, want %s", got, want)
			}
			b.checkLog(block.Range{Start: 0, End: 100}, bad...)
		})
	}
}

func TestBlocksThatAreNotThereYetAreWaitedFor(t *testing.T) {
	t.Parallel()
	c := newChain(t, 60, someRows)
	b := setup(t, c)
	waits := 0
	c.before = func(block.Range) error {
		waits++
		if waits == 2 { // asked again
			c.set(func(c *chain) { c.head = 100 })
		}
		return nil
	}
	b.add(block.Range{Start: 0, End: 100})
	b.x.NotYet = time.Millisecond
	b.run(block.Range{Start: 0, End: 100})
	b.checkLog(block.Range{Start: 0, End: 100})
	if !b.seen.waitedFor("the server has only [0, 60) of test") {
		t.Errorf("the reason for waiting is not told: %v", b.seen.waits)
	}
}

func TestRowsOutOfOrderFail(t *testing.T) {
	t.Parallel()
	c := newChain(t, 100, func(block.Number) int { return 1 })
	b := setup(t, c)
	b.x.Source = backwards{c}
	b.add(block.Range{Start: 0, End: 100})
	for _, p := range b.run(block.Range{Start: 0, End: 100}) {
		if p.State != state.PartitionFailed || !strings.Contains(p.Error, "not in order") {
			t.Errorf("partition %+v, want it failed because of the order", p)
		}
	}
}
