package extract

import (
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
)

func checkpoint(n block.Number) block.Cursor {
	return block.Cursor{Network: "test", Number: n, Hash: block.Hash{1, byte(n >> 16), byte(n >> 8), byte(n)}}
}

// check fails unless the checkpoints ascend, each with the hash of its number.
func (p *checkpoints) check(t *testing.T) {
	t.Helper()
	for i, c := range p.list {
		if c != checkpoint(c.Number) || (i > 0 && c.Number <= p.list[i-1].Number) {
			t.Fatalf("checkpoint %d is %v after %v", i, c, p.list[max(i, 1)-1])
		}
	}
}

// TestCheckpointsAreFewAndReachFar remembers a hundred thousand ranges: the latest all are
// kept, the beginning is not forgotten, and in between no gap is larger than the way
// from its end to the head.
func TestCheckpointsAreFewAndReachFar(t *testing.T) {
	p := checkpoints{}
	const ranges = 100_000
	for n := range block.Number(ranges) {
		p.add(checkpoint(3 * n))
		if len(p.list) > 2*denseCheckpoints+64 {
			t.Fatalf("%d checkpoints are remembered", len(p.list))
		}
	}
	p.check(t)
	const head = 3 * (ranges - 1)
	for n := range block.Number(denseCheckpoints) {
		if c := p.list[len(p.list)-1-int(n)]; c != checkpoint(head-3*n) {
			t.Errorf("%d before the last is %v", n, c)
		}
	}
	if first := p.list[0].Number; first > head/2 {
		t.Errorf("the oldest checkpoint is %d of %d", first, head)
	}
	for i, c := range p.list[1:] {
		before := p.list[i].Number
		if gap, depth := c.Number-before, head-c.Number; gap > max(3, 2*depth) {
			t.Errorf("no checkpoint between %d and %d, which is %d below the head", before, c.Number, depth)
		}
	}
}

// TestPointsSurviveReorgs cuts points off now and then, as reorgs do, and continues at
// the block before.
func TestPointsSurviveReorgs(t *testing.T) {
	var p checkpoints
	head := block.Number(1000)
	for i := range 5000 {
		head += block.Number(1 + i%3)
		p.add(checkpoint(head))
		if i%17 == 0 {
			head -= block.Number(i % 200)
			p.close(checkpoint(head))
			if last := p.last(); last == nil || *last != checkpoint(head) {
				t.Fatalf("the last point is %v after a reorg to %d", last, head)
			}
		}
		p.check(t)
	}
	p.cut(0)
	if p.last() != nil {
		t.Errorf("points %v are left of nothing", p.list)
	}
}

func TestCutAndClose(t *testing.T) {
	p := checkpoints{list: []block.Cursor{checkpoint(10), checkpoint(20), checkpoint(30)}}
	p.cut(31)
	p.cut(30)
	if len(p.list) != 2 || *p.last() != checkpoint(20) {
		t.Errorf("without 30: %v", p.list)
	}
	p.close(checkpoint(20)) // the same again
	p.close(checkpoint(15))
	if len(p.list) != 2 || p.list[0] != checkpoint(10) || *p.last() != checkpoint(15) {
		t.Errorf("closed at 15: %v", p.list)
	}
	p.close(checkpoint(5))
	if len(p.list) != 1 || *p.last() != checkpoint(5) {
		t.Errorf("closed at 5: %v", p.list)
	}
}
