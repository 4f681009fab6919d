package extract

import (
	"math"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
)

// narrowing chooses how many blocks are asked for at once. What fails is asked for in
// smaller and smaller parts, so that the blocks before the one at fault are read, and
// the one at fault is found while there is still time to repeat it alone.
type narrowing struct {
	retrier fault.Retrier
	size    uint64       // of the next range; 0: everything
	bad     block.Number // end of the smallest range that has failed; nothing failed behind it
}

// of returns the range to ask for of what is left.
func (n *narrowing) of(left block.Range) block.Range {
	if n.size == 0 || n.size > left.Len() {
		n.size = left.Len()
	}
	left.End = left.Start + block.Number(n.size)
	return left
}

// passed notes that everything below next was read. Ranges grow again behind the one that
// has failed.
func (n *narrowing) passed(next block.Number) {
	if next >= n.bad {
		n.size += n.size/4 + 1
		return
	}
	n.size = min(n.size, uint64(n.bad-next))
}

// narrow notes that r has failed, and asks for size of its blocks.
func (n *narrowing) narrow(r block.Range, size uint64) {
	n.size, n.bad = max(1, size), r.End
}

// failed notes that r has failed with an error that may pass, which the retrier knows,
// and reports whether the block at fault is found. A range is tried again as a whole
// once, and whenever some of it was gained.
func (n *narrowing) failed(r block.Range, gained bool) (found bool) {
	switch {
	case gained || r.End > n.bad:
		n.bad = r.End
	case r.Len() > 1:
		n.narrow(r, fraction(r.Len(), n.retrier.ToHalf()))
	default:
		return true
	}
	return false
}

// fraction returns the size of the next range after one of so many blocks, so that one
// block is left after so many more failures. It is half of them unless time is short.
func fraction(blocks uint64, failures float64) uint64 {
	if failures < 1 {
		return 1
	}
	by := max(2, math.Pow(float64(blocks), 1/failures))
	return uint64(float64(blocks) / by)
}
