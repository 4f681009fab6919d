package extract

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
)

// TestABlockIsFoundWithinTheTime narrows a range down to the block at fault, wherever it
// is, however long the range and slow the server, in no more than half of the time that is
// allowed, and reads everything before it meanwhile.
func TestABlockIsFoundWithinTheTime(t *testing.T) {
	t.Parallel()
	errBad := errors.New("INTERNAL")
	for _, giveUp := range []time.Duration{time.Minute, 30 * time.Minute, 6 * time.Hour} {
		for _, share := range []time.Duration{10_000, 100, 20} { // of that time which a query takes
			for _, blocks := range []block.Number{2, 1000, 10_000_000} {
				for _, bad := range []block.Number{0, 1, blocks / 3, blocks - 1} {
					t.Run(fmt.Sprint(giveUp, giveUp/share, blocks, bad), func(t *testing.T) {
						t.Parallel()
						synctest.Test(t, func(t *testing.T) {
							n := narrowing{retrier: fault.Retrier{Backoff: fault.Backoff{GiveUp: giveUp}}}
							left := block.Range{End: blocks}
							since := time.Now() // of the last progress
							for asked := 0; ; asked++ {
								r := n.of(left)
								if r.Empty() || r.Start != left.Start || r.End > left.End || asked > 1000 {
									t.Fatalf("asks for %v of %v in query %d", r, left, asked)
								}
								time.Sleep(giveUp / share)
								if !r.Has(bad) {
									left.Start = r.End
									n.retrier.Progress()
									n.passed(left.Start)
									since = time.Now()
									continue
								}
								pause, end := n.retrier.Pause(errBad)
								if end != nil {
									t.Fatalf("%v, with blocks %v", end, r)
								}
								if n.failed(r, false) {
									if r != block.Closed(bad, bad) {
										t.Fatalf("found %v", r)
									}
									break
								}
								time.Sleep(pause)
							}
							if took := time.Since(since); took > giveUp*5/8 {
								t.Errorf("took %v of %v", took, giveUp)
							}
						})
					})
				}
			}
		}
	}
}

// TestWhatHasPassedIsAskedForInLargeRanges: an error of a moment does not make ranges small.
func TestWhatHasPassedIsAskedForInLargeRanges(t *testing.T) {
	t.Parallel()
	var n narrowing
	left := block.Range{End: 1000}
	fail := func(gained bool) {
		if _, end := n.retrier.Pause(errors.New("INTERNAL")); end != nil || n.failed(n.of(left), gained) {
			t.Fatalf("found a block at fault, or gave up: %v", end)
		}
	}
	wants := func(end block.Number) {
		t.Helper()
		if r := n.of(left); r.End != end {
			t.Fatalf("asks for %v, want an end of %d", r, end)
		}
	}
	fail(false)
	wants(1000) // once more as it is
	for range 10 {
		left.Start += 5 // each answer breaks, and each brings something
		fail(true)
		wants(1000)
	}
	fail(false)
	wants(525)
	left.Start = 525 // the first half is read, and the second asked for as a whole
	n.retrier.Progress()
	n.passed(left.Start)
	wants(1000)
	left = block.Range{Start: 1000, End: 100_000}
	n.passed(left.Start)
	wants(1000 + 475 + 475/4 + 1)
}

// TestFaultsAreMadeUpFor by blocks that were read, each query's on its own.
func TestFaultsAreMadeUpFor(t *testing.T) {
	t.Parallel()
	var f faults
	f.read(0, 100*faultWorth) // before the first fault
	for want := 1; want <= 3; want++ {
		if n := f.add(0); n != want {
			t.Fatalf("%d faults, want %d", n, want)
		}
	}
	for range faultWorth - 1 {
		f.read(0, 1)
	}
	if n := f.of(0); n != 3 {
		t.Errorf("%d faults, want 3", n)
	}
	f.read(0, 1)
	if f.of(0) != 2 {
		t.Errorf("%d faults, want 2", f.of(0))
	}
	f.read(0, 1<<62)
	if f.of(0) != 0 {
		t.Errorf("%d faults, want none", f.of(0))
	}
	f.add(0)
	if f.of(1) != 0 {
		t.Error("a mended query has the faults of the one before")
	}
}
