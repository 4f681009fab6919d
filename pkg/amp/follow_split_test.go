package amp_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/block"
)

// splitting is a chain that is followed by several queries at once.
type splitting struct {
	*testing.T
	chain  *amptest.Chain
	srv    *amptest.Server
	client *amp.Client
	fork   byte

	mu     sync.Mutex
	pieces []block.Range                                               // that were asked for
	answer func(n int, r block.Range, a amptest.Answer) amptest.Answer // to the n-th query, from 1; nil: the answer as it is
}

func newSplitting(t *testing.T, blocks block.Number) *splitting {
	s := &splitting{T: t, chain: amptest.NewChain(amptest.Network, amptest.Schema)}
	s.srv = amptest.Start(t, s.serve)
	s.client = open(t, amp.Config{URL: s.srv.URL()})
	s.extend(0, blocks, 0)
	return s
}

func (s *splitting) extend(from, to block.Number, fork byte) {
	s.chain.Extend(amptest.Made(block.Range{Start: from, End: to}, fork)...)
}

func (s *splitting) nextFork() byte {
	s.fork++
	return s.fork
}

// batchOf is the batch query of some blocks, as [splitting.serve] understands it.
func batchOf(r block.Range) string { return fmt.Sprintf("blocks %d %d", r.Start, r.End) }

// asked returns the blocks of a query of batchOf.
func asked(q amptest.Query) (r block.Range, ok bool) {
	_, err := fmt.Sscanf(q.SQL, "blocks %d %d", &r.Start, &r.End)
	return r, err == nil
}

func (s *splitting) serve(q amptest.Query) amptest.Answer {
	r, ok := asked(q)
	if !ok {
		return s.chain.Answer(q)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.pieces, r) { // it is asked for by GetFlightInfo and by DoGet
		s.pieces = append(s.pieces, r)
	}
	a := s.chain.Batch(r)
	if s.answer != nil {
		return s.answer(len(s.pieces), r, a)
	}
	return a
}

func (s *splitting) options(streams int) amp.FollowOptions {
	o := quick
	o.Split = &amp.Split{Streams: streams, Query: batchOf}
	return o
}

// follow follows until the table has the head of the chain and returns what it was told.
func (s *splitting) follow(o amp.FollowOptions) string {
	s.Helper()
	table, rows, all := newTable(), 0, []string(nil)
	for e, err := range s.client.Follow(s.Context(), query, o) {
		if err == nil {
			err = table.apply(e)
		}
		if err != nil {
			s.Fatal(err)
		}
		if r, ok := e.(amp.Rows); ok {
			rows += int(r.Record.NumRows())
		} else {
			all = append(all, fmt.Sprintf("%d rows, %s", rows, told(e)))
			rows = 0
		}
		if table.head() == s.chain.Head() && !table.unfinished {
			break
		}
	}
	want := map[block.Number][]string{}
	for _, b := range s.chain.Blocks() {
		want[b.Number] = []string{rowText(b.Rows[0], 0)}
	}
	table.checkRows(s.T, want)
	return strings.Join(all, "; ")
}

// TestFollowSplitsALongRange answers no query before as many are open as may be.
func TestFollowSplitsALongRange(t *testing.T) {
	t.Parallel()
	s := newSplitting(t, 200)
	full := make(chan struct{})
	s.answer = func(n int, _ block.Range, a amptest.Answer) amptest.Answer {
		if n == 4 {
			select {
			case <-full:
			default:
				close(full)
			}
		}
		for i := range a.Parts {
			a.Parts[i].Wait = full
		}
		return a
	}
	if got, want := s.follow(s.options(4)), "200 rows, watermark 0-199"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	slices.SortFunc(s.pieces, func(a, b block.Range) int { return int(a.Start) - int(b.Start) })
	next := block.Number(0)
	for _, p := range s.pieces {
		if p.Start != next {
			t.Errorf("asked for %v, and %d was to come", p, next)
		}
		next = p.End
	}
	if next != 200 || len(s.pieces) != 8 {
		t.Errorf("asked for %v", s.pieces)
	}
}

func TestFollowDoesNotSplit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		blocks  block.Number
		streams int
	}{
		{"a short range", 63, 4},
		{"with one stream", 200, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSplitting(t, c.blocks)
			s.follow(s.options(c.streams))
			if len(s.pieces) > 0 {
				t.Errorf("asked for %v", s.pieces)
			}
		})
	}
}

// TestFollowSplitsWhileTheChainMoves changes the chain, or breaks the answer, with each query
// but the first two: after two tries the range comes from the stream.
func TestFollowSplitsWhileTheChainMoves(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(*splitting, block.Range, amptest.Answer) amptest.Answer
	}{
		{"it grows", func(s *splitting, r block.Range, _ amptest.Answer) amptest.Answer {
			head := s.chain.Head().Number
			s.extend(head+1, head+2, 0)
			return s.chain.Batch(r)
		}},
		{"it forks within the range", func(s *splitting, r block.Range, _ amptest.Answer) amptest.Answer {
			s.extend(40, 210, s.nextFork())
			return s.chain.Batch(r)
		}},
		{"it forks, and has the same length", func(s *splitting, r block.Range, _ amptest.Answer) amptest.Answer {
			s.extend(150, 200, s.nextFork())
			return s.chain.Batch(r)
		}},
		{"the table has no data", func(*splitting, block.Range, amptest.Answer) amptest.Answer {
			return amptest.Batch(amptest.Schema, nil)
		}},
		{"the query is refused", func(*splitting, block.Range, amptest.Answer) amptest.Answer {
			return amptest.Answer{RefuseInfo: amptest.Status(codes.InvalidArgument, "no")}
		}},
		{"the answer breaks off", func(_ *splitting, _ block.Range, a amptest.Answer) amptest.Answer {
			a.Parts, a.End = a.Parts[:len(a.Parts)/2], amptest.Status(codes.Internal, "streaming query execution error | Caused by: no")
			return a
		}},
		{"the answer lacks its end", func(_ *splitting, _ block.Range, a amptest.Answer) amptest.Answer {
			a.Parts = a.Parts[:len(a.Parts)-1]
			return a
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSplitting(t, 200)
			changed := false
			s.answer = func(n int, r block.Range, a amptest.Answer) amptest.Answer {
				if n < 3 {
					return a
				}
				changed = true
				return c.change(s, r, a)
			}
			s.follow(s.options(2))
			if !changed || len(s.pieces) > 8 {
				t.Errorf("changed %t, asked for %v", changed, s.pieces)
			}
		})
	}
}

// TestFollowFarBehindTheHead follows a chain of many microbatches, of which only the last
// can be read by queries: the others end below the head.
func TestFollowFarBehindTheHead(t *testing.T) {
	t.Parallel()
	s := newSplitting(t, 1000)
	s.chain.Window(100)
	s.follow(s.options(2))
	last := 0
	for _, p := range s.pieces {
		if p.Start >= 900 {
			last++
		}
	}
	if last != 4 || len(s.pieces)-last > 4 {
		t.Errorf("asked for %v", s.pieces)
	}
}

// TestLeavingASplitRange leaves the loop in the middle, with rows that wait: setup fails if
// one of them is not released.
func TestLeavingASplitRange(t *testing.T) {
	t.Parallel()
	s := newSplitting(t, 200)
	o := s.options(3)
	o.Split.Memory = 1 // a record of each piece waits
	for e, err := range s.client.Follow(s.Context(), query, o) {
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := e.(amp.Rows); ok {
			break
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, err := range s.client.Follow(ctx, query, o) {
		cancel()
		if err != nil {
			return
		}
	}
	t.Error("no error when the context ended")
}
