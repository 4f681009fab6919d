package redis

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/redis/cluster"
	"github.com/ampipe/ampipe/pkg/sink/redis/format"
)

// attempts bounds how often a call begins again because others were in its way.
// Each time, somebody has got on.
const attempts = 100

// Apply makes the changes; see [sink.Writer]. It reads what is committed, asks
// the rules, and sends the rows in slices. Each slice says what it rests on, and
// the script changes nothing if that is not so any more: then the call begins
// again with what is left. Of changes larger than a slice, the slices before a
// failure stay; they are whole blocks or noted as parts of one.
func (w *Writer) Apply(ctx context.Context, changes []sink.Change) (sink.Applied, error) {
	if w.client == nil {
		return sink.Applied{}, errNotOpen
	}
	if len(changes) == 0 {
		return sink.Applied{}, ctx.Err()
	}
	by := w.history
	if changes[0].Live && !w.target.Cluster {
		by = w.live
	}
	select {
	case by.turn <- struct{}{}:
		defer func() { <-by.turn }()
	case <-ctx.Done():
		return sink.Applied{}, context.Cause(ctx)
	}
	c := &call{Writer: w, pack: &by.pack, token: rand.Text(), next: by.batches[0], run: by.batches[1]}
	defer func() { by.batches = [2]batch{c.next, c.run} }()
	known := by.known
	by.known = nil
	for i := 1; ; i++ {
		left, err := c.attempt(ctx, changes, known)
		known = nil // it is read again
		switch {
		case err == nil:
			by.known = left
			return c.applied, nil
		case i < attempts && errors.Is(err, format.ErrStale):
			if err := fault.Sleep(ctx, fault.Backoff{Min: time.Millisecond, Max: 20 * time.Millisecond}.Delay(i)); err != nil {
				return sink.Applied{}, err
			}
		case i < attempts && redis.HasErrorPrefix(err, "NOSCRIPT"):
			if err := w.load(ctx, w.client); err != nil {
				return sink.Applied{}, w.classed(ctx, "load the script", err)
			}
		case errors.Is(err, sink.ErrGap):
			return sink.Applied{}, err
		default:
			return sink.Applied{}, w.classed(ctx, "write rows", err)
		}
	}
}

// call is one call of Apply.
type call struct {
	*Writer
	pack    *format.Packer
	token   string // of blocks that it writes in chunks
	applied sink.Applied

	top  block.Number // highest block known, for finality
	next batch        // is being filled
	run  batch        // is being sent, if done is not nil
	done chan error

	chunked   bool // the slice at hand is a chunk of a block
	unguarded bool // a key was there: from here on the script writes the rows
}

// sent is what to count when a slice has been answered.
type sent struct {
	reply   *redis.Cmd
	rows    int
	guarded bool
}

// batch is slices that are sent together.
type batch struct {
	pipe  redis.Pipeliner
	sent  []sent
	arena []byte // what the pipe refers to
}

// batchBytes is about how much is sent before answers are waited for. While the
// server works on one batch, the next is packed.
const batchBytes = 512 << 10

// attempt applies what is not committed yet. known is what is, as far as is known; nil: it is
// read. It returns what is committed then, if the next call can begin with that.
//
// What is known may be old: so may what was just read, and every slice says what it rests on.
// But nothing is left undone, and nothing refused, for what may not be true any more.
func (c *call) attempt(ctx context.Context, changes []sink.Change, known *commitState) (left *commitState, err error) {
	l := known
	var steps []format.Step
	if l != nil {
		c.see(l)
		steps, err = c.plan(l, changes)
	}
	if l == nil || err != nil || !onlyAdd(steps) {
		if l, err = c.readCommitState(ctx); err != nil {
			return nil, err
		}
		c.see(l)
	}
	var on cluster.Committed // in a Cluster: as it is, while l is as it will be
	if c.target.Cluster {
		on = cluster.Committed{Coordinator: l.Coordinator, Coverage: l.Coverage.Clone(), Claims: make(map[block.Number]string), Floor: l.floor}
		for n, o := range l.open {
			on.Claims[n] = o.token
		}
	}
	if l != known {
		if steps, err = c.plan(l, changes); err != nil {
			return nil, err
		}
	}
	var all, skipped uint64
	for i := range steps {
		all, skipped = all+uint64(changes[i].Rows), skipped+steps[i].Skipped
	}
	if c.target.Cluster {
		applied, err := c.cluster.Commit(ctx, on, c.top, c.token, steps)
		c.applied.Rows, c.applied.Deleted = c.applied.Rows+applied.Rows, c.applied.Deleted+applied.Deleted
		if err != nil {
			return nil, err
		}
		skipped += applied.Skipped
	} else if err := c.slices(ctx, steps); err != nil {
		return nil, err
	}
	// Rows that an earlier attempt has written are not skipped.
	c.applied.Skipped = min(skipped, all-min(all, c.applied.Rows))
	if c.target.Cluster || !onlyAdd(steps) {
		return nil, nil
	}
	return l, nil
}

