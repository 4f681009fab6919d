package extract_test

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/block"
)

// scriptedChain is a source whose chain does what the test has written down, step by step.
// Time passes only while it is followed; a follower that resumes hears what happened
// meanwhile as a server would tell it: what left the chain first, then one range up
// to the head.
type scriptedChain struct {
	mem  memory.Allocator
	rows func(block.Number) int // of a block; its forks have as many

	mu       sync.Mutex
	first    block.Number
	blocks   []block.Hash                // of the chain, from first on
	parents  map[block.Hash]block.Cursor // of every block that ever was
	steps    []step
	fork     byte
	follows  []amp.FollowOptions
	left     []chan struct{} // closed when the follower has gone
	finished chan struct{}   // closed when a follower has dealt with everything
	bad      *block.Number   // whose rows Fetch cannot compute; nil: none
	asked    int             // how often Fetch was called
}

// step is something that happens to the chain, or to a stream.
type step struct {
	grow     uint64        // blocks more, sent as one range
	from     *block.Number // first block that is replaced; sent in one range with grow
	messages int           // that bring the rows of the range; default 1
	cut      bool          // the connection is lost before the range is complete, and it comes again
	open     bool          // the range does not get complete before the next step
	say      func()        // called before
	err      error         // the stream ends with it
	wait     bool          // until the follower goes
}

func grow(n uint64) step                        { return step{grow: n} }
func reorg(from block.Number, more uint64) step { return step{from: &from, grow: more} }

// newScriptedChain begins with a chain of some blocks.
func newScriptedChain(t testing.TB, first, head block.Number, rows func(block.Number) int, steps ...step) *scriptedChain {
	s := &scriptedChain{
		mem: amptest.Allocator(t), rows: rows, first: first, parents: map[block.Hash]block.Cursor{},
		steps: steps, finished: make(chan struct{}),
	}
	s.extend(uint64(head - first))
	return s
}

func (s *scriptedChain) head() block.Number { return s.first + block.Number(len(s.blocks)) }

func (s *scriptedChain) extend(n uint64) {
	for range n {
		h := block.Hash{0xb1, s.fork, byte(s.head() >> 8), byte(s.head())}
		s.parents[h] = s.cursor(s.head() - 1)
		s.blocks = append(s.blocks, h)
	}
}

// cursor is a block of the chain; below the first it has no hash.
func (s *scriptedChain) cursor(n block.Number) block.Cursor {
	c := block.Cursor{Network: "test", Number: n}
	if s.first <= n && n < s.head() {
		c.Hash = s.blocks[n-s.first]
	}
	return c
}

// at is a cursor for tests, which may look while others follow.
func (s *scriptedChain) at(n block.Number) block.Cursor {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cursor(n)
}

func (s *scriptedChain) end() block.Number {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.head()
}

// peek returns the next step.
func (s *scriptedChain) peek() (step, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.steps) == 0 {
		return step{}, false
	}
	return s.steps[0], true
}

// take lets the next step happen to the chain, and returns the first block that is new.
func (s *scriptedChain) take(now step) block.Number {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps = s.steps[1:]
	start, grow := s.head(), now.grow
	if now.from != nil {
		start, grow = *now.from, grow+uint64(s.head()-*now.from)
		s.blocks = s.blocks[:start-s.first]
		s.fork++
	}
	s.extend(grow)
	return start
}

func (s *scriptedChain) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.finished:
	default:
		close(s.finished)
	}
}

// gone is closed when a follower, counted from 0, has gone.
func (s *scriptedChain) gone(n int) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.left[n]
}

// add continues the script.
func (s *scriptedChain) add(steps ...step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps, s.finished = append(s.steps, steps...), make(chan struct{})
}

// chainTo returns the rows of the chain that ends with a block, canonical or not, from
// a block on.
func (s *scriptedChain) chainTo(last block.Cursor, from block.Number) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var blocks []block.Cursor
	for c := last; c.Number >= from && !c.Hash.IsZero(); c = s.parents[c.Hash] {
		blocks = append(blocks, c)
		if c.Number == 0 {
			break
		}
	}
	var rows []string
	for _, c := range slices.Backward(blocks) {
		for i := range s.rows(c.Number) {
			rows = append(rows, rowText(c, i))
		}
	}
	return rows
}

func rowText(c block.Cursor, i int) string {
	return fmt.Sprintf("%d.%d of %x", c.Number, i, c.Hash[:4])
}

