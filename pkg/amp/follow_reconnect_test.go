package amp_test

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
)

// chained returns a server of a chain, and a client of it.
func chained(t *testing.T) (*amptest.Chain, *amptest.Server, *amp.Client) {
	t.Helper()
	chain := amptest.NewChain(amptest.Network, amptest.Schema)
	srv := amptest.Start(t, chain.Answer)
	return chain, srv, open(t, amp.Config{URL: srv.URL()})
}

// made returns the blocks first to last on a fork.
func made(first, last block.Number, fork byte) []amptest.Block {
	return amptest.Made(block.Closed(first, last), fork)
}

// resumes lists the cursors that the server was sent, by their numbers.
func resumes(srv *amptest.Server) string {
	var all []string
	for _, request := range srv.Requests() {
		if request.Method == "GetFlightInfo" {
			number := "none"
			if _, rest, found := strings.Cut(request.Query.Resume(), `"number":`); found {
				number, _, _ = strings.Cut(rest, ",")
			}
			all = append(all, number)
		}
	}
	return strings.Join(all, " ")
}

// script follows a chain: each time the stream has sent all there is, the next of
// the changes is made.
func script(chain *amptest.Chain, changes ...func()) {
	chain.OnIdle(func() {
		if len(changes) > 0 {
			change := changes[0]
			changes = changes[1:]
			change()
		}
	})
}

// TestFollowThroughAReorg is the reorg scenario of Amp's own client (AP 9.4).
func TestFollowThroughAReorg(t *testing.T) {
	t.Parallel()
	chain, srv, client := chained(t)
	chain.Extend(made(0, 0, 0)...)
	script(chain,
		func() { chain.Extend(made(1, 1, 0)...) },
		func() { chain.Extend(made(2, 2, 0)...) },
		func() { chain.Extend(made(2, 3, 1)...) })
	got, err := follow(t.Context(), t, client, amp.FollowOptions{}, 10)
	want := "rows 1 of 0-0, watermark 0-0, rows 1 of 1-1, watermark 1-1, rows 1 of 2-2, watermark 2-2, " +
		"reorg 2 after 1, rows 1 of 2-3, rows 1 of 2-3, watermark 2-3"
	if err != nil || got != want || resumes(srv) != "none" {
		t.Errorf("%s, %v (%s)\nwant %s", got, err, resumes(srv), want)
	}
}

// TestFollowResumesFromACursor and then from one that was orphaned meanwhile (AP 9.4).
func TestFollowResumesFromACursor(t *testing.T) {
	t.Parallel()
	chain, srv, client := chained(t)
	chain.Extend(made(0, 2, 0)...)
	o := amp.FollowOptions{Resume: []block.Cursor{chain.At(0), chain.At(1)}}
	if got, err := follow(t.Context(), t, client, o, 2); err != nil || got != "rows 1 of 2-2, watermark 2-2" {
		t.Errorf("%s, %v", got, err)
	}
	o.Resume = append(o.Resume, chain.At(2))
	chain.Extend(made(1, 3, 1)...)
	want := "reorg 1 after 0, rows 1 of 1-3, rows 1 of 1-3, rows 1 of 1-3, watermark 1-3"
	if got, err := follow(t.Context(), t, client, o, 5); err != nil || got != want {
		t.Errorf("%s, %v", got, err)
	}
	if got := resumes(srv); got != "1 2" {
		t.Errorf("resumed from %s", got)
	}
}

func TestFollowRangesWithoutRows(t *testing.T) {
	t.Parallel()
	chain, _, client := chained(t)
	empty := made(0, 9, 0)
	for i := range empty {
		empty[i].Rows = nil
	}
	chain.Extend(empty...)
	chain.Window(4)
	if got, err := follow(t.Context(), t, client, amp.FollowOptions{}, 3); err != nil || got != "watermark 0-3, watermark 4-7, watermark 8-9" {
		t.Errorf("%s, %v", got, err)
	}
}

// TestFollowReorgThatEndsBelowTheOldEnd: later ranges continue over what was rolled back.
func TestFollowReorgThatEndsBelowTheOldEnd(t *testing.T) {
	t.Parallel()
	chain, _, client := chained(t)
	chain.Extend(made(0, 9, 0)...)
	script(chain, func() {
		chain.Window(2)
		chain.Extend(made(4, 10, 1)...)
	})
	table := newTable()
	followTo(t, client, query, amp.FollowOptions{}, table, block.Cursor{Network: amptest.Network, Number: 10, Hash: amptest.Hash(10, 1)})
	if table.reorgs != 1 || len(table.rows) != 11 || len(table.cursors) != 5 {
		t.Errorf("%d reorgs, %d blocks, cursors %v", table.reorgs, len(table.rows), table.cursors)
	}
}