// see notes the highest block of what is committed.
func (c *call) see(l *commitState) {
	for _, r := range l.Coverage.Ranges() {
		c.top = max(c.top, r.End-1)
	}
}

// plan asks the rules what all changes do: everything that can be refused is, before anything
// is sent.
func (c *call) plan(l *commitState, changes []sink.Change) (steps []format.Step, err error) {
	steps = make([]format.Step, len(changes))
	for i, change := range changes {
		if steps[i], err = c.take(l, change); err != nil {
			return nil, err
		}
	}
	return steps, nil
}

// onlyAdd reports whether all steps add whole blocks behind what the live lane has, and
// nothing else: the script refuses such a step unless the lane is where it was, and none of
// the blocks is there.
func onlyAdd(steps []format.Step) bool {
	return !slices.ContainsFunc(steps, func(s format.Step) bool {
		c := s.Change
		adds := c.Live && c.Kind == entry.Data && c.Whole() && s.Before.Started && s.Before.Epoch == c.Epoch &&
			s.Before != s.After && len(s.Covered) == 1 && s.Covered[0] == c.Range && s.Skipped == 0 && len(s.Delete) == 0 && len(s.Resume) == 0
		return !adds
	})
}

// slices sends steps to a single server.
func (c *call) slices(ctx context.Context, steps []format.Step) error {
	c.next.pipe, c.run.pipe = c.client.Pipeline(), c.client.Pipeline()
	c.next.reset()
	for i := range steps {
		if err := c.step(ctx, &steps[i]); err != nil {
			return errors.Join(err, c.wait())
		}
	}
	if err := c.flush(ctx); err != nil {
		return err
	}
	return c.wait()
}

// take asks the rules what a change does.
func (c *call) take(l *commitState, change sink.Change) (s format.Step, err error) {
	s = format.Step{Change: change, Before: l.Live, Resume: make(map[block.Number]int)}
	at := change.Range.Start
	if change.Kind == entry.Data && !change.Whole() {
		p := l.Partial[at]
		s.Idle = l.Coverage.Has(at) && (l.Live.Started || !change.Live) ||
			p.Batch == change.Batch && p.Parts == change.Parts && slices.Contains(p.Have, change.Part) && (l.Live.Started || !change.Live) ||
			!change.Live && l.Live.Started && at >= l.Live.Start
	}
	if s.Step, err = l.Take(change, c.target.Block); err != nil {
		return s, err
	}
	s.After = l.Live
	for n, o := range l.open {
		switch {
		case !change.Range.Has(n) || s.After.Started && !s.Before.Started:
		case change.Whole() && o.token == format.TokenOf(1, c.token):
			s.Resume[n] = o.rows[0]
		case !change.Whole() && o.token == format.TokenOf(change.Parts, change.Batch):
			s.Resume[n] = o.rows[change.Part]
		}
	}
	for _, r := range s.Delete {
		maps.DeleteFunc(l.open, func(n block.Number, _ opened) bool { return r.Has(n) })
	}
	for _, run := range s.Write {
		b, err := c.target.Bind(run)
		if err != nil {
			return s, err
		}
		s.Runs = append(s.Runs, b)
	}
	return s, nil
}

