package redis

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sort"
	"strconv"

	"github.com/redis/go-redis/v9"
	"github.com/zeebo/xxh3"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
)

// packedRows is the rows of a batch, packed as the script takes them, and what is sent
// of them. Its memory is used again.
type packedRows struct {
	packed []byte
	rows   []packedRow
	arena  []byte // what a pipe refers to until it is answered
	slice  slotBatch
}

// packedRow is where a row stands in packed.
type packedRow struct {
	block    block.Number
	slot     int
	from, to int
	hash     uint64 // of the row; only if keys expire
}

func (m *packedRows) reset() { m.packed, m.rows = m.packed[:0], m.rows[:0] }

func (m *packedRows) add(g *target, b *bound, row int) {
	r := packedRow{block: b.blocks.At(row), from: len(m.packed)}
	m.packed = g.appendGiven(m.packed, b, row)
	r.to = len(m.packed)
	if g.TTL > 0 { // a digest hashes the row in its own form
		m.packed = g.appendRow(m.packed, b, row)
		r.hash = xxh3.Hash(m.packed[r.to:])
		m.packed = m.packed[:r.to]
	}
	_, key := textAt(m.packed[r.from+arrayHead:])
	r.slot = slotOf(key)
	m.rows = append(m.rows, r)
}

// lastBlock returns the block of the row added last; there is one.
func (m *packedRows) lastBlock() block.Number { return m.rows[len(m.rows)-1].block }

func (m *packedRows) keep(b []byte) []byte {
	at := len(m.arena)
	m.arena = append(m.arena, b...)
	return m.arena[at:len(m.arena):len(m.arena)]
}