// TestFollowLosesTheConnection at every message of the second range, between data
// and marker among others, and in every way.
func TestFollowLosesTheConnection(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(int) amptest.Fault{
		"cut":     amptest.CutAfter,
		"end":     amptest.EndAfter,
		"restart": func(n int) amptest.Fault { return amptest.FailAfter(n, codes.Unavailable, "received prior goaway") },
		"failure": func(n int) amptest.Fault {
			return amptest.FailAfter(n, codes.Internal, "streaming query execution error | Caused by: out of luck")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for n := range 9 { // the schema, and twice: a message without rows, two of rows, a marker
				chain, srv, client := chained(t)
				chain.Window(2)
				chain.Extend(made(0, 3, 0)...)
				srv.Next(func(amptest.Query) amptest.Fault { return lose(n) })
				table := newTable()
				followTo(t, client, query, quick, table, chain.Head())
				if len(table.rows) != 4 || table.reorgs != 0 {
					t.Errorf("after %d messages: %d blocks, %d reorgs", n, len(table.rows), table.reorgs)
				}
				if got := resumes(srv); got != "none none" && got != "none 1" && (got != "none" || n < 8) {
					t.Errorf("after %d messages: resumed from %s", n, got)
				}
			}
		})
	}
}

func TestFollowUndoesTheUnfinished(t *testing.T) {
	t.Parallel()
	chain, srv, client := chained(t)
	chain.Window(2)
	chain.Extend(made(0, 3, 0)...)
	srv.Next(func(amptest.Query) amptest.Fault { return amptest.EndAfter(7) })
	got, err := follow(t.Context(), t, client, quick, 8)
	want := "rows 1 of 0-1, rows 1 of 0-1, watermark 0-1, rows 1 of 2-3, undo 2 after 1, rows 1 of 2-3, rows 1 of 2-3, watermark 2-3"
	if err != nil || got != want {
		t.Errorf("%s, %v\nwant %s", got, err, want)
	}
}

// TestFollowUnfinishedRange asks again for what a server leaves out that begins a
// new range inside an unfinished one (AP 3.6, rule 9).
func TestFollowUnfinishedRange(t *testing.T) {
	t.Parallel()
	srv, client := setup(t)
	unfinished := microbatch(t, 11, 20, 0)
	unfinished = unfinished[:len(unfinished)-1]
	inside := amptest.Range(block.Closed(15, 25), 1)
	first := stream(microbatch(t, 0, 10, 0), unfinished, amptest.Microbatch(inside))
	srv.On(query, stream(microbatch(t, 11, 25, 1)))
	srv.Next(func(amptest.Query) amptest.Fault { return amptest.Instead(first) })
	got, err := follow(t.Context(), t, client, quick, 6)
	want := "rows 11 of 0-10, watermark 0-10, rows 10 of 11-20, undo 11 after 10, rows 15 of 11-25, watermark 11-25"
	if err != nil || got != want || resumes(srv) != "none 10" {
		t.Errorf("%s, %v (%s)\nwant %s", got, err, resumes(srv), want)
	}
}

// TestFollowForgottenFork resumes from a block that was orphaned and forgotten: the
// server shows one block of the fork, which is five deep.
func TestFollowForgottenFork(t *testing.T) {
	t.Parallel()
	chain, srv, client := chained(t)
	chain.Extend(made(0, 20, 0)...)
	var o amp.FollowOptions
	for n := block.Number(10); n <= 20; n++ {
		o.Resume = append(o.Resume, chain.At(n))
	}
	var waits []string
	o.OnWait = func(w amp.Wait) { waits = append(waits, w.Reason.Error()) }
	chain.Extend(made(16, 22, 1)...)
	chain.Forget()
	got, err := follow(t.Context(), t, client, o, 9)
	want := "reorg 16 after 15" + strings.Repeat(", rows 1 of 16-22", 7) + ", watermark 16-22"
	if err != nil || got != want || resumes(srv) != "20 19 18 17 16" {
		t.Errorf("%s, %v (%s)\nwant %s", got, err, resumes(srv), want)
	}
	if len(waits) != 0 { // five answers find it at once
		t.Errorf("told %q", waits)
	}
}