// step sends what one change does.
func (c *call) step(ctx context.Context, s *format.Step) error {
	live := s.Change.Live
	if live && s.Before == s.After {
		return nil // applied before
	}
	if s.Change.Kind == sink.Remove {
		if len(s.Delete) == 0 {
			return nil
		}
		c.begin(s.Before, s.Lane())
		c.pack.Header.Remove(s.Change.Range, s.Before, s.After)
		return c.send(ctx)
	}
	from, beyond := s.Voids()
	if live && !s.Before.Started || beyond && s.Change.Kind != entry.Invalidate {
		begun := s.Begun()
		c.begin(s.Before, true)
		c.pack.Header.Cut(from)
		c.pack.Header.Set(begun)
		if err := c.send(ctx); err != nil {
			return err
		}
		s.Before = begun
	}
	switch {
	case s.Change.Kind != entry.Data:
		c.begin(s.Before, true)
		if s.Change.Kind == entry.Invalidate {
			c.pack.Header.Cut(from)
		}
		c.pack.Header.Set(s.After)
		return c.send(ctx)
	case s.Change.Whole():
		return c.whole(ctx, s)
	default:
		return c.part(ctx, s)
	}
}

// whole sends the blocks of an entry that are not covered: several of them in a
// slice, or several slices for one of them.
func (c *call) whole(ctx context.Context, s *format.Step) error {
	rows := reader{runs: s.Runs}
	last := len(s.Covered) - 1
	for i, r := range s.Covered {
		for r.Start < r.End {
			blocks, count := rows.plan(r)
			if count > format.WholeRows { // a block that goes in chunks, and perhaps empty ones around it
				if n := rows.block(); n > blocks.Start {
					blocks.End, count = n, 0
				} else {
					blocks.End = n + 1
				}
			}
			if count <= format.WholeRows {
				c.begin(s.Before, s.Change.Live)
				c.cover(blocks)
				c.fill(&rows, count, math.MaxInt)
			} else if err := c.chunks(ctx, s, &rows, format.Chunk{Blocks: blocks, Batch: c.token, Parts: 1}, count); err != nil {
				return err
			}
			if blocks.End == r.End && i == last {
				c.pack.Header.MoveOn(s)
			}
			if err := c.send(ctx); err != nil {
				return err
			}
			r.Start = blocks.End
		}
	}
	if last < 0 && s.Change.Live {
		c.begin(s.Before, true)
		c.pack.Header.MoveOn(s)
		return c.send(ctx)
	}
	return nil
}

// chunks sends count rows of one block, leaving out those that are there. The
// last chunk is left to the caller to send.
func (c *call) chunks(ctx context.Context, s *format.Step, rows *reader, p format.Chunk, count int) error {
	offset := min(s.Resume[p.Blocks.Start], max(0, count-1))
	for range offset {
		rows.next()
	}
	for count -= offset; ; {
		c.begin(s.Before, s.Change.Live)
		c.cover(p.Blocks)
		c.chunked = true
		h := &c.pack.Header
		h.Chunk(p, offset)
		n := c.fill(rows, min(count, format.SliceRows), format.SliceBytes)
		offset, count = offset+n, count-n
		h.Text("next", strconv.Itoa(offset))
		if count == 0 {
			h.Text("last", "yes")
			return nil
		}
		h.Text("last", "")
		if err := c.send(ctx); err != nil {
			return err
		}
	}
}

// part sends one part of a block.
func (c *call) part(ctx context.Context, s *format.Step) error {
	if s.Idle && !s.Change.Live {
		return nil
	}
	if s.Idle {
		c.begin(s.Before, true)
		c.pack.Header.Arrived(s)
		return c.send(ctx)
	}
	rows := reader{runs: s.Runs}
	if err := c.chunks(ctx, s, &rows, format.Part(&s.Change), int(sink.CountRows(s.Write))); err != nil {
		return err
	}
	c.pack.Header.MoveOn(s)
	return c.send(ctx)
}