// assemble makes slices of the collected rows: for each slot some, or one.
func (s *transaction) assemble(ctx context.Context, e *batchInFlight) {
	m := &s.rows
	slices.SortStableFunc(m.rows, func(a, b packedRow) int {
		return cmp.Or(cmp.Compare(a.slot, b.slot), cmp.Compare(a.block, b.block))
	})
	var headers [2][]byte
	for i := range headers {
		headers[i] = m.keep(s.slotHeader(i == 1, "").bytes())
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
func (s *transaction) slotHeader(ready bool, after string) *header {
	h := &s.header
	h.reset()
	h.flag("slot", true)
	h.text("id", s.ID)
	h.text("fence", s.Fence)
	s.table.describe(h)
	if s.floor > 0 {
		h.text("floor", hexBlock(s.floor))
	}
	if ready {
		h.flag("ready", true)
	}
	if after != "" {
		h.text("after", after)
	}
	return h
}

// slotCall puts a call for a slot into a pipe.
func (w *cluster) slotCall(ctx context.Context, pipe redis.Pipeliner, slot int, header, rows, index any) *redis.Cmd {
	state := w.table.slotState(w.tags[slot])
	return w.slotScript.EvalSha(ctx, pipe, []string{state, state[:len(state)-len("state")] + "none"}, header, rows, index)
}

// slicing cuts the rows of one slot into slices.
type slicing struct {
	tx     *transaction
	batch  *batchInFlight
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
			if c.tx.part != nil || n > wholeRows {
				if count == 0 {
					c.sendChunks(ctx, rows[:n])
					rows = rows[n:]
				}
				break
			}
			if count > 0 && (count >= sliceRows || count+n > wholeRows || size >= sliceBytes) {
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
	p.close(c.cursor, around(c.tx.coverage, block.Range{Start: p.from, End: c.cursor}), p.lastBlock >= c.tx.floor)
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
		token, part = "p"+tokenOf(c.tx.part.parts, c.tx.part.batch), strconv.Itoa(c.tx.part.part)
	} else {
		c.enter(n)
		c.cursor = n + 1
		known = around(c.tx.coverage, known)
	}
	for offset := 0; len(rows) > 0; {
		k, size := 0, 0
		for k < min(len(rows), sliceRows) && size < sliceBytes {
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
		c.after = hexBlock(n)
	}
}

// send puts the slice into the pipe.
func (c *slicing) send(ctx context.Context, last block.Number) {
	m := &c.tx.rows
	header := c.header
	if c.after != "" {
		header = m.keep(c.tx.slotHeader(c.tx.Ready.has(c.slot), c.after).bytes())
	}
	m.slice.finish()
	c.batch.slices = append(c.batch.slices, c.tx.slotCall(ctx, c.batch.pipe, c.slot, header, m.keep(m.slice.rows), m.keep(m.slice.index)))
	c.after = hexBlock(last)
}

// slotBatch packs a slice for slot.lua, which calls a section a portion, and a chunk a
// piece.
type slotBatch struct {
	rows, index []byte
	n           int
	from        block.Number // of the last one
	lastBlock   block.Number

	at, groupsAt    int // in rows: of the last one and its groups
	indexAt, listAt int // in index: likewise
	groups          int
	number          int // of the next row in its section
}

func (p *slotBatch) reset() {
	p.rows, p.index, p.n = openArray(p.rows[:0]), openArray(p.index[:0]), 0
}

const (
	arrayHead = 5  // bytes of an array's head
	hexText   = 17 // bytes of a packed block number
	fields    = 5  // of a section; a chunk has twice as many
)

// open starts a section, the rows of a range of blocks. Its end is filled in by close.
func (p *slotBatch) open(from block.Number) {
	p.at, p.from, p.n = len(p.rows), from, p.n+1
	p.rows = openArray(p.rows)
	closeArray(p.rows, p.at, fields)
	for range 4 {
		p.rows = appendPacked(p.rows, hexBlock(from))
	}
	p.groupsAt = len(p.rows)
	p.rows = openArray(p.rows)
	p.indexAt = len(p.index)
	p.index = append(p.index, 0xdb, 0, 0, 0, 0)
	p.listAt = len(p.index)
	p.index = openArray(p.index)
	p.groups, p.number = 0, 0
}

// group adds the rows of one block.
func (p *slotBatch) group(g *target, packed []byte, rows []packedRow) {
	p.lastBlock = rows[0].block
	name := hexBlock(p.lastBlock)
	p.rows, p.index = appendPacked(p.rows, name), appendPacked(p.index, name)
	p.groups++
	rowsAt, entriesAt := len(p.rows), len(p.index)
	p.rows, p.index = openArray(p.rows), openArray(p.index)
	for _, r := range rows {
		row := packed[r.from:r.to]
		p.rows = append(p.rows, row...)
		key, _ := textAt(row[arrayHead:])
		p.index = append(p.index, key...)
		switch {
		case g.Structure == config.Stream:
			p.index = appendPacked(p.index, strconv.Itoa(p.number))
		case g.members(), g.Structure == config.List:
			document, _ := textAt(row[arrayHead+len(key):])
			p.index = append(p.index, document...)
		}
		if g.TTL > 0 {
			p.index = appendPacked(p.index, fmt.Sprintf("%016x", r.hash))
		}
		p.number++
	}
	closeArray(p.rows, rowsAt, len(rows))
	closeArray(p.index, entriesAt, len(rows)*g.stride())
}

// close says where the section ends and what the coordinator has around it. Without an
// index its rows cannot be undone.
func (p *slotBatch) close(to block.Number, known block.Range, indexed bool) {
	at := p.at + arrayHead
	for i, n := range [4]block.Number{known.Start, p.from, to, known.End} {
		copy(p.rows[at+i*hexText+1:], hexBlock(n))
	}
	closeArray(p.rows, p.groupsAt, 2*p.groups)
	closeArray(p.index, p.listAt, 2*p.groups)
	size := len(p.index) - p.listAt
	if !indexed {
		p.index, size = p.index[:p.listAt], 0
	}
	for i := range 4 {
		p.index[p.indexAt+1+i] = byte(size >> (24 - 8*i))
	}
}

// chunk says of what block the section that was closed is a chunk.
func (p *slotBatch) chunk(texts ...string) {
	closeArray(p.rows, p.at, fields+len(texts))
	for _, text := range texts {
		p.rows = appendPacked(p.rows, text)
	}
}

func (p *slotBatch) finish() {
	closeArray(p.rows, 0, p.n)
	closeArray(p.index, 0, p.n)
}

// textAt returns the text that packed bytes begin with: as it is packed, and what it
// says.
func textAt(b []byte) (packed, text []byte) {
	head, size := 1, int(b[0]&31)
	switch b[0] {
	case 0xd9:
		head, size = 2, int(b[1])
	case 0xdb:
		head, size = 5, int(b[1])<<24|int(b[2])<<16|int(b[3])<<8|int(b[4])
	}
	return b[:head+size], b[head : head+size]
}
