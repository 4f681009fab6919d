package redis

import (
	"cmp"
	"context"
	"errors"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/redis/format"
)

// begin starts a slice.
func (c *call) begin(before sink.LiveState, live bool) {
	c.pack.Reset()
	c.chunked = false
	c.target.Begin(&c.pack.Header, c.top, before, live)
}

func (c *call) cover(r block.Range) {
	c.pack.Header.Cover(r)
	c.top = max(c.top, r.End-1)
}

// fill packs up to n rows, fewer if they are larger than a limit of bytes, but at
// least one. It returns their number.
func (c *call) fill(rows *reader, n, limit int) int {
	packed := 0
	for packed < n && (packed == 0 || len(c.pack.Rows) < limit) {
		b, row := rows.next()
		c.pack.Add(c.target, b, row)
		packed++
	}
	return packed
}

// send puts the slice into the pipe, and waits for answers when that is full.
func (c *call) send(ctx context.Context) error {
	p, g, b := c.pack, c.target, &c.next
	p.Finish(g)
	guarded := c.guarded()
	if guarded {
		p.Header.Flag("latch", true)
	}
	header, index := c.keep(p.Header.Bytes()), []byte(nil)
	// Below the floor no reorg is expected, so no index is needed.
	if p.Count > 0 && (c.chunked || p.LastBlock >= g.Floor(c.top)) {
		index = c.keep(p.Index)
	}
	if guarded {
		c.putGuarded(ctx, header, index)
	} else {
		args := append(make([]any, 0, 2+len(p.Ends)), header, index)
		b.sent = append(b.sent, sent{reply: c.script.EvalSha(ctx, b.pipe, g.Keys(), c.appendRows(args)...), rows: p.Count})
	}
	if len(b.arena) < batchBytes {
		return nil
	}
	return c.flush(ctx)
}

// appendRows appends what the rows of the slice consist of.
func (c *call) appendRows(args []any) []any {
	if c.pack.Count == 0 {
		return args
	}
	rows, at := c.keep(c.pack.Rows), 0
	for _, end := range c.pack.Ends {
		args, at = append(args, rows[at:end:end]), end
	}
	return args
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
			failed = cmp.Or(failed, err)
			continue
		}
		if s.guarded {
			if reply, err = executed(reply); err != nil {
				failed = cmp.Or(failed, err)
				continue
			}
		}
		gone, err := c.target.Answered(reply)
		if errors.Is(err, format.ErrTaken) {
			c.unguarded, err = true, format.ErrStale
		}
		if errors.Is(err, format.ErrStale) {
			stale = err
			continue
		}
		if err != nil {
			return err
		}
		c.applied.Rows += uint64(s.rows)
		c.applied.Deleted += gone
	}
	if failed != nil {
		return failed
	}
	return stale
}

// reader hands out the rows of runs.
type reader struct {
	runs []format.Rows
	row  int // of the first run; below its From before the first row
}

// next returns the next row.
func (r *reader) next() (*format.Rows, int) {
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

// block returns the block of the next row.
func (r *reader) block() block.Number {
	b, row := r.next()
	r.row--
	return b.Blocks.At(row)
}

// plan returns the first blocks of a range that make a slice and the number of
// their rows: as many as fit, or one that does not.
func (r *reader) plan(of block.Range) (block.Range, int) {
	count, inBlock := 0, 0 // rows of finished blocks, and of the last one
	var last block.Number
	row := r.row
	for i := range r.runs {
		b := &r.runs[i]
		for row = max(row, b.From); row < b.To; row++ {
			n := b.Blocks.At(row)
			if n >= of.End {
				return of, count + inBlock
			}
			if inBlock > 0 && n != last {
				count += inBlock
				if count >= format.SliceRows {
					return block.Range{Start: of.Start, End: last + 1}, count
				}
				inBlock = 0
			}
			last = n
			inBlock++
			if count > 0 && count+inBlock > format.WholeRows { // this block goes into the next slice
				return block.Range{Start: of.Start, End: last}, count
			}
		}
		row = 0
	}
	return of, count + inBlock
}
