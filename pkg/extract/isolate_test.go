package extract_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// failing returns the blocks of partitions that have failed, and their errors.
func failing(parts []state.Partition) (blocks block.Set, errs []string) {
	for _, p := range parts {
		if p.State == state.PartitionFailed {
			blocks.Add(p.Range())
			errs = append(errs, p.Error)
		}
	}
	return blocks, errs
}

// TestAFailureIsAsSmallAsItsFault finds the blocks at fault, wherever they are, and has
// everything else in the log.
func TestAFailureIsAsSmallAsItsFault(t *testing.T) {
	t.Parallel()
	all := block.Range{Start: 0, End: 60}
	errBad := fault.Permanent(errors.New("the text is not UTF-8"))
	errCast := errors.New("Cast error: Cannot cast string to Int64") // of a class that may pass
	for name, c := range map[string]struct {
		bad []block.Number
		err error
		mid bool // the error comes behind some rows
	}{
		"one in the middle":         {[]block.Number{31}, errBad, false},
		"behind some rows":          {[]block.Number{31}, errBad, true},
		"the first":                 {[]block.Number{0}, errBad, false},
		"the last":                  {[]block.Number{59}, errBad, false},
		"neighbours":                {[]block.Number{7, 8, 40}, errBad, false},
		"a cast that may well pass": {[]block.Number{31}, errCast, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad := block.Set{}
			for _, n := range c.bad {
				bad.Add(block.Closed(n, n))
			}
			source := newChain(t, 60, someRows)
			fails := func(r block.Range) error {
				if missing := bad.Missing(r); len(missing) == 1 && missing[0] == r {
					return nil
				}
				return c.err
			}
			source.before = fails
			if c.mid { // the message that would have the block is not sent
				next := func(r block.Range, sent int) error {
					return fails(block.Range{Start: r.Start, End: min(r.End, r.Start+block.Number((sent+1)*7))})
				}
				source.before = func(r block.Range) error { return next(r, 0) }
				source.during = next
			}
			b := setup(t, source)
			b.x.Backoff.Attempts = 40
			b.add(all)
			blocks, errs := failing(b.run(all))
			if fmt.Sprint(blocks) != fmt.Sprint(bad) {
				t.Errorf("failed: %v, want %v", blocks, bad)
			}
			for _, e := range errs {
				if !strings.Contains(e, c.err.Error()) {
					t.Errorf("the error is %q", e)
				}
			}
			b.checkLog(all, c.bad...)
		})
	}
}

// TestWhatEveryBlockHas does not fail block by block what cannot be read at all.
func TestWhatEveryBlockHas(t *testing.T) {
	t.Parallel()
	all := block.Range{Start: 0, End: 1000}
	for name, c := range map[string]struct {
		err  error
		most int // partitions that fail
	}{
		"for good":            {fault.Permanent(errors.New("no block is right")), 33},
		"what might pass":     {errors.New("no block is right"), 16}, // tails are given away meanwhile
		"the order of rows":   {fault.Permanent(&entry.OrderError{Block: 3, After: 5, Range: all}), 1},
		"a query of no sense": {fault.Permanent(&amp.Error{Code: "InvalidArgument"}), 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := newChain(t, 1000, someRows)
			source.before = func(block.Range) error { return c.err }
			b := setup(t, source)
			b.x.Workers, b.x.Backoff.Attempts = 1, 60
			b.add(all)
			blocks, errs := failing(b.run(all))
			if !blocks.Covers(all) || len(errs) > c.most {
				t.Errorf("%d partitions failed: %v", len(errs), blocks)
			}
			if n := len(source.asked); n > 1000 {
				t.Errorf("%d queries were made", n)
			}
		})
	}
}

