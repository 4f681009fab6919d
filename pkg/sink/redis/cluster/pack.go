package cluster

import (
	"github.com/zeebo/xxh3"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sink/redis/format"
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

func (m *packedRows) add(g *format.Table, b *format.Rows, row int) {
	r := packedRow{block: b.Blocks.At(row), from: len(m.packed)}
	m.packed = g.AppendGiven(m.packed, b, row)
	r.to = len(m.packed)
	if g.TTL > 0 { // a digest hashes the row in its own form
		m.packed = g.AppendRow(m.packed, b, row)
		r.hash = xxh3.Hash(m.packed[r.to:])
		m.packed = m.packed[:r.to]
	}
	_, key := format.TextAt(m.packed[r.from+arrayHead:])
	r.slot = Slot(key)
	m.rows = append(m.rows, r)
}

// lastBlock returns the block of the row added last; there is one.
func (m *packedRows) lastBlock() block.Number { return m.rows[len(m.rows)-1].block }

func (m *packedRows) keep(b []byte) []byte {
	at := len(m.arena)
	m.arena = append(m.arena, b...)
	return m.arena[at:len(m.arena):len(m.arena)]
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
	p.rows, p.index, p.n = format.OpenArray(p.rows[:0]), format.OpenArray(p.index[:0]), 0
}

const (
	arrayHead = 5  // bytes of an array's head
	hexText   = 17 // bytes of a packed block number
	fields    = 5  // of a section; a chunk has twice as many
)

// open starts a section, the rows of a range of blocks. Its end is filled in by close.
func (p *slotBatch) open(from block.Number) {
	p.at, p.from, p.n = len(p.rows), from, p.n+1
	p.rows = format.OpenArray(p.rows)
	format.CloseArray(p.rows, p.at, fields)
	for range 4 {
		p.rows = format.AppendPacked(p.rows, format.HexBlock(from))
	}
	p.groupsAt = len(p.rows)
	p.rows = format.OpenArray(p.rows)
	p.indexAt = len(p.index)
	p.index = append(p.index, 0xdb, 0, 0, 0, 0)
	p.listAt = len(p.index)
	p.index = format.OpenArray(p.index)
	p.groups, p.number = 0, 0
}

// group adds the rows of one block.
func (p *slotBatch) group(g *format.Table, packed []byte, rows []packedRow) {
	p.lastBlock = rows[0].block
	name := format.HexBlock(p.lastBlock)
	p.rows, p.index = format.AppendPacked(p.rows, name), format.AppendPacked(p.index, name)
	p.groups++
	rowsAt, entriesAt := len(p.rows), len(p.index)
	p.rows, p.index = format.OpenArray(p.rows), format.OpenArray(p.index)
	for _, r := range rows {
		row := packed[r.from:r.to]
		p.rows = append(p.rows, row...)
		packed, key := format.TextAt(row[arrayHead:])
		_, content := format.TextAt(row[arrayHead+len(packed):])
		p.index = g.AppendEntry(p.index, key, content, p.number, r.hash)
		p.number++
	}
	format.CloseArray(p.rows, rowsAt, len(rows))
	format.CloseArray(p.index, entriesAt, len(rows)*g.Stride())
}

// close says where the section ends and what the coordinator has around it. Without an
// index its rows cannot be undone.
func (p *slotBatch) close(to block.Number, known block.Range, indexed bool) {
	at := p.at + arrayHead
	for i, n := range [4]block.Number{known.Start, p.from, to, known.End} {
		copy(p.rows[at+i*hexText+1:], format.HexBlock(n))
	}
	format.CloseArray(p.rows, p.groupsAt, 2*p.groups)
	format.CloseArray(p.index, p.listAt, 2*p.groups)
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
	format.CloseArray(p.rows, p.at, fields+len(texts))
	for _, text := range texts {
		p.rows = format.AppendPacked(p.rows, text)
	}
}

func (p *slotBatch) finish() {
	format.CloseArray(p.rows, 0, p.n)
	format.CloseArray(p.index, 0, p.n)
}
