package format

import (
	"strconv"

	"github.com/zeebo/xxh3"

	"github.com/ampipe/ampipe/pkg/block"
)

// Packer builds the arguments of a call. Its memory is used again.
type Packer struct {
	Header Header
	Rows   []byte // what the rows consist of, one argument behind the other
	Ends   []int  // where each argument ends
	Blocks []byte // block, number of rows, block, …; only if the script wants it
	Index  []byte // [block, [entry, …], …]

	scratch   []byte
	Count     int // rows in the slice, and of the block that is open
	groups    int
	inGroup   int
	indexAt   int // where the array of the open group stands
	LastBlock block.Number
}

// Reset begins the next call.
func (p *Packer) Reset() {
	p.Rows, p.Ends, p.Blocks, p.Index = p.Rows[:0], p.Ends[:0], p.Blocks[:0], OpenArray(p.Index[:0])
	p.Count, p.groups, p.inGroup = 0, 0, 0
}

// Add packs a row. Its arguments stand as they are, since the script hands them on:
// packed into one of them they would be twice as much work for Lua, which hashes every
// byte of every text.
func (p *Packer) Add(g *Table, b *Rows, row int) {
	if n := b.Blocks.At(row); p.groups == 0 || n != p.LastBlock {
		p.closeGroup(g)
		p.LastBlock = n
		p.Index = AppendPacked(p.Index, HexBlock(n))
		p.indexAt = len(p.Index)
		p.Index = OpenArray(p.Index)
		p.groups++
	}
	start := len(p.Rows)
	p.Rows = g.Pattern.Append(p.Rows, b.Cells, row)
	key := len(p.Rows)
	p.Rows = g.appendContent(p.Rows, b, row)
	content := len(p.Rows)
	p.Ends = append(p.Ends, key, content)
	if g.score >= 0 {
		p.Rows = b.appendScore(g, p.Rows, row)
		p.Ends = append(p.Ends, len(p.Rows))
	}
	hash := uint64(0)
	if g.TTL > 0 {
		p.scratch = g.AppendRow(p.scratch[:0], b, row)
		hash = xxh3.Hash(p.scratch)
	}
	p.Index = g.AppendEntry(p.Index, p.Rows[start:key], p.Rows[key:content], p.Count, hash)
	p.Count++
	p.inGroup++
}

func (p *Packer) closeGroup(g *Table) {
	if p.groups > 0 {
		CloseArray(p.Index, p.indexAt, p.inGroup*g.Stride())
		if g.Owned {
			p.Blocks = AppendPacked(AppendPacked(p.Blocks, HexBlock(p.LastBlock)), strconv.Itoa(p.inGroup))
		}
	}
	p.inGroup = 0
}

// Finish ends the slice.
func (p *Packer) Finish(g *Table) {
	p.closeGroup(g)
	CloseArray(p.Index, 0, 2*p.groups)
	if len(p.Blocks) > 0 {
		p.Header.packed("blocks", p.Blocks, 2*p.groups)
	}
}
