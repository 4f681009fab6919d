package redis

import (
	"context"
	"errors"
	"slices"
	"sort"
	"strconv"

	"github.com/ampipe/ampipe/pkg/sink/redis/scripts"

	"github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/sink"
)

// cluster commits to a Cluster. It is used by one call at a time.
type cluster struct {
	table      *target
	client     redis.UniversalClient
	script     *redis.Script // of the coordinator
	slotScript *redis.Script // of a participant
	tags       []string      // of the slots
	header     header
	rows       packedRows
}

func newCluster(g *target, client redis.UniversalClient) *cluster {
	return &cluster{table: g, client: client, tags: slotTags(),
		script: redis.NewScript(scripts.Apply()), slotScript: redis.NewScript(scripts.Slot())}
}

// committed is what the coordinator says.
type committed struct {
	coordinator
	coverage block.Set
	claims   map[block.Number]string // readings of blocks that have come in part
	floor    block.Number            // of the index
}

// transaction is one attempt to commit some steps.
type transaction struct {
	*cluster
	committed              // grows with every batch
	token     string       // of blocks that go in chunks
	top       block.Number // highest block known, for finality

	// What is to be sent next: its rows are in rows.
	ranges block.Set   // whole blocks
	part   *blockChunk // or one part of a block
	calls  [][]byte    // headers of the calls that commit it, once all participants have answered

	running *batchInFlight
	applied sink.Applied // Skipped: rows that slots had already
}

// batchBytes is about how much is sent before answers are waited for. The more it
// is, the more rows there are for each slot.
const clusterBatchBytes = 4 << 20

// commit applies steps, which rest on what is committed. top is the highest block known,
// and token names what this call sends in chunks. What it has applied counts although it
// fails.
func (c *cluster) commit(ctx context.Context, on committed, top block.Number, token string, steps []step) (sink.Applied, error) {
	s := &transaction{cluster: c, committed: on, top: top, token: token}
	c.rows.reset()
	err := s.all(ctx, steps)
	err = errors.Join(err, s.wait())
	return s.applied, err
}

func (s *transaction) all(ctx context.Context, steps []step) error {
	if s.Pending != nil {
		longer, done := steady(ctx)
		defer done()
		if err := s.finishRollback(longer, s.Pending); err != nil {
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
func (s *transaction) step(ctx context.Context, st *step) error {
	ch, live := &st.change, st.change.Live
	if live && st.before == st.after {
		return nil // applied before
	}
	beyond := live && st.before.StartsBeyond(*ch)
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
		var names []string
		for _, r := range st.Delete {
			names = append(names, hexBlock(r.Start))
		}
		if err := s.rollBack(ctx, st, st.Delete, func(h *header) { h.list("unclaim", names...) }); err != nil {
			return err
		}
	}
	switch {
	case ch.Kind != entry.Data:
		s.toCoordinator(st).list("set", liveFields(st.after)...)
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
	if len(s.rows.packed) < clusterBatchBytes {
		return nil
	}
	return s.flush(ctx)
}

func (s *transaction) cover(r block.Range) {
	s.header.cover(r)
	s.top = max(s.top, r.End-1)
}

// unknown returns the blocks from n on of which the coordinator has nothing.
func (s *transaction) unknown(n block.Number) []block.Range {
	known := s.coverage.Clone()
	for at := range s.claims {
		known.Add(block.Closed(at, at))
	}
	return known.Missing(block.Range{Start: n, End: block.Max + 1})
}

// tellCoordinator keeps the call whose header has been made until the rows are there.
func (s *transaction) tellCoordinator() {
	s.calls = append(s.calls, slices.Clone(s.header.bytes()))
}

// whole sends the blocks of an entry that are not covered.
func (s *transaction) whole(ctx context.Context, st *step) error {
	if len(st.Covered) == 0 {
		if st.change.Live {
			s.toCoordinator(st)
			s.header.moveOn(st)
			s.tellCoordinator()
		}
		return nil
	}
	at, start := 0, st.Covered[0].Start
	cover := func(end block.Number, last bool) {
		r := block.Range{Start: start, End: end}
		s.toCoordinator(st)
		s.cover(r)
		if last {
			s.header.moveOn(st)
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
			if n > start && len(s.rows.packed) >= clusterBatchBytes && s.rows.lastBlock() != n {
				cover(n, false)
				if err := s.flush(ctx); err != nil {
					return err
				}
			}
			s.rows.add(s.table, b, row)
		}
	}
	for ; at < len(st.Covered); at++ {
		start = max(start, st.Covered[at].Start)
		cover(st.Covered[at].End, at == len(st.Covered)-1)
	}
	return nil
}

// onePart sends one part of a block.
func (s *transaction) onePart(ctx context.Context, st *step) error {
	ch := &st.change
	token, n := tokenOf(ch.Parts, ch.Batch), ch.Range
	if st.idle {
		if ch.Live {
			s.toCoordinator(st).list("arrived", hexBlock(n.Start), hexBlock(n.End), token, strconv.Itoa(ch.Part))
			s.header.moveOn(st)
			s.tellCoordinator()
		}
		return nil
	}
	if err := s.flush(ctx); err != nil { // so that slots have parts one after the other
		return err
	}
	for i := range st.runs {
		for row := st.runs[i].From; row < st.runs[i].To; row++ {
			s.rows.add(s.table, &st.runs[i], row)
		}
	}
	s.part = &blockChunk{n, ch.Batch, ch.Part, ch.Parts}
	h := s.toCoordinator(st)
	s.cover(n)
	h.text("token", token)
	h.text("parts", strconv.Itoa(ch.Parts))
	h.text("part", strconv.Itoa(ch.Part))
	h.text("offset", "0")
	h.text("last", "yes")
	s.header.moveOn(st)
	s.tellCoordinator()
	return s.flush(ctx)
}

// drain sends what is left and waits for everything.
func (s *transaction) drain(ctx context.Context) error {
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
