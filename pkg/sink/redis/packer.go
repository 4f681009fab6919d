package redis

import (
	"fmt"
	"strconv"

	"github.com/zeebo/xxh3"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
)

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
