package redis

import (
	"context"
	"errors"
	"slices"
	"sort"
	"strconv"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/sink"
)

// spreading applies steps in a Cluster, where keys are in many slots and a script
// reaches one. Rows go to their slots, each with a record of the blocks that the
// slot has; when all of them have answered, the home slot is told that the blocks
// are there. Decision 26 is the protocol.
type spreading struct {
	*call
	home
	floor   block.Number            // that home has committed to
	covered block.Set               // what home has committed
	claims  map[block.Number]string // readings of blocks in parts that home knows of

	// What is to be sent next: rows are in scratch.
	ranges block.Set // whole blocks
	part   *piece    // or one part of a block
	calls  [][]byte  // headers of calls to the home slot, once all slots have answered

	running *errand
	skipped uint64 // rows that slots had already
}

// spreadBytes is about how much is sent before answers are waited for. The more it
// is, the more rows there are for each slot.
const spreadBytes = 4 << 20

// spread applies steps to a state, and returns the number of rows that were there.
func (c *call) spread(ctx context.Context, l *ledger, steps []step) (uint64, error) {
	s := &spreading{call: c, home: l.home, floor: l.floor, covered: l.Coverage, claims: make(map[block.Number]string)}
	s.scratch.reset()
	for n, o := range l.open {
		s.claims[n] = o.token
	}
	err := s.all(ctx, steps)
	return s.skipped, errors.Join(err, s.wait())
}

func (s *spreading) all(ctx context.Context, steps []step) error {
	if s.pending != nil {
		longer, done := steady(ctx)
		defer done()
		if err := s.settle(longer, s.pending); err != nil {
			return err
		}
	}
	for i := range steps {
		if err := s.step(ctx, &steps[i]); err != nil {
			return err
		}
	}
	return s.drain(ctx)
}

// step does what one change does.
func (s *spreading) step(ctx context.Context, st *step) error {
	ch, live := &st.change, st.change.Live
	if live && st.before == st.after {
		return nil // applied before
	}
	behind := live && st.before.StartsBeyond(*ch)
	void := block.Range{Start: ch.Range.Start, End: block.Max + 1}
	if behind {
		void.Start = st.before.Start // all that the live lane had is void
	}
	cut := func(to sink.LiveState) error {
		return s.takeBack(ctx, st, []block.Range{void}, func(h *header) {
			h.text("cut", hexBlock(void.Start))
			h.list("set", liveFields(to)...)
		})
	}
	switch {
	case ch.Kind == entry.Invalidate:
		return cut(st.after)
	case live && (!st.before.Started || behind):
		// The lane takes possession of its blocks, at the place before its first
		// entry.
		begun := sink.LiveState{Started: true, Epoch: ch.Epoch, Seq: ch.After, Start: st.after.Start}
		if err := cut(begun); err != nil {
			return err
		}
		st.before = begun
	case live && ch.Epoch > st.before.Epoch:
		// Slots may have rows of an entry of the epoch before that home has not.
		if err := s.drain(ctx); err != nil {
			return err
		}
		if err := s.takeBack(ctx, st, s.unknown(st.before.Start), func(*header) {}); err != nil {
			return err
		}
	case len(st.Delete) > 0: // blocks of another reading
		var names []string
		for _, r := range st.Delete {
			names = append(names, hexBlock(r.Start))
		}
		if err := s.takeBack(ctx, st, st.Delete, func(h *header) { h.list("unclaim", names...) }); err != nil {
			return err
		}
	}
	switch {
	case ch.Kind != entry.Data:
		s.homeHeader(st).list("set", liveFields(st.after)...)
		s.tellHome()
	case ch.Whole():
		if err := s.whole(ctx, st); err != nil {
			return err
		}
	default:
		if err := s.onePart(ctx, st); err != nil {
			return err
		}
	}
	if len(s.scratch.packed) < spreadBytes {
		return nil
	}
	return s.flush(ctx)
}

// unknown returns the blocks from n on of which home has nothing.
func (s *spreading) unknown(n block.Number) []block.Range {
	known := s.covered.Clone()
	for at := range s.claims {
		known.Add(block.Closed(at, at))
	}
	return known.Missing(block.Range{Start: n, End: block.Max + 1})
}

// tellHome keeps the call whose header has been made until the rows are there.
func (s *spreading) tellHome() { s.calls = append(s.calls, slices.Clone(s.pack.header.bytes())) }

// whole sends the blocks of an entry that are not covered.
func (s *spreading) whole(ctx context.Context, st *step) error {
	if len(st.Covered) == 0 {
		if st.change.Live {
			s.homeHeader(st)
			s.moveOn(st)
			s.tellHome()
		}
		return nil
	}
	at, start := 0, st.Covered[0].Start
	cover := func(end block.Number, last bool) {
		r := block.Range{Start: start, End: end}
		s.homeHeader(st)
		s.cover(r)
		if last {
			s.moveOn(st)
		}
		s.tellHome()
		s.ranges.Add(r)
		start = end
	}
	for i := range st.runs {
		b := &st.runs[i]
		for row := b.From; row < b.To; row++ {
			n := b.blocks.At(row)
			for n >= st.Covered[at].End {
				cover(st.Covered[at].End, false)
				at++
				start = st.Covered[at].Start
			}
			if n > start && len(s.scratch.packed) >= spreadBytes && s.scratch.lastBlock() != n {
				cover(n, false)
				if err := s.flush(ctx); err != nil {
					return err
				}
			}
			s.scratch.add(s.target, b, row)
		}
	}
	for ; at < len(st.Covered); at++ {
		start = max(start, st.Covered[at].Start)
		cover(st.Covered[at].End, at == len(st.Covered)-1)
	}
	return nil
}

// onePart sends one part of a block.
func (s *spreading) onePart(ctx context.Context, st *step) error {
	ch := &st.change
	token, n := tokenOf(ch.Parts, ch.Batch), ch.Range
	if st.idle {
		if ch.Live {
			s.homeHeader(st).list("arrived", hexBlock(n.Start), hexBlock(n.End), token, strconv.Itoa(ch.Part))
			s.moveOn(st)
			s.tellHome()
		}
		return nil
	}
	if err := s.flush(ctx); err != nil { // so that slots have parts one after the other
		return err
	}
	for i := range st.runs {
		for row := st.runs[i].From; row < st.runs[i].To; row++ {
			s.scratch.add(s.target, &st.runs[i], row)
		}
	}
	s.part = &piece{n, ch.Batch, ch.Part, ch.Parts}
	h := s.homeHeader(st)
	s.cover(n)
	h.text("token", token)
	h.text("parts", strconv.Itoa(ch.Parts))
	h.text("part", strconv.Itoa(ch.Part))
	h.text("offset", "0")
	h.text("last", "yes")
	s.moveOn(st)
	s.tellHome()
	return s.flush(ctx)
}

// drain sends what is left and waits for everything.
func (s *spreading) drain(ctx context.Context) error {
	if err := s.flush(ctx); err != nil {
		return err
	}
	return s.wait()
}

// around widens a range by what of a set stands next to it.
func around(set block.Set, r block.Range) block.Range {
	all := set.Ranges()
	i := sort.Search(len(all), func(i int) bool { return all[i].End >= r.Start })
	if i < len(all) && all[i].End == r.Start {
		r.Start = all[i].Start
		i++
	}
	if i < len(all) && all[i].Start == r.End {
		r.End = all[i].End
	}
	return r
}
