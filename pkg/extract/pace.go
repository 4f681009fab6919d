package extract

import (
	"sync"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
)

// pace estimates how long a partition still takes, from what has arrived of it.
type pace struct {
	from     block.Number // where it began
	began    time.Time
	at       block.Number // up to which rows have arrived
	arrived  time.Time    // when they were seen
	messages int          // that brought them, or more that were seen at once
}

func (h *partitionTask) newPace(now time.Time) pace {
	at := h.position()
	return pace{from: at, began: now, at: at, arrived: now}
}

// unknown is the time that a partition takes of which it is not known: it may be long.
const unknown = time.Hour

// remains returns how much is left, and how long a message takes. Nothing is left if another
// worker would bring nothing earlier: one block is read by one worker, and what the server
// sends at this moment comes to this one in any case.
func (p *pace) remains(h *partitionTask, now time.Time) (left, each time.Duration) {
	h.mu.Lock()
	at, end := h.next, h.part.End
	if h.cutter != nil {
		at = max(at, h.cutter.Last())
	}
	h.mu.Unlock()
	if at > p.at {
		p.at, p.arrived = at, now
		p.messages++
		if p.messages == 1 {
			h.x.first.note(now.Sub(p.began))
		}
	}
	since := now.Sub(p.arrived)
	switch {
	case end <= at+1:
		return 0, 0
	case p.messages == 0 && h.x.first.soon(since):
		return 0, 0
	case p.messages == 0:
		return unknown, 0
	}
	took, gained, blocks := p.arrived.Sub(p.began), p.at-p.from, end-at
	each = took / time.Duration(p.messages)
	switch {
	case since > 2*each: // it has become slower
		return unknown, each
	case blocks <= gained/block.Number(p.messages):
		return 0, each
	}
	return max(0, time.Duration(float64(took)*float64(blocks)/float64(gained))-since), each
}

// firstRows is how long the first rows of partitions have been in coming. It is safe for
// concurrent use.
type firstRows struct {
	mu      sync.Mutex
	longest time.Duration // of the last ones; 0: none have come
}

func (f *firstRows) note(took time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.longest = max(took, f.longest-(f.longest-took)/8)
}

// soon reports whether rows that have been awaited for so long are not late. Blocks are not
// alike: the mean of the others says less than the longest.
func (f *firstRows) soon(awaited time.Duration) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return awaited < 2*f.longest
}
