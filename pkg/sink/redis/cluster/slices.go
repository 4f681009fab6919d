package cluster

import (
	"cmp"
	"context"
	"slices"
	"sort"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sink/redis/format"
)

// assemble makes slices of the collected rows: for each slot some, or one.
func (s *transaction) assemble(ctx context.Context, e *batch) {
	m := &s.rows
	slices.SortStableFunc(m.rows, func(a, b packedRow) int {
		return cmp.Or(cmp.Compare(a.slot, b.slot), cmp.Compare(a.block, b.block))
	})
	var headers [2][]byte
	for i := range headers {
		headers[i] = m.keep(s.slotHeader(i == 1, "").Bytes())
	}
	for from, to := 0, 0; from < len(m.rows); from = to {
		slot := m.rows[from].slot
		for to = from; to < len(m.rows) && m.rows[to].slot == slot; to++ {
		}
		if !s.Slots.has(slot) {
			e.fresh = append(e.fresh, slot)
		}
		header := headers[0]
		if s.Ready.has(slot) {
			header = headers[1]
		} else {
			e.unready = append(e.unready, slot)
		}
		some := slicing{tx: s, batch: e, slot: slot, header: header}
		some.cut(ctx, m.rows[from:to])
	}
}

// slotHeader makes the header of calls for slots. Of several slices for one slot, a
// later one names a block of the one before it: the rows of a stream or a list keep
// their order even if a slice in the middle fails.
func (s *transaction) slotHeader(ready bool, after string) *format.Header {
	h := &s.header
	h.Reset()
	h.Flag("slot", true)
	h.Text("id", s.ID)
	h.Text("fence", s.Fence)
	s.table.Describe(h)
	if s.Floor > 0 {
		h.Text("floor", format.HexBlock(s.Floor))
	}
	if ready {
		h.Flag("ready", true)
	}
	if after != "" {
		h.Text("after", after)
	}
	return h
}

// slotCall puts a call for a slot into a pipe.
func (w *Committer) slotCall(ctx context.Context, pipe redis.Pipeliner, slot int, header, rows, index any) *redis.Cmd {
	state := w.StateOf(slot)
	return w.slotScript.EvalSha(ctx, pipe, []string{state, state[:len(state)-len("state")] + "none"}, header, rows, index)
}

// slicing cuts the rows of one slot into slices.
type slicing struct {
	tx     *transaction
	batch  *batch
	slot   int
	header []byte
	within block.Range  // range of the batch that the last section was of
	cursor block.Number // up to where it has gone
	after  string
}

// cut sends rows, which ascend by block.
func (c *slicing) cut(ctx context.Context, rows []packedRow) {
	p := &c.tx.rows.slice
	for len(rows) > 0 {
		p.reset()
		count, size := 0, 0
		for len(rows) > 0 {
			n := ofOneBlock(rows)
			if c.tx.part != nil || n > format.WholeRows {
				if count == 0 {
					c.sendChunks(ctx, rows[:n])
					rows = rows[n:]
				}
				break
			}
			if count > 0 && (count >= format.SliceRows || count+n > format.WholeRows || size >= format.SliceBytes) {
				break
			}
			if count == 0 || !c.within.Has(rows[0].block) {
				if count > 0 {
					c.close(rows)
				}
				c.enter(rows[0].block)
				p.open(c.cursor)
			}
			p.group(c.tx.table, c.tx.rows.packed, rows[:n])
			count, size = count+n, size+rows[n-1].to-rows[0].from
			rows = rows[n:]
		}
		if count > 0 {
			c.close(rows)
			c.send(ctx, p.lastBlock)
		}
	}
}

// close ends a section: after its last row, or with the range if no more of its
// rows follow.
func (c *slicing) close(left []packedRow) {
	p := &c.tx.rows.slice
	c.cursor = c.within.End
	if len(left) > 0 && c.within.Has(left[0].block) {
		c.cursor = p.lastBlock + 1
	}
	p.close(c.cursor, around(c.tx.Coverage, block.Range{Start: p.from, End: c.cursor}), p.lastBlock >= c.tx.Floor)
}

// enter moves on to the range of the batch that a block is of.
func (c *slicing) enter(n block.Number) {
	if c.within.Has(n) {
		return
	}
	all := c.tx.ranges.Ranges()
	c.within = all[sort.Search(len(all), func(i int) bool { return all[i].End > n })]
	c.cursor = c.within.Start
}

func ofOneBlock(rows []packedRow) int {
	n := 1
	for n < len(rows) && rows[n].block == rows[0].block {
		n++
	}
	return n
}

// sendChunks sends the rows of one block in chunks: those of a part, or too many for a
// slice.
func (c *slicing) sendChunks(ctx context.Context, rows []packedRow) {
	p, n := &c.tx.rows.slice, rows[0].block
	token, part := "w"+c.tx.token, "0"
	known := block.Closed(n, n)
	if c.tx.part != nil {
		token, part = "p"+c.tx.part.Token(), strconv.Itoa(c.tx.part.Part)
	} else {
		c.enter(n)
		c.cursor = n + 1
		known = around(c.tx.Coverage, known)
	}
	for offset := 0; len(rows) > 0; {
		k, size := 0, 0
		for k < min(len(rows), format.SliceRows) && size < format.SliceBytes {
			size += rows[k].to - rows[k].from
			k++
		}
		p.reset()
		p.open(n)
		p.group(c.tx.table, c.tx.rows.packed, rows[:k])
		p.close(n+1, known, true)
		rows = rows[k:]
		last := ""
		if len(rows) == 0 {
			last = "yes"
		}
		p.chunk(token, part, strconv.Itoa(offset), strconv.Itoa(offset+k), last)
		offset += k
		c.send(ctx, n)
		c.after = ""
	}
	if c.tx.part == nil {
		c.after = format.HexBlock(n)
	}
}

// send puts the slice into the pipe.
func (c *slicing) send(ctx context.Context, last block.Number) {
	m := &c.tx.rows
	header := c.header
	if c.after != "" {
		header = m.keep(c.tx.slotHeader(c.tx.Ready.has(c.slot), c.after).Bytes())
	}
	m.slice.finish()
	c.batch.slices = append(c.batch.slices, c.tx.slotCall(ctx, c.batch.pipe, c.slot, header, m.keep(m.slice.rows), m.keep(m.slice.index)))
	c.after = format.HexBlock(last)
}
