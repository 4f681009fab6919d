package redis

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/zeebo/xxh3"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
)

// A slice is what one call of the script writes, for some milliseconds in which
// the server does nothing else: about sliceRows rows, unless a row is large. A
// block of up to wholeRows rows is never cut.
const (
	sliceRows  = 128
	wholeRows  = 384
	sliceBytes = 512 << 10
)

// bound is a run whose columns are bound to their memory.
type bound struct {
	sink.Run
	cells  []cells
	blocks sink.Blocks
}

// bind binds the columns that are needed and refuses what cannot be written.
func (g *target) bind(run sink.Run) (bound, error) {
	b := bound{Run: run, cells: make([]cells, g.schema.NumFields())}
	var err error
	if b.blocks, err = sink.BlocksOf(run.Record, g.block); err != nil {
		return b, err
	}
	for i := range b.cells {
		keyed := slices.Contains(g.pattern.columns, i)
		if !keyed && i != g.score && g.names[i] == nil {
			continue
		}
		c := cellsOf(run.Record.Column(i))
		b.cells[i] = c
		if c.flaw == nil && c.bits == nil && i != g.score {
			continue
		}
		for row := run.From; row < run.To; row++ {
			reason := c.flawed(row)
			switch {
			case reason != "":
			case keyed && c.null(row):
				reason = "it is part of the key and has no value; filter such rows out in the query"
			case i == g.score && c.null(row):
				reason = "it is the score and has no value; filter such rows out in the query"
			case i == g.score && math.IsNaN(b.scoreOf(g, row)):
				reason = "it is the score and not a number; filter such rows out in the query"
			}
			if reason != "" {
				bad := &sink.BadRowError{Block: b.blocks.At(row), Row: run.Entry + row - run.From, Column: g.schema.Field(i).Name, Reason: reason}
				return b, fault.Permanent(fmt.Errorf("%s: %w", g, bad))
			}
		}
	}
	return b, nil
}

// scoreOf gives the score of a row, which Redis holds as a double.
func (b *bound) scoreOf(g *target, row int) float64 {
	var digits [80]byte
	v, _ := strconv.ParseFloat(string(b.cells[g.score].text(digits[:0], row)), 64) // out of range is infinite
	return v
}

// packer builds the arguments of a call. Its memory is used again.
type packer struct {
	header header
	rows   []byte // [block, [row, …], …], as the script takes it
	index  []byte // [block, [entry, …], …]

	count     int // rows in the slice, and of the block that is open
	groups    int
	inGroup   int
	rowsAt    int // where the array of the open group stands
	indexAt   int
	lastBlock block.Number
}

func (p *packer) reset() {
	p.rows, p.index = openArray(p.rows[:0]), openArray(p.index[:0])
	p.count, p.groups, p.inGroup = 0, 0, 0
}

// add packs a row.
func (p *packer) add(g *target, b *bound, row int) {
	if n := b.blocks.At(row); p.groups == 0 || n != p.lastBlock {
		p.closeGroup(g)
		p.lastBlock = n
		name := hexBlock(n)
		p.rows, p.index = appendPacked(p.rows, name), appendPacked(p.index, name)
		p.rowsAt, p.indexAt = len(p.rows), len(p.index)
		p.rows, p.index = openArray(p.rows), openArray(p.index)
		p.groups++
	}
	start := len(p.rows)
	p.rows = g.appendRow(p.rows, b, row)
	p.index = p.appendEntry(g, p.index, b, row, p.rows[start:])
	p.count++
	p.inGroup++
}

func (p *packer) closeGroup(g *target) {
	if p.groups > 0 {
		closeArray(p.rows, p.rowsAt, p.inGroup)
		closeArray(p.index, p.indexAt, p.inGroup*g.stride())
	}
	p.inGroup = 0
}

// finish ends the slice.
func (p *packer) finish(g *target) {
	p.closeGroup(g)
	closeArray(p.rows, 0, 2*p.groups)
	closeArray(p.index, 0, 2*p.groups)
}

// appendRow packs a row as the script takes it: its key, and what goes there.
func (g *target) appendRow(dst []byte, b *bound, row int) []byte {
	at, n := len(dst), 1
	dst = openArray(dst)
	text := len(dst)
	dst = closeText(g.pattern.append(openText(dst), b.cells, row), text)
	if g.flat() {
		for _, i := range g.columns {
			c := &b.cells[i]
			if c.null(row) {
				if g.NullEmpty {
					dst, n = append(append(dst, g.names[i]...), 0xa0), n+2
				}
				continue
			}
			dst = append(dst, g.names[i]...)
			text = len(dst)
			dst = closeText(c.text(openText(dst), row), text)
			n += 2
		}
		if n == 1 { // a hash without fields does not exist
			dst, n = append(append(dst, g.names[g.columns[0]]...), 0xa0), 3
		}
		closeArray(dst, at, n)
		return dst
	}
	text = len(dst)
	dst = closeText(g.appendDocument(openText(dst), b, row), text)
	n++
	if g.score >= 0 {
		text = len(dst)
		dst = closeText(strconv.AppendFloat(openText(dst), b.scoreOf(g, row), 'g', -1, 64), text)
		n++
	}
	closeArray(dst, at, n)
	return dst
}

// appendDocument writes the columns of a row as a JSON document.
func (g *target) appendDocument(dst []byte, b *bound, row int) []byte {
	dst = append(dst, '{')
	first := true
	for _, i := range g.columns {
		if b.cells[i].null(row) && !g.NullEmpty {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = b.cells[i].appendJSON(append(dst, g.labels[i]...), row)
	}
	return append(dst, '}')
}

// appendEntry writes what undoes a row: its key and, where a key holds many, its
// member or its number in the slice. When keys can expire, the hash of the row
// stands in for it.
func (p *packer) appendEntry(g *target, dst []byte, b *bound, row int, packed []byte) []byte {
	at := len(dst)
	dst = closeText(g.pattern.append(openText(dst), b.cells, row), at)
	switch {
	case g.Structure == config.Stream:
		dst = appendPacked(dst, strconv.Itoa(p.count))
	case g.members(), g.Structure == config.List:
		at = len(dst)
		dst = closeText(g.appendDocument(openText(dst), b, row), at)
	}
	if g.TTL > 0 {
		dst = appendPacked(dst, fmt.Sprintf("%016x", xxh3.Hash(packed)))
	}
	return dst
}