// TestABlockThatIsTooLargeFailsAlone has one block that one step cannot take.
func TestABlockThatIsTooLargeFailsAlone(t *testing.T) {
	t.Parallel()
	all := block.Range{Start: 0, End: 20}
	source := newChain(t, 20, func(n block.Number) int {
		if n == 13 {
			return 60_000 // in more than a thousand messages of this size
		}
		return 3
	})
	b := setup(t, source)
	b.x.EntryLimit, b.x.Codec = 2000, entry.None
	b.add(all)
	blocks, errs := failing(b.run(all))
	if fmt.Sprint(blocks) != fmt.Sprint(block.NewSet(block.Closed(13, 13))) {
		t.Errorf("failed: %v", blocks)
	}
	if len(errs) != 1 || !strings.Contains(errs[0], "block 13 takes") || !strings.Contains(errs[0], "raise max_payload of the NATS server") {
		t.Errorf("errors: %v", errs)
	}
	b.checkLog(all, 13)
}

// TestAMendedQueryHasFaultsOfItsOwn: how many blocks the query before has failed at says
// nothing about it.
func TestAMendedQueryHasFaultsOfItsOwn(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	source := newChain(t, 1060, someRows)
	source.before = func(r block.Range) error {
		if r.Start < 1000 || r.Has(1031) {
			return fault.Permanent(errors.New("not right"))
		}
		return nil
	}
	b := setup(t, source)
	b.x.Workers = 1
	spec := b.x.Spec
	rev, err := b.state.SaveSpec(ctx, spec, 0)
	must(t, err)
	b.add(block.Range{Start: 0, End: 1000})
	run, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- b.x.Run(run) }()
	until := func(all block.Range) block.Set {
		var parts []state.Partition
		for have := (block.Set{}); !have.Covers(all); {
			select {
			case p := <-b.seen.done:
				have.Add(p.Range())
				parts = append(parts, p)
			case <-time.After(20 * time.Second):
				t.Fatalf("blocks %v are missing", have.Missing(all))
			}
		}
		blocks, _ := failing(parts)
		return blocks
	}
	until(block.Range{Start: 0, End: 1000})
	spec.Epoch, spec.Version, spec.Query = spec.Epoch+1, 1, "SELECT * FROM test.mended"
	must(t, second(b.state.SaveSpec(ctx, spec, rev)))
	p := state.Partition{Start: 1000, End: 1060, State: state.PartitionOpen, Version: 1}
	must(t, second(b.state.CreatePartition(ctx, p)))
	must(t, second(b.tasks.Add(ctx, queue.PartitionTask, p.ID())))
	blocks := until(p.Range())
	stop()
	must(t, <-ended)
	if want := block.NewSet(block.Closed(1031, 1031)); fmt.Sprint(blocks) != fmt.Sprint(want) {
		t.Errorf("failed: %v, want %v", blocks, want)
	}
}

// TestABlockThatFailsHoldsNobody: while blocks that may yet be read are tried again, one
// worker reads all others, also neighbours of blocks that fail; once they can be read
// nothing has failed.
func TestABlockThatFailsHoldsNobody(t *testing.T) {
	t.Parallel()
	for name, reason := range map[string]error{
		"an error that may pass":  errors.New("INTERNAL"),
		"too much for the server": fmt.Errorf("fetch: %w", amp.ErrTooMuch),
		"no answer":               fault.Later(fmt.Errorf("%w: %w", amp.ErrTooMuch, amp.ErrNoAnswer), time.Millisecond),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all, bad := block.Range{Start: 0, End: 300}, block.NewSet(block.Closed(7, 7), block.Closed(31, 33), block.Closed(299, 299))
			b := setup(t, newChain(t, 300, someRows))
			b.chain.before = func(r block.Range) error {
				if missing := bad.Missing(r); len(missing) == 1 && missing[0] == r {
					return nil
				}
				return reason
			}
			b.x.Workers, b.x.Backoff.Attempts = 1, 0
			b.add(all)
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- b.x.Run(ctx) }()
			read := func(want block.Range, but []block.Range) {
				t.Helper()
				for limit := time.Now().Add(30 * time.Second); ; <-time.After(5 * time.Millisecond) {
					have := block.NewSet(but...)
					b.chain.set(func(c *chain) {
						for n := range c.reads {
							have.Add(block.Closed(n, n))
						}
					})
					if have.Covers(want) {
						return
					}
					if time.Now().After(limit) {
						t.Fatalf("blocks %v are missing", have.Missing(want))
					}
				}
			}
			read(all, bad.Ranges())
			b.chain.set(func(c *chain) {
				for n := range c.reads {
					if bad.Has(n) {
						t.Errorf("block %d was read", n)
					}
				}
			})
			if !b.seen.waitedFor(reason.Error()) {
				t.Errorf("the reason for waiting is not told: %v", b.seen.waits)
			}
			b.chain.set(func(c *chain) { c.before = nil })
			var have block.Set
			for !have.Covers(all) {
				select {
				case p := <-b.seen.done:
					have.Add(p.Range())
					if p.State != state.PartitionDone {
						t.Errorf("partition %+v", p)
					}
				case <-time.After(20 * time.Second):
					t.Fatalf("blocks %v are missing", have.Missing(all))
				}
			}
			stop()
			must(t, <-ended)
			b.checkLog(all)
		})
	}
}

