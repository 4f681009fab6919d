package extract

import (
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
)

func point(n block.Number) block.Cursor {
	return block.Cursor{Network: "test", Number: n, Hash: block.Hash{1, byte(n >> 16), byte(n >> 8), byte(n)}}
}

// check fails unless the points ascend, each with the hash of its number.
func (p *points) check(t *testing.T) {
	t.Helper()
	for i, c := range p.list {
		if c != point(c.Number) || i > 0 && c.Number <= p.list[i-1].Number {
			t.Fatalf("point %d is %v after %v", i, c, p.list[max(i, 1)-1])
		}
	}
}

// TestPointsAreFewAndReachFar remembers a hundred thousand ranges: the latest all are
// kept, the beginning is not forgotten, and in between no gap is larger than the way
// from its end to the head.
func TestPointsAreFewAndReachFar(t *testing.T) {
	p := points{}
	const ranges = 100_000
	for n := range block.Number(ranges) {
		p.add(point(3 * n))
		if len(p.list) > 2*densePoints+64 {
			t.Fatalf("%d points are remembered", len(p.list))
		}
	}
	p.check(t)
	const head = 3 * (ranges - 1)
	for n := range block.Number(densePoints) {
		if c := p.list[len(p.list)-1-int(n)]; c != point(head-3*n) {
			t.Errorf("%d before the last is %v", n, c)
		}
	}
	if first := p.list[0].Number; first > head/2 {
		t.Errorf("the oldest point is %d of %d", first, head)
	}
	for i, c := range p.list[1:] {
		before := p.list[i].Number
		if gap, depth := c.Number-before, head-c.Number; gap > max(3, 2*depth) {
			t.Errorf("no point between %d and %d, which is %d below the head", before, c.Number, depth)
		}
	}
}

// TestPointsSurviveReorgs cuts points off now and then, as reorgs do, and continues at
// the block before.
func TestPointsSurviveReorgs(t *testing.T) {
	var p points
	head := block.Number(1000)
	for i := range 5000 {
		head += block.Number(1 + i%3)
		p.add(point(head))
		if i%17 == 0 {
			head -= block.Number(i % 200)
			p.close(point(head))
			if last := p.last(); last == nil || *last != point(head) {
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
	p := points{list: []block.Cursor{point(10), point(20), point(30)}}
	p.cut(31)
	p.cut(30)
	if len(p.list) != 2 || *p.last() != point(20) {
		t.Errorf("without 30: %v", p.list)
	}
	p.close(point(20)) // the same again
	p.close(point(15))
	if len(p.list) != 2 || p.list[0] != point(10) || *p.last() != point(15) {
		t.Errorf("closed at 15: %v", p.list)
	}
	p.close(point(5))
	if len(p.list) != 1 || *p.last() != point(5) {
		t.Errorf("closed at 5: %v", p.list)
	}
}
