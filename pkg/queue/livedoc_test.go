package queue_test

import (
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/queue"
)

func TestAgreed(t *testing.T) {
	t.Parallel()
	var p queue.LivePosition
	p.Epoch = 7
	for _, v := range []queue.Void{{After: 0, From: 100}, {After: 5, From: 130}, {After: 9, From: 120}, {After: 20, From: 150}} {
		p.Voids = queue.AddVoid(p.Voids, v)
	}
	if len(p.Voids) != 3 {
		t.Errorf("%v: the second is needless after the third", p.Voids)
	}
	for _, c := range []struct {
		epoch, seq uint64
		want       block.Number
	}{
		{7, 1, 120},  // lacks the invalidations of 130, 120 and 150
		{7, 9, 120},  // the next message is the invalidation of 120
		{7, 10, 150}, // has it
		{7, 21, block.Max},
		{6, 21, 100}, // sequences of another epoch say nothing
	} {
		if got := p.Agreed(c.epoch, c.seq); got != c.want {
			t.Errorf("at message %d of epoch %d it is %d, want %d", c.seq, c.epoch, got, c.want)
		}
	}
}

// TestManyVoids: what is forgotten makes the answer lower, never higher.
func TestManyVoids(t *testing.T) {
	t.Parallel()
	var all queue.LivePosition
	const n = 2000
	for i := range uint64(n) {
		all.Voids = queue.AddVoid(all.Voids, queue.Void{After: i, From: block.Number(1000 + i)})
	}
	if len(all.Voids) >= n {
		t.Errorf("%d are kept", len(all.Voids))
	}
	for _, seq := range []uint64{0, 1, n / 2, n - 300, n - 1} {
		if got, exact := all.Agreed(0, seq), block.Number(1000+seq); got > exact {
			t.Errorf("at message %d it is %d, above %d", seq, got, exact)
		}
	}
	if got := all.Agreed(0, n-10); got != 1000+n-10 {
		t.Errorf("a recent one is %d", got)
	}
}
