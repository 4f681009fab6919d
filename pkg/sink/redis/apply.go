package redis

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
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
)

// attempts bounds how often a call begins again because others were in its way.
// Each time, somebody has got on.
const attempts = 100

var errStale = errors.New("another writer has changed the state meanwhile")

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
	select {
	case w.turn <- struct{}{}:
		defer func() { <-w.turn }()
	case <-ctx.Done():
		return sink.Applied{}, context.Cause(ctx)
	}
	c := &call{Writer: w, token: rand.Text(), next: w.batches[0], run: w.batches[1]}
	defer func() { w.batches = [2]batch{c.next, c.run} }()
	for i := 1; ; i++ {
		err := c.attempt(ctx, changes)
		switch {
		case err == nil:
			return c.applied, nil
		case i < attempts && errors.Is(err, errStale):
			if err := fault.Sleep(ctx, fault.Backoff{Min: time.Millisecond, Max: 20 * time.Millisecond}.Delay(i)); err != nil {
				return sink.Applied{}, err
			}
		case i < attempts && redis.HasErrorPrefix(err, "NOSCRIPT"):
			if err := w.script.Load(ctx, w.client).Err(); err != nil {
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
	token   string // of blocks that it writes in pieces
	applied sink.Applied

	top  block.Number // highest block known, for finality
	next batch        // is being filled
	run  batch        // is being sent, if done is not nil
	done chan error

	piecemeal bool // the slice at hand is a piece of a block
}

// sent is what to count when a slice has been answered.
type sent struct {
	reply *redis.Cmd
	rows  int
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

// step is what one change does.
type step struct {
	sink.Step
	change        sink.Change
	before, after sink.LiveState
	runs          []bound
	idle          bool                 // a part that is there, or is not wanted
	resume        map[block.Number]int // rows of a block in pieces that are there
}

// attempt applies what is not committed yet.
func (c *call) attempt(ctx context.Context, changes []sink.Change) error {
	l, err := c.readLedger(ctx)
	if err != nil {
		return err
	}
	for _, r := range l.Coverage.Ranges() {
		c.top = max(c.top, r.End-1)
	}
	// Everything that can be refused is, before anything is sent.
	steps := make([]step, len(changes))
	var all, skipped uint64
	for i, change := range changes {
		if steps[i], err = c.take(l, change); err != nil {
			return err
		}
		all, skipped = all+uint64(change.Rows), skipped+steps[i].Skipped
	}
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
	if err := c.wait(); err != nil {
		return err
	}
	// Rows that an earlier attempt has written are not skipped.
	c.applied.Skipped = min(skipped, all-min(all, c.applied.Rows))
	return nil
}

// take asks the rules what a change does.
func (c *call) take(l *ledger, change sink.Change) (s step, err error) {
	s = step{change: change, before: l.Live, resume: make(map[block.Number]int)}
	at := change.Range.Start
	if change.Kind == entry.Data && !change.Whole() {
		p := l.Partial[at]
		s.idle = l.Coverage.Has(at) && (l.Live.Started || !change.Live) ||
			p.Batch == change.Batch && p.Parts == change.Parts && slices.Contains(p.Have, change.Part) && (l.Live.Started || !change.Live) ||
			!change.Live && l.Live.Started && at >= l.Live.Start
	}
	if s.Step, err = l.Take(change, c.target.block); err != nil {
		return s, err
	}
	s.after = l.Live
	for n, o := range l.open {
		switch {
		case !change.Range.Has(n) || s.after.Started && !s.before.Started:
		case change.Whole() && o.token == tokenOf(1, c.token):
			s.resume[n] = o.rows[0]
		case !change.Whole() && o.token == tokenOf(change.Parts, change.Batch):
			s.resume[n] = o.rows[change.Part]
		}
	}
	for _, r := range s.Delete {
		maps.DeleteFunc(l.open, func(n block.Number, _ opened) bool { return r.Has(n) })
	}
	for _, run := range s.Write {
		b, err := c.target.bind(run)
		if err != nil {
			return s, err
		}
		s.runs = append(s.runs, b)
	}
	return s, nil
}

// tokenOf names a reading of a block that arrives in pieces.
func tokenOf(parts int, batch string) string { return strconv.Itoa(parts) + " " + batch }

// step sends what one change does.
func (c *call) step(ctx context.Context, s *step) error {
	live := s.change.Live
	if live && s.before == s.after {
		return nil // applied before
	}
	if live && !s.before.Started {
		// The lane takes possession of its blocks, at the place before its first
		// entry, so that the entry itself can follow in slices.
		begun := sink.LiveState{Started: true, Epoch: s.change.Epoch, Seq: s.change.After, Start: s.after.Start}
		c.begin(s.before, true)
		c.pack.header.text("cut", hexBlock(begun.Start))
		c.pack.header.list("set", liveFields(begun)...)
		if err := c.send(ctx); err != nil {
			return err
		}
		s.before = begun
	}
	switch s.change.Kind {
	case entry.Data:
		if s.change.Whole() {
			return c.whole(ctx, s)
		}
		return c.part(ctx, s)
	case entry.Invalidate:
		c.begin(s.before, true)
		c.pack.header.text("cut", hexBlock(s.change.Range.Start))
	default:
		c.begin(s.before, true)
	}
	c.pack.header.list("set", liveFields(s.after)...)
	return c.send(ctx)
}

// whole sends the blocks of an entry that are not covered: several of them in a
// slice, or several slices for one of them.
func (c *call) whole(ctx context.Context, s *step) error {
	rows := reader{runs: s.runs}
	last := len(s.Covered) - 1
	for i, r := range s.Covered {
		for r.Start < r.End {
			blocks, count := rows.plan(r)
			if count > wholeRows { // a block that goes in pieces, and perhaps empty ones around it
				if n := rows.block(); n > blocks.Start {
					blocks.End, count = n, 0
				} else {
					blocks.End = n + 1
				}
			}
			if count <= wholeRows {
				c.begin(s.before, s.change.Live)
				c.cover(blocks)
				c.fill(&rows, count, math.MaxInt)
			} else if err := c.pieces(ctx, s, &rows, piece{blocks, c.token, 0, 1}, count); err != nil {
				return err
			}
			if blocks.End == r.End && i == last {
				c.moveOn(s)
			}
			if err := c.send(ctx); err != nil {
				return err
			}
			r.Start = blocks.End
		}
	}
	if last < 0 && s.change.Live {
		c.begin(s.before, true)
		c.moveOn(s)
		return c.send(ctx)
	}
	return nil
}

// moveOn makes the last slice of a live entry move the sequence on, if all of the
// entry has arrived.
func (c *call) moveOn(s *step) {
	if !s.change.Live {
		return
	}
	if s.change.Whole() {
		c.pack.header.list("whole", hexBlock(s.change.Range.Start), hexBlock(s.change.Range.End))
	}
	c.pack.header.list("set", liveFields(s.after)...)
}

// piece says of what a slice of a block is a piece.
type piece struct {
	blocks      block.Range // one block
	batch       string
	part, parts int
}

// pieces sends count rows of one block, leaving out those that are there. The
// last piece is left to the caller to send.
func (c *call) pieces(ctx context.Context, s *step, rows *reader, p piece, count int) error {
	offset := min(s.resume[p.blocks.Start], max(0, count-1))
	for range offset {
		rows.next()
	}
	for count -= offset; ; {
		c.begin(s.before, s.change.Live)
		c.cover(p.blocks)
		c.piecemeal = true
		h := &c.pack.header
		h.text("token", tokenOf(p.parts, p.batch))
		h.text("parts", strconv.Itoa(p.parts))
		h.text("part", strconv.Itoa(p.part))
		h.text("offset", strconv.Itoa(offset))
		n := c.fill(rows, min(count, sliceRows), sliceBytes)
		offset, count = offset+n, count-n
		h.text("next", strconv.Itoa(offset))
		if count == 0 {
			h.text("last", "yes")
			return nil
		}
		h.text("last", "")
		if err := c.send(ctx); err != nil {
			return err
		}
	}
}

// part sends one part of a block.
func (c *call) part(ctx context.Context, s *step) error {
	n, ch := s.change.Range, s.change
	if s.idle {
		if !ch.Live {
			return nil
		}
		c.begin(s.before, true)
		c.pack.header.list("arrived", hexBlock(n.Start), hexBlock(n.End), tokenOf(ch.Parts, ch.Batch), strconv.Itoa(ch.Part))
		c.moveOn(s)
		return c.send(ctx)
	}
	rows := reader{runs: s.runs}
	if err := c.pieces(ctx, s, &rows, piece{n, ch.Batch, ch.Part, ch.Parts}, int(sink.CountRows(s.Write))); err != nil {
		return err
	}
	c.moveOn(s)
	return c.send(ctx)
}

// begin starts a slice. A live one rests on the live lane being where it was.
func (c *call) begin(before sink.LiveState, live bool) {
	g, h := c.target, &c.pack.header
	c.pack.reset()
	h.reset()
	h.text("format", format)
	h.text("structure", string(g.Structure))
	h.text("stride", strconv.Itoa(g.stride()))
	h.text("ttl", strconv.FormatInt(g.TTL.Milliseconds(), 10))
	if g.owned {
		h.flag("owned", true)
	}
	if g.bare {
		h.flag("bare", true)
	}
	if g.members() {
		h.flag("members", true)
	}
	if floor := g.floor(c.top); floor > 0 {
		h.text("floor", hexBlock(floor))
	}
	c.piecemeal = false
	switch {
	case live && before.Started:
		h.list("live", strconv.FormatUint(before.Epoch, 10), strconv.FormatUint(before.Seq, 10))
	case live:
		h.list("live", "", "")
	}
}

func (c *call) cover(r block.Range) {
	c.pack.header.text("from", hexBlock(r.Start))
	c.pack.header.text("to", hexBlock(r.End))
	c.top = max(c.top, r.End-1)
}

// fill packs up to n rows, fewer if they are larger than a limit of bytes, but at
// least one. It gives their number.
func (c *call) fill(rows *reader, n, limit int) int {
	packed := 0
	for packed < n && (packed == 0 || len(c.pack.rows) < limit) {
		b, row := rows.next()
		c.pack.add(c.target, b, row)
		packed++
	}
	return packed
}

// send puts the slice into the pipe, and waits for answers when that is full.
func (c *call) send(ctx context.Context) error {
	p, g := &c.pack, c.target
	p.finish(g)
	var rows, index []byte
	if p.count > 0 {
		rows = c.keep(p.rows)
		// Below the floor no reorg is expected, so no index is needed.
		if c.piecemeal || p.lastBlock >= g.floor(c.top) {
			index = c.keep(p.index)
		}
	}
	b := &c.next
	b.sent = append(b.sent, sent{c.script.EvalSha(ctx, b.pipe, g.keys(), c.keep(p.header.bytes()), rows, index), p.count})
	if len(b.arena) < batchBytes {
		return nil
	}
	return c.flush(ctx)
}

// keep copies what the pipe refers to until it is answered.
func (c *call) keep(b []byte) []byte {
	a := &c.next.arena
	at := len(*a)
	*a = append(*a, b...)
	return (*a)[at:len(*a):len(*a)]
}

func (b *batch) reset() { b.sent, b.arena = b.sent[:0], b.arena[:0] }

// flush sends what has been packed when the batch before has been answered.
func (c *call) flush(ctx context.Context) error {
	if err := c.wait(); err != nil {
		return err
	}
	if len(c.next.sent) == 0 {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	c.next, c.run = c.run, c.next
	c.next.reset()
	done, pipe := make(chan error, 1), c.run.pipe
	go func() {
		_, err := pipe.Exec(ctx)
		done <- err
	}()
	c.done = done
	return nil
}

// wait reads the answers to the batch that is being sent, if one is.
func (c *call) wait() error {
	if c.done == nil {
		return nil
	}
	failed := <-c.done
	c.done = nil
	var stale error
	for _, s := range c.run.sent {
		reply, err := s.reply.Slice()
		if err != nil {
			continue // failed says it
		}
		if len(reply) < 2 {
			return errState
		}
		switch status, _ := reply[0].(int64); status {
		case 0:
			gone, _ := reply[1].(int64)
			c.applied.Rows += uint64(s.rows)
			c.applied.Deleted += uint64(gone)
		case 1:
			if len(reply) > 2 {
				return errForgotten
			}
			stale = errStale
		default:
			return fault.Permanent(fmt.Errorf("a reorg reaches below block %s, where the index of rows by block was dropped (finality: %d), so its rows cannot be removed exactly; "+
				"remove the keys of this sink and load it again, with a higher finality", shownBlock(reply[2]), c.target.Finality))
		}
	}
	if failed != nil {
		return failed
	}
	return stale
}

// shownBlock shows a block number of the state.
func shownBlock(v any) string {
	text, _ := v.(string)
	n, err := parseBlock(text)
	if err != nil {
		return text
	}
	return strconv.FormatUint(uint64(n), 10)
}

// reader hands out the rows of runs.
type reader struct {
	runs []bound
	row  int // of the first run; below its From before the first row
}

// next gives the next row.
func (r *reader) next() (*bound, int) {
	for {
		b := &r.runs[0]
		r.row = max(r.row, b.From)
		if r.row < b.To {
			r.row++
			return b, r.row - 1
		}
		r.runs, r.row = r.runs[1:], 0
	}
}

// block gives the block of the next row.
func (r *reader) block() block.Number {
	b, row := r.next()
	r.row--
	return b.blocks.At(row)
}

// plan gives the first blocks of a range that make a slice and the number of
// their rows: as many as fit, or one that does not.
func (r *reader) plan(of block.Range) (block.Range, int) {
	count, inBlock := 0, 0 // rows of finished blocks, and of the last one
	var last block.Number
	row := r.row
	for i := range r.runs {
		b := &r.runs[i]
		for row = max(row, b.From); row < b.To; row++ {
			n := b.blocks.At(row)
			if n >= of.End {
				return of, count + inBlock
			}
			if inBlock > 0 && n != last {
				if count += inBlock; count >= sliceRows {
					return block.Range{Start: of.Start, End: last + 1}, count
				}
				inBlock = 0
			}
			last = n
			inBlock++
			if count > 0 && count+inBlock > wholeRows { // this block goes into the next slice
				return block.Range{Start: of.Start, End: last}, count
			}
		}
		row = 0
	}
	return of, count + inBlock
}