// TestBlocksThatAreTooMuchFailAlone when their time is over, also neighbours, and blocks
// that are waited for when the process is told to stop are left for the next.
func TestBlocksThatAreTooMuchFailAlone(t *testing.T) {
	t.Parallel()
	all := block.Range{Start: 0, End: 100}
	bad := block.NewSet(block.Closed(0, 0), block.Closed(40, 41), block.Closed(99, 99))
	for name, reason := range map[string]error{
		"too much":  fmt.Errorf("fetch: %w", amp.ErrTooMuch),
		"no answer": fault.Later(fmt.Errorf("%w: %w", amp.ErrTooMuch, amp.ErrNoAnswer), time.Millisecond),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, newChain(t, 100, someRows))
			b.chain.before = func(r block.Range) error {
				if missing := bad.Missing(r); len(missing) == 1 && missing[0] == r {
					return nil
				}
				return reason
			}
			b.x.Workers, b.x.Backoff.Attempts = 1, 0
			b.x.Backoff.GiveUp = 300 * time.Millisecond
			b.add(all)
			blocks, errs := failing(b.run(all))
			if fmt.Sprint(blocks) != fmt.Sprint(bad) {
				t.Errorf("failed: %v, want %v: %v", blocks, bad, errs)
			}
			b.checkLog(all, 0, 40, 41, 99)
		})
	}
}

// TestTheRecordHasWhatItTook: the seconds and the tries of a partition are in its record,
// of one that failed, one that was hard to read and one that was not.
func TestTheRecordHasWhatItTook(t *testing.T) {
	t.Parallel()
	all := block.Range{Start: 0, End: 90}
	b := setup(t, newChain(t, 90, someRows))
	refused := 0
	b.chain.before = func(r block.Range) error {
		switch {
		case r.Start < 30:
			return errCut
		case r.Start == 30 && refused < 2:
			refused++
			return errCut
		}
		return nil
	}
	b.chain.during = func(block.Range, int) error {
		<-time.After(10 * time.Millisecond) // a server takes some time
		return nil
	}
	b.x.Workers = 1
	b.add(block.Range{Start: 0, End: 30}, block.Range{Start: 30, End: 60}, block.Range{Start: 60, End: 90})
	b.run(all)
	parts, err := b.state.Partitions(t.Context())
	must(t, err)
	tries := map[block.Number]int{}
	for _, p := range parts {
		tries[p.Value.Start] = p.Value.Attempts
		least := 0.01
		if p.Value.Start == 0 {
			least = 0.0005 // two pauses of half a millisecond or more
		}
		if p.Value.Seconds < least || p.Value.Seconds > 30 {
			t.Errorf("partition %s took %v s", p.Value.ID(), p.Value.Seconds)
		}
	}
	if want := map[block.Number]int{0: 3, 30: 3, 60: 1}; fmt.Sprint(tries) != fmt.Sprint(want) {
		t.Errorf("tries %v, want %v", tries, want)
	}
}