// TestFollowNeverWipes what it cannot compare: nothing is undone.
func TestFollowNeverWipes(t *testing.T) {
	t.Parallel()
	zero := block.Number(0)
	for name, c := range map[string]struct {
		options func(*amptest.Chain) amp.FollowOptions
		want    error
	}{
		"forgotten fork below all that is remembered": {func(c *amptest.Chain) amp.FollowOptions {
			return amp.FollowOptions{Resume: []block.Cursor{{Network: amptest.Network, Number: 17, Hash: amptest.Hash(17, 0)}, {Network: amptest.Network, Number: 19, Hash: amptest.Hash(19, 0)}}}
		}, amp.ErrDeepReorg},
		"cursor of another chain": {func(c *amptest.Chain) amp.FollowOptions {
			return amp.FollowOptions{Resume: []block.Cursor{{Network: amptest.Network, Number: 5, Hash: amptest.Hash(5, 9)}}}
		}, amp.ErrDeepReorg},
		"cursor that is ignored": {func(c *amptest.Chain) amp.FollowOptions {
			return amp.FollowOptions{Resume: []block.Cursor{c.At(10)}, Beginning: &zero}
		}, amp.ErrCursorIgnored},
		"cursor that is ignored, of a stream whose beginning is unknown": {func(c *amptest.Chain) amp.FollowOptions {
			return amp.FollowOptions{Resume: []block.Cursor{c.At(5), c.At(10)}}
		}, amp.ErrDeepReorg},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			chain := amptest.NewChain(amptest.Network, amptest.Schema)
			srv := amptest.Start(t, func(q amptest.Query) amptest.Answer {
				if strings.Contains(name, "ignored") {
					q.Header = map[string][]string{"amp-stream": {"true"}}
				}
				return chain.Answer(q)
			})
			client := open(t, amp.Config{URL: srv.URL()})
			chain.Extend(made(0, 20, 0)...)
			chain.Extend(made(16, 22, 1)...)
			chain.Forget()
			got, err := follow(t.Context(), t, client, c.options(chain), 1)
			if got != "" || !errors.Is(err, c.want) || fault.Of(err) != fault.ClassPermanent {
				t.Errorf("%q, %v (%v)", got, err, fault.Of(err))
			}
		})
	}
}

// TestFollowIsAnsweredAsABatch: a proxy that drops the headers of Amp makes a batch
// query of a stream, which ends, and begins anew.
func TestFollowIsAnsweredAsABatch(t *testing.T) {
	t.Parallel()
	chain, _, _ := chained(t)
	chain.Extend(made(0, 9, 0)...)
	srv := amptest.Start(t, func(amptest.Query) amptest.Answer { return chain.Batch(block.Range{End: 100}) })
	client := open(t, amp.Config{URL: srv.URL()})
	table := newTable()
	var last error
	for e, err := range client.Follow(t.Context(), query, quick) {
		last = err
		if err == nil {
			last = table.apply(e)
		}
	}
	if !errors.Is(last, amp.ErrCursorIgnored) || len(table.rows) != 10 {
		t.Errorf("%d blocks, %v", len(table.rows), last)
	}
}

// TestFollowNoDataYet waits for the first blocks, and never takes the answer of an
// empty table for a place to resume from (AP 3.8).
func TestFollowNoDataYet(t *testing.T) {
	t.Parallel()
	chain, srv, client := chained(t)
	o := quick
	waits := 0
	o.OnWait = func(w amp.Wait) {
		if !errors.Is(w.Reason, amp.ErrNoData) {
			t.Errorf("told %v", w.Reason)
		}
		waits++
		if waits == 20 { // more than the attempts there are
			chain.Extend(made(0, 0, 0)...)
		}
	}
	got, err := follow(t.Context(), t, client, o, 2)
	if err != nil || got != "rows 1 of 0-0, watermark 0-0" {
		t.Errorf("%s, %v", got, err)
	}
	if got := strings.Fields(resumes(srv)); len(got) != 21 || got[20] != "none" {
		t.Errorf("resumed from %v", got)
	}
}

func TestFollowNoDataAfterACursor(t *testing.T) {
	t.Parallel()
	chain, srv, client := chained(t)
	chain.Extend(made(0, 9, 0)...)
	o := quick
	o.Resume = []block.Cursor{chain.At(5)}
	empty := amptest.Batch(amptest.Schema, nil)
	empty.Parts = empty.Parts[1:] // as it was recorded
	srv.Next(func(amptest.Query) amptest.Fault { return amptest.Instead(empty) })
	got, err := follow(t.Context(), t, client, o, 1)
	if err != nil || got != "rows 1 of 6-9" || resumes(srv) != "5 5" {
		t.Errorf("%s, %v (%s)", got, err, resumes(srv))
	}
}
