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
	"github.com/ampipe/ampipe/pkg/sink/redis/rdb"
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
	sink.RowRange
	cells  []cells
	blocks sink.Blocks
}

// bind binds the columns that are needed and refuses what cannot be written.
func (g *target) bind(run sink.RowRange) (bound, error) {
	b := bound{RowRange: run, cells: make([]cells, g.schema.NumFields())}
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
		if c.check == nil && !c.Any() && i != g.score {
			continue
		}
		for row := run.From; row < run.To; row++ {
			reason := ""
			if c.check != nil {
				reason = c.check(row)
			}
			switch {
			case reason != "":
			case keyed && c.Null(row):
				reason = "it is part of the key and has no value; filter such rows out in the query"
			case i == g.score && c.Null(row):
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

// scoreOf returns the score of a row, which Redis holds as a double.
func (b *bound) scoreOf(g *target, row int) float64 {
	var digits [80]byte
	v, _ := strconv.ParseFloat(string(b.cells[g.score].text(digits[:0], row)), 64) // out of range is infinite
	return v
}

// packer builds the arguments of a call. Its memory is used again.
type packer struct {
	header header
	rows   []byte // what the rows consist of, one argument behind the other
	ends   []int  // where each argument ends
	blocks []byte // block, number of rows, block, …; only if the script wants it
	index  []byte // [block, [entry, …], …]

	scratch   []byte
	count     int // rows in the slice, and of the block that is open
	groups    int
	inGroup   int
	indexAt   int // where the array of the open group stands
	lastBlock block.Number
}

func (p *packer) reset() {
	p.rows, p.ends, p.blocks, p.index = p.rows[:0], p.ends[:0], p.blocks[:0], openArray(p.index[:0])
	p.count, p.groups, p.inGroup = 0, 0, 0
}

// add packs a row.
func (p *packer) add(g *target, b *bound, row int) {
	if n := b.blocks.At(row); p.groups == 0 || n != p.lastBlock {
		p.closeGroup(g)
		p.lastBlock = n
		p.index = appendPacked(p.index, hexBlock(n))
		p.indexAt = len(p.index)
		p.index = openArray(p.index)
		p.groups++
	}
	p.addRow(g, b, row)
	p.index = p.appendEntry(g, p.index, b, row)
	p.count++
	p.inGroup++
}

func (p *packer) closeGroup(g *target) {
	if p.groups > 0 {
		closeArray(p.index, p.indexAt, p.inGroup*g.stride())
		if g.owned {
			p.blocks = appendPacked(appendPacked(p.blocks, hexBlock(p.lastBlock)), strconv.Itoa(p.inGroup))
		}
	}
	p.inGroup = 0
}

// finish ends the slice.
func (p *packer) finish(g *target) {
	p.closeGroup(g)
	closeArray(p.index, 0, 2*p.groups)
	if len(p.blocks) > 0 {
		p.header.packed("blocks", p.blocks, 2*p.groups)
	}
}

// width returns the number of arguments of a row: its key, what goes there and, in a
// sorted set, its score.
func (g *target) width() int {
	if g.score >= 0 {
		return 3
	}
	return 2
}

// addRow writes the arguments of a row as they stand: the script hands them on.
// Packed into one of them they would be twice as much work for Lua, which hashes
// every byte of every text.
func (p *packer) addRow(g *target, b *bound, row int) {
	p.rows = g.pattern.append(p.rows, b.cells, row)
	p.ends = append(p.ends, len(p.rows))
	p.rows = g.appendContent(p.rows, b, row)
	p.ends = append(p.ends, len(p.rows))
	if g.score >= 0 {
		p.rows = b.appendScore(g, p.rows, row)
		p.ends = append(p.ends, len(p.rows))
	}
}

// appendGiven packs what [packer.addRow] writes as one array.
func (g *target) appendGiven(dst []byte, b *bound, row int) []byte {
	at := len(dst)
	dst = openArray(dst)
	closeArray(dst, at, g.width())
	text := len(dst)
	dst = closeText(g.pattern.append(openText(dst), b.cells, row), text)
	text = len(dst)
	dst = closeText(g.appendContent(openText(dst), b, row), text)
	if g.score >= 0 {
		text = len(dst)
		dst = closeText(b.appendScore(g, openText(dst), row), text)
	}
	return dst
}

// appendContent writes what goes under a row's key.
func (g *target) appendContent(dst []byte, b *bound, row int) []byte {
	switch g.Structure {
	case config.Hash:
		return g.appendDump(dst, b, row)
	case config.Stream: // has as many arguments as it has fields, so they are packed
		at, n := len(dst), 0
		dst, n = g.appendFields(openArray(dst), b, row)
		closeArray(dst, at, n)
		return dst
	default:
		return g.appendDocument(dst, b, row)
	}
}

// appendDump writes a row as its columns' names and values, dumped as a hash.
func (g *target) appendDump(dst []byte, b *bound, row int) []byte {
	start, n := len(dst), 0
	dst = rdb.OpenHash(dst)
	for _, i := range g.columns {
		c := &b.cells[i]
		null := c.Null(row)
		if null && !g.NullEmpty {
			continue
		}
		dst = append(dst, g.elements[i]...)
		at := len(dst)
		dst = rdb.OpenElement(dst)
		if !null {
			dst = c.text(dst, row)
		}
		dst, n = rdb.CloseElement(dst, at), n+2
	}
	if n == 0 { // a hash without fields does not exist
		dst, n = append(dst, g.elements[g.columns[0]]...), 2
		dst = rdb.CloseElement(rdb.OpenElement(dst), len(dst))
	}
	return rdb.CloseHash(dst, start, n)
}

// appendRow packs a row as one: its key, and what goes there. It is what digests
// hash.
func (g *target) appendRow(dst []byte, b *bound, row int) []byte {
	at, n := len(dst), 1
	dst = openArray(dst)
	text := len(dst)
	dst = closeText(g.pattern.append(openText(dst), b.cells, row), text)
	if g.flat() {
		dst, n = g.appendFields(dst, b, row)
		closeArray(dst, at, n+1)
		return dst
	}
	text = len(dst)
	dst = closeText(g.appendDocument(openText(dst), b, row), text)
	n++
	if g.score >= 0 {
		text = len(dst)
		dst = closeText(b.appendScore(g, openText(dst), row), text)
		n++
	}
	closeArray(dst, at, n)
	return dst
}

// appendFields writes the names and values of a row's columns, n of both, each as
// a packed text.
func (g *target) appendFields(dst []byte, b *bound, row int) (_ []byte, n int) {
	for _, i := range g.columns {
		c := &b.cells[i]
		if c.Null(row) {
			if g.NullEmpty {
				dst, n = append(append(dst, g.names[i]...), 0xa0), n+2
			}
			continue
		}
		dst = append(dst, g.names[i]...)
		text := len(dst)
		dst = closeText(c.text(openText(dst), row), text)
		n += 2
	}
	if n == 0 { // a hash or an entry without fields does not exist
		dst, n = append(append(dst, g.names[g.columns[0]]...), 0xa0), 2
	}
	return dst, n
}

func (b *bound) appendScore(g *target, dst []byte, row int) []byte {
	return strconv.AppendFloat(dst, b.scoreOf(g, row), 'g', -1, 64)
}

// appendDocument writes the columns of a row as a JSON document.
func (g *target) appendDocument(dst []byte, b *bound, row int) []byte {
	dst = append(dst, '{')
	first := true
	for _, i := range g.columns {
		if b.cells[i].Null(row) && !g.NullEmpty {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = b.cells[i].json(append(dst, g.labels[i]...), row)
	}
	return append(dst, '}')
}

// appendEntry writes what undoes a row: its key and, where a key holds many, its
// member or its number in the slice. When keys can expire, the hash of the row
// stands in for it.
func (p *packer) appendEntry(g *target, dst []byte, b *bound, row int) []byte {
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
		p.scratch = g.appendRow(p.scratch[:0], b, row)
		dst = appendPacked(dst, fmt.Sprintf("%016x", xxh3.Hash(p.scratch)))
	}
	return dst
}
