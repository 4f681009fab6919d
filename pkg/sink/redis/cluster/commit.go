package cluster

import (
	"context"
	"errors"
	"slices"
	"sort"

	"github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/redis/format"
	"github.com/ampipe/ampipe/pkg/sink/redis/scripts"
)

// Committer commits to a Cluster. It is used by one call at a time.
type Committer struct {
	table      *format.Table
	client     redis.UniversalClient
	script     *redis.Script // of the coordinator
	slotScript *redis.Script // of a participant
	tags       []string      // of the slots
	header     format.Header
	rows       packedRows
}

// New returns a Committer for a table. It calls nobody.
func New(g *format.Table, client redis.UniversalClient) *Committer {
	return &Committer{table: g, client: client, tags: slotTags(),
		script: redis.NewScript(scripts.Apply()), slotScript: redis.NewScript(scripts.Slot())}
}

// Load makes a node know the scripts.
func (c *Committer) Load(ctx context.Context, node redis.Scripter) error {
	return errors.Join(c.script.Load(ctx, node).Err(), c.slotScript.Load(ctx, node).Err())
}

// StateOf returns the key of the state of a participant.
func (c *Committer) StateOf(slot int) string { return c.table.SlotState(c.tags[slot]) }

// Committed is what the coordinator says.
type Committed struct {
	Coordinator
	Coverage block.Set
	Claims   map[block.Number]string // readings of blocks that have come in part
	Floor    block.Number            // of the index
}

// transaction is one attempt to commit some steps.
type transaction struct {
	*Committer
	Committed              // grows with every batch
	token     string       // of blocks that go in chunks
	top       block.Number // highest block known, for finality

	// What is to be sent next: its rows are in rows.
	ranges block.Set     // whole blocks
	part   *format.Chunk // or one part of a block
	calls  [][]byte      // headers of the calls that commit it, once all participants have answered

	running *batch
	applied sink.Applied // Skipped: rows that slots had already
}

// batchBytes is about how much is sent before answers are waited for. The more it
// is, the more rows there are for each slot.
const batchBytes = 4 << 20

// Commit applies steps, which rest on what is committed. top is the highest block known,
// and token names what this call sends in chunks. What it has applied counts although it
// fails.
func (c *Committer) Commit(ctx context.Context, on Committed, top block.Number, token string, steps []format.Step) (sink.Applied, error) {
	s := &transaction{Committer: c, Committed: on, top: top, token: token}
	c.rows.reset()
	err := errors.Join(s.all(ctx, steps), s.wait())
	return s.applied, err
}

func (s *transaction) all(ctx context.Context, steps []format.Step) error {
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
func (s *transaction) step(ctx context.Context, st *format.Step) error {
	ch, live := &st.Change, st.Change.Live
	if live && st.Before == st.After {
		return nil // applied before
	}
	from, beyond := st.Voids()
	cut := func(to sink.LiveState) error {
		return s.rollBack(ctx, st, []block.Range{{Start: from, End: block.Max + 1}}, func(h *format.Header) {
			h.Cut(from)
			h.Set(to)
		})
	}
	switch {
	case ch.Kind == sink.Remove && len(st.Delete) == 0:
		return nil
	case ch.Kind == sink.Remove:
		return s.rollBack(ctx, st, st.Delete, func(h *format.Header) { h.Remove(ch.Range, st.Before, st.After) })
	case ch.Kind == entry.Invalidate:
		return cut(st.After)
	case live && (!st.Before.Started || beyond):
		begun := st.Begun()
		if err := cut(begun); err != nil {
			return err
		}
		st.Before = begun
	case live && ch.Epoch > st.Before.Epoch:
		// Slots may have rows of an entry of the epoch before that the coordinator has not.
		if err := s.drain(ctx); err != nil {
			return err
		}
		if err := s.rollBack(ctx, st, s.unknown(st.Before.Start), func(*format.Header) {}); err != nil {
			return err
		}
	case len(st.Delete) > 0: // blocks of another reading
		unclaim := func(h *format.Header) {
			var open []string
			for _, r := range st.Delete {
				open = append(open, format.HexBlock(r.Start), s.Claims[r.Start])
			}
			h.List("unclaim", open...)
		}
		if err := s.rollBack(ctx, st, st.Delete, unclaim); err != nil {
			return err
		}
	}
	switch {
	case ch.Kind != entry.Data:
		s.toCoordinator(st).Set(st.After)
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
	if len(s.rows.packed) < batchBytes {
		return nil
	}
	return s.flush(ctx)
}

func (s *transaction) cover(r block.Range) {
	s.header.Cover(r)
	s.top = max(s.top, r.End-1)
}

// unknown returns the blocks from n on of which the coordinator has nothing.
func (s *transaction) unknown(n block.Number) []block.Range {
	known := s.Coverage.Clone()
	for at := range s.Claims {
		known.Add(block.Closed(at, at))
	}
	return known.Missing(block.Range{Start: n, End: block.Max + 1})
}

// tellCoordinator keeps the call whose header has been made until the rows are there.
func (s *transaction) tellCoordinator() {
	s.calls = append(s.calls, slices.Clone(s.header.Bytes()))
}

// whole sends the blocks of an entry that are not covered.
func (s *transaction) whole(ctx context.Context, st *format.Step) error {
	if len(st.Covered) == 0 {
		if st.Change.Live {
			s.toCoordinator(st)
			s.header.MoveOn(st)
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
			s.header.MoveOn(st)
		}
		s.tellCoordinator()
		s.ranges.Add(r)
		start = end
	}
	for i := range st.Runs {
		b := &st.Runs[i]
		for row := b.From; row < b.To; row++ {
			n := b.Blocks.At(row)
			for n >= st.Covered[at].End {
				cover(st.Covered[at].End, false)
				at++
				start = st.Covered[at].Start
			}
			if n > start && len(s.rows.packed) >= batchBytes && s.rows.lastBlock() != n {
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
func (s *transaction) onePart(ctx context.Context, st *format.Step) error {
	if st.Idle && !st.Change.Live {
		return nil
	}
	if st.Idle {
		s.toCoordinator(st).Arrived(st)
		s.tellCoordinator()
		return nil
	}
	if err := s.flush(ctx); err != nil { // so that slots have parts one after the other
		return err
	}
	for i := range st.Runs {
		for row := st.Runs[i].From; row < st.Runs[i].To; row++ {
			s.rows.add(s.table, &st.Runs[i], row)
		}
	}
	part := format.Part(&st.Change)
	s.part = &part
	h := s.toCoordinator(st)
	s.cover(part.Blocks)
	h.Chunk(part, 0)
	h.Text("last", "yes")
	h.MoveOn(st)
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
