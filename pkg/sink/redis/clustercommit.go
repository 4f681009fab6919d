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

// clusterCommit applies steps in a Cluster, where keys are in many slots and a script
// reaches one. Rows go to their slots, each with a record of the blocks that the
// slot has; when all of them have answered, the coordinator, a slot of its own, is told
// that the blocks are there. Decision 26 is the protocol.
type clusterCommit struct {
	*call
	coordinator
	floor   block.Number            // that the coordinator has committed to
	covered block.Set               // what the coordinator has committed
	claims  map[block.Number]string // readings of blocks in parts that the coordinator knows of

	// What is to be sent next: rows are in scratch.
	ranges block.Set   // whole blocks
	part   *blockChunk // or one part of a block
	calls  [][]byte    // headers of calls to the coordinator, once all slots have answered

	running *clusterBatch
	skipped uint64 // rows that slots had already
}

// clusterBatchBytes is about how much is sent before answers are waited for. The more it
// is, the more rows there are for each slot.
const clusterBatchBytes = 4 << 20

// commitCluster applies steps to a state, and returns the number of rows that were there.
func (c *call) commitCluster(ctx context.Context, l *commitState, steps []step) (uint64, error) {
	s := &clusterCommit{call: c, coordinator: l.coordinator, floor: l.floor, covered: l.Coverage, claims: make(map[block.Number]string)}
	s.scratch.reset()
	for n, o := range l.open {
		s.claims[n] = o.token
	}
	err := s.all(ctx, steps)
	return s.skipped, errors.Join(err, s.wait())
}

func (s *clusterCommit) all(ctx context.Context, steps []step) error {
	if s.pending != nil {
		longer, done := steady(ctx)
		defer done()
		if err := s.finishRollback(longer, s.pending); err != nil {
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

// step applies one change.
func (s *clusterCommit) step(ctx context.Context, st *step) error {
	ch, live := &st.change, st.change.Live
	if live && st.before == st.after {
		return nil // applied before
	}
	beyond := live && ch.StartsBeyond(st.before)
	void := block.Range{Start: ch.Range.Start, End: block.Max + 1}
	if beyond {
		void.Start = st.before.Start // all that the live lane had is void
	}
	cut := func(to sink.LiveState) error {
		return s.rollBack(ctx, st, []block.Range{void}, func(h *header) {
			h.text("cut", hexBlock(void.Start))
			h.list("set", liveFields(to)...)
		})
	}
	switch {
	case ch.Kind == entry.Invalidate:
		return cut(st.after)
	case live && (!st.before.Started || beyond):
		// The lane owns its blocks from here on: the state becomes that before its
		// first entry.
		begun := sink.LiveState{Started: true, Epoch: ch.Epoch, Seq: ch.After, Start: st.after.Start}
		if err := cut(begun); err != nil {
			return err
		}
		st.before = begun
	case live && ch.Epoch > st.before.Epoch:
		// Slots may have rows of an entry of the epoch before that the coordinator has not.
		if err := s.drain(ctx); err != nil {
			return err
		}
		if err := s.rollBack(ctx, st, s.unknown(st.before.Start), func(*header) {}); err != nil {
			return err
		}
	case len(st.Delete) > 0: // blocks of another reading
		unclaim := func(h *header) {
			var open []string
			for _, r := range st.Delete {
				open = append(open, hexBlock(r.Start), s.claims[r.Start])
			}
			h.list("unclaim", open...)
		}
		if err := s.rollBack(ctx, st, st.Delete, unclaim); err != nil {
			return err
		}
	}
	switch {
	case ch.Kind != entry.Data:
		s.coordinatorHeader(st).list("set", liveFields(st.after)...)
		s.tellCoordinator()
	case ch.Whole():
		if err := s.whole(ctx, st); err != nil {
			return err
		}
	default:
		if err := s.onePart(ctx, st); err != nil {
			return err
		}
	}
	if len(s.scratch.packed) < clusterBatchBytes {
		return nil
	}
	return s.flush(ctx)
}

// unknown returns the blocks from n on of which the coordinator has nothing.
func (s *clusterCommit) unknown(n block.Number) []block.Range {
	known := s.covered.Clone()
	for at := range s.claims {
		known.Add(block.Closed(at, at))
	}
	return known.Missing(block.Range{Start: n, End: block.Max + 1})
}

// tellCoordinator keeps the call whose header has been made until the rows are there.
func (s *clusterCommit) tellCoordinator() {
	s.calls = append(s.calls, slices.Clone(s.pack.header.bytes()))
}

// whole sends the blocks of an entry that are not covered.
func (s *clusterCommit) whole(ctx context.Context, st *step) error {
	if len(st.Covered) == 0 {
		if st.change.Live {
			s.coordinatorHeader(st)
			s.moveOn(st)
			s.tellCoordinator()
		}
		return nil
	}
	at, start := 0, st.Covered[0].Start
	cover := func(end block.Number, last bool) {
		r := block.Range{Start: start, End: end}
		s.coordinatorHeader(st)
		s.cover(r)
		if last {
			s.moveOn(st)
		}
		s.tellCoordinator()
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
			if n > start && len(s.scratch.packed) >= clusterBatchBytes && s.scratch.lastBlock() != n {
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
func (s *clusterCommit) onePart(ctx context.Context, st *step) error {
	ch := &st.change
	token, n := tokenOf(ch.Parts, ch.Batch), ch.Range
	if st.idle {
		if ch.Live {
			s.coordinatorHeader(st).list("arrived", hexBlock(n.Start), hexBlock(n.End), token, strconv.Itoa(ch.Part))
			s.moveOn(st)
			s.tellCoordinator()
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
	s.part = &blockChunk{n, ch.Batch, ch.Part, ch.Parts}
	h := s.coordinatorHeader(st)
	s.cover(n)
	h.text("token", token)
	h.text("parts", strconv.Itoa(ch.Parts))
	h.text("part", strconv.Itoa(ch.Part))
	h.text("offset", "0")
	h.text("last", "yes")
	s.moveOn(st)
	s.tellCoordinator()
	return s.flush(ctx)
}

// drain sends what is left and waits for everything.
func (s *clusterCommit) drain(ctx context.Context) error {
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
