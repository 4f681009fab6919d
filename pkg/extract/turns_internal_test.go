package extract

import (
	"slices"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/queue"
)

// TestWhoSplits: as many workers as wait, those that have the most left, and of several
// processes each has its part of them.
func TestWhoSplits(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		left []time.Duration // of the workers of this process
		load queue.Load
		want []int // whose turn it is
	}{
		"one waits":                    {[]time.Duration{3, 9, 5}, queue.Load{Waiting: 1, Held: 3}, []int{1}},
		"two wait":                     {[]time.Duration{3, 9, 5}, queue.Load{Waiting: 2, Held: 3}, []int{1, 2}},
		"more wait than work":          {[]time.Duration{3, 9, 5}, queue.Load{Waiting: 8, Held: 3}, []int{0, 1, 2}},
		"as much is left":              {[]time.Duration{5, 5, 5}, queue.Load{Waiting: 1, Held: 3}, []int{0}},
		"nobody waits yet":             {[]time.Duration{3, 9, 5}, queue.Load{Held: 3}, []int{1}},
		"others work, too":             {[]time.Duration{3, 9, 5}, queue.Load{Waiting: 4, Held: 12}, []int{1}},
		"others work, and many wait":   {[]time.Duration{3, 9, 5}, queue.Load{Waiting: 8, Held: 12}, []int{1, 2}},
		"the load was read before one": {[]time.Duration{3, 9, 5}, queue.Load{Waiting: 1}, []int{1}},
	} {
		turns := newTurns()
		workers := make([]*partitionTask, len(c.left))
		for i, left := range c.left {
			workers[i] = &partitionTask{id: string(rune('a' + i))}
			turns.note(workers[i], left)
		}
		gone := &partitionTask{id: "gone"}
		turns.note(gone, unknown)
		turns.forget(gone)
		var got []int
		for i, h := range workers {
			if turns.has(h, c.load) {
				got = append(got, i)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v split, want %v", name, got, c.want)
		}
	}
}
