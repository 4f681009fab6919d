package extract

import (
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// TestWhatRemainsOfAPartition is only what another worker would bring earlier.
func TestWhatRemainsOfAPartition(t *testing.T) {
	t.Parallel()
	type look struct {
		after time.Duration
		at    block.Number
		want  time.Duration
	}
	for name, c := range map[string]struct {
		longest time.Duration // of the first rows of others
		end     block.Number
		looks   []look
	}{
		"no rows of any partition yet":           {0, 100, []look{{time.Second, 0, unknown}}},
		"rows are due":                           {time.Second, 100, []look{{1900 * time.Millisecond, 0, 0}}},
		"rows are late":                          {time.Second, 100, []look{{2 * time.Second, 0, unknown}}},
		"by the speed so far":                    {0, 100, []look{{time.Second, 10, 9 * time.Second}, {1500 * time.Millisecond, 10, 8500 * time.Millisecond}}},
		"what comes with the next message stays": {0, 100, []look{{time.Second, 50, 0}}},
		"a block less than comes with it":        {0, 101, []look{{time.Second, 50, 1020 * time.Millisecond}}},
		"the next message is late":               {0, 100, []look{{time.Second, 50, 0}, {3100 * time.Millisecond, 50, unknown}}},
		"one block":                              {0, 100, []look{{time.Second, 99, 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := &partitionTask{publisher: publisher{x: &Extractor{first: &firstRows{longest: c.longest}}}, part: state.Partition{End: c.end}}
			began := time.Now()
			p := h.newPace(began)
			for _, l := range c.looks {
				h.next = l.at
				if got, _ := p.remains(h, began.Add(l.after)); got.Round(time.Millisecond) != l.want {
					t.Errorf("after %v at block %d remain %v, want %v", l.after, l.at, got, l.want)
				}
			}
		})
	}
}

// TestWhatABusyWorkerDoesForOthers, and for itself.
func TestWhatABusyWorkerDoesForOthers(t *testing.T) {
	t.Parallel()
	const quick, slow = 10 * time.Millisecond, time.Second
	for name, c := range map[string]struct {
		load       queue.Load
		reserved   bool
		left, each time.Duration
		want       balancing
	}{
		"there is a choice":                {queue.Load{Queued: 2}, false, time.Minute, slow, reserves},
		"it has one":                       {queue.Load{Queued: 2}, true, time.Minute, slow, waits},
		"the last task is for others":      {queue.Load{Queued: 1}, false, time.Minute, slow, waits},
		"somebody is about to take one":    {queue.Load{Queued: 2, Waiting: 1}, false, time.Minute, slow, waits},
		"somebody waits":                   {queue.Load{Waiting: 1}, false, 2 * slow, slow, splits},
		"somebody waits, little is left":   {queue.Load{Waiting: 1}, false, splitWorth - 1, quick, waits},
		"somebody waits, nothing is known": {queue.Load{Waiting: 1}, false, unknown, 0, splits},
		"somebody waits, it has a task":    {queue.Load{Waiting: 1}, true, 0, slow, givesBack},
		"nobody waits yet":                 {queue.Load{}, false, splitAhead, quick, splits},
		"nobody waits, it has a task":      {queue.Load{}, true, time.Minute, quick, waits},
		"nobody waits, messages are slow":  {queue.Load{}, false, time.Minute, slow, waits},
		"nobody waits, nothing is known":   {queue.Load{}, false, unknown, 0, waits},
	} {
		if got := balanced(c.load, c.reserved, c.left, c.each); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestRowsAreLateByTheLongest of the first rows of others, of which later ones count more.
func TestRowsAreLateByTheLongest(t *testing.T) {
	t.Parallel()
	var f firstRows
	for _, took := range []time.Duration{100, 1000, 100, 100} {
		f.note(took * time.Millisecond)
	}
	if !f.soon(1500*time.Millisecond) || f.soon(2*time.Second) {
		t.Errorf("the longest is %v", f.longest)
	}
	for range 100 {
		f.note(100 * time.Millisecond)
	}
	if f.soon(250 * time.Millisecond) {
		t.Errorf("the longest is %v after many that were short", f.longest)
	}
}