// Fetch fails if it is asked for blocks that cannot be computed, and brings no rows.
func (s *scriptedChain) Fetch(_ context.Context, query string) iter.Seq2[amp.Message, error] {
	return func(yield func(amp.Message, error) bool) {
		m := bounds.FindStringSubmatch(query)
		r := block.Range{Start: number(m[1]), End: number(m[2])}
		s.mu.Lock()
		s.asked++
		fails := s.bad != nil && r.Has(*s.bad)
		s.mu.Unlock()
		if fails {
			yield(amp.Message{}, amp.ErrRow)
		}
	}
}

// Follow plays the script from where the options say.
func (s *scriptedChain) Follow(ctx context.Context, _ string, o amp.FollowOptions) iter.Seq2[amp.Event, error] {
	return func(yield func(amp.Event, error) bool) {
		o.Resume = slices.Clone(o.Resume)
		s.mu.Lock()
		gone := make(chan struct{})
		s.follows, s.left = append(s.follows, o), append(s.left, gone)
		s.mu.Unlock()
		defer close(gone)
		f := &follower{scriptedChain: s, ctx: ctx, yield: yield, next: s.first}
		if err := f.run(o.Resume); err != nil {
			yield(nil, err)
		}
	}
}

// follower is one loop over a scriptedChain. Its methods return false when the consumer
// has left.
type follower struct {
	*scriptedChain
	ctx   context.Context
	yield func(amp.Event, error) bool
	next  block.Number // first block that was not completed
	loose bool         // rows of it were given out
}

func (f *follower) run(resume []block.Cursor) error {
	if len(resume) > 0 && !f.catchUp(resume[len(resume)-1]) {
		return nil
	}
	if r := (block.Range{Start: f.next, End: f.end()}); !r.Empty() && !f.tell(r, step{}) {
		return nil
	}
	return f.playRest()
}

// playRest takes the steps that are left, and then waits until the follower is stopped.
func (f *follower) playRest() error {
	for {
		now, more := f.peek()
		if !more {
			break
		}
		if now.say != nil {
			now.say()
		}
		from := f.take(now)
		switch {
		case now.err != nil:
			return now.err
		case now.wait:
			<-f.ctx.Done()
			return context.Cause(f.ctx)
		case now.from != nil && from < f.next && !f.undo(from, true):
			return nil
		case now.from != nil && f.loose && from == f.next && !f.undo(from, true):
			return nil
		}
		if r := (block.Range{Start: f.next, End: f.end()}); !r.Empty() && !f.tell(r, now) {
			return nil
		}
	}
	f.finish()
	<-f.ctx.Done()
	return context.Cause(f.ctx)
}

// catchUp undoes what has left the chain up to a block.
func (f *follower) catchUp(last block.Cursor) bool {
	f.next = last.Number + 1
	if f.at(last.Number) == last {
		return true
	}
	f.mu.Lock()
	fork := last
	for f.cursor(fork.Number) != fork {
		fork = f.parents[fork.Hash]
	}
	f.mu.Unlock()
	return f.undo(fork.Number+1, true)
}

func (f *follower) undo(from block.Number, reorg bool) bool {
	f.next, f.loose = from, false
	u := amp.Undo{From: from, Reorg: reorg}
	if c := f.at(from - 1); !c.Hash.IsZero() {
		u.Base = &c
	}
	return f.yield(u, nil)
}

// tell returns the rows of a range in some messages, and its completion.
func (f *follower) tell(r block.Range, how step) bool {
	in := amp.Range{
		Network: "test", Numbers: r, Hash: f.at(r.Last()).Hash, Prev: f.at(r.Start - 1).Hash, HasPrev: true,
	}
	messages := block.Number(max(1, how.messages))
	each := (r.End - r.Start + messages - 1) / messages
	for at := r.Start; at < r.End; at += each {
		rec := f.record(block.Range{Start: at, End: min(at+each, r.End)})
		ok := rec.NumRows() == 0 || f.yield(amp.Rows{Record: rec, Range: in}, nil)
		rec.Release()
		if !ok {
			return false
		}
	}
	switch {
	case how.cut:
		how.cut = false
		return f.undo(r.Start, false) && f.tell(r, how)
	case how.open:
		f.loose = true
		return true
	}
	f.next, f.loose = r.End, false
	return f.yield(amp.Watermark{Range: in}, nil)
}

func (f *follower) record(r block.Range) arrow.RecordBatch {
	b := array.NewRecordBuilder(f.mem, schema)
	defer b.Release()
	for n := r.Start; n < r.End; n++ {
		c := f.at(n)
		for i := range f.rows(n) {
			b.Field(0).(*array.Uint64Builder).Append(uint64(n))
			b.Field(1).(*array.Int64Builder).Append(int64(i))
			b.Field(2).(*array.StringBuilder).Append(rowText(c, i))
		}
	}
	return b.NewRecordBatch()
}

// options returns what each follower asked for.
func (s *scriptedChain) options() []amp.FollowOptions {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.follows)
}
