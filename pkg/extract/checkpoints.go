package extract

import (
	"math/bits"
	"slices"

	"github.com/ampipe/ampipe/pkg/block"
)

// checkpoints are complete blocks of the chain that the live lane remembers, ascending:
// what the source is compared with when the chain has changed while nobody followed it.
// Recent ones are close together, older ones ever farther apart.
type checkpoints struct{ list []block.Cursor }

// denseCheckpoints is how many of the latest are all kept.
const denseCheckpoints = 128

// add remembers a block above all others.
func (p *checkpoints) add(c block.Cursor) {
	p.list = append(p.list, c)
	if len(p.list) < 2*denseCheckpoints {
		return
	}
	// Of the older ones one is kept for each power of two of the distance.
	old := p.list[:len(p.list)-denseCheckpoints]
	kept := make([]block.Cursor, 0, 64+2*denseCheckpoints)
	last := 0
	for _, o := range old {
		if distance := bits.Len64(uint64(c.Number - o.Number)); distance != last {
			kept, last = append(kept, o), distance
		}
	}
	p.list = append(kept, p.list[len(old):]...)
}

// cut forgets block n and everything above.
func (p *checkpoints) cut(n block.Number) {
	at, _ := slices.BinarySearchFunc(p.list, n, func(c block.Cursor, n block.Number) int {
		if c.Number < n {
			return -1
		}
		return 1
	})
	p.list = p.list[:at]
}

// close forgets everything from c's block on and remembers c.
func (p *checkpoints) close(c block.Cursor) {
	p.cut(c.Number)
	p.add(c)
}

// last returns the latest block, or nil if there is none.
func (p *checkpoints) last() *block.Cursor {
	if len(p.list) == 0 {
		return nil
	}
	return &p.list[len(p.list)-1]
}
