package apply

import (
	"fmt"
	"sync"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
)

// damageLimit is how often the same blocks may come damaged. They are read again each
// time but the last, which ends the sink: what damages them is still there.
const damageLimit = 3

// damagedError says that an entry can be applied to no destination, however often it
// comes: its payload is damaged, or does not agree with its headers.
type damagedError struct{ error }

func (e *damagedError) Unwrap() error { return e.error }

// damage counts the damaged entries of some lanes. It is safe for concurrent use.
type damage struct {
	mu     sync.Mutex
	seen   map[uint64]bool                 // sequences that were counted; they may come twice
	counts map[int]*[damageLimit]block.Set // by part: blocks that have come damaged once, twice, …
}

// count notes an entry and returns how often blocks of it have come damaged by now.
func (d *damage) count(m *message) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.seen == nil {
		d.seen, d.counts = make(map[uint64]bool), make(map[int]*[damageLimit]block.Set)
	}
	if d.counts[m.Part] == nil {
		d.counts[m.Part] = new([damageLimit]block.Set)
	}
	blocks := d.counts[m.Part]
	times := 0
	for times < damageLimit && overlap(blocks[times], m.Range) {
		times++
	}
	if d.seen[m.Seq] || times == damageLimit {
		return times
	}
	d.seen[m.Seq] = true
	blocks[times].Add(m.Range)
	return times + 1
}

func overlap(s block.Set, r block.Range) bool {
	gaps := s.Missing(r)
	return len(gaps) != 1 || gaps[0] != r
}

// drop terminates a damaged entry. Its blocks are read again: those of a partition when the
// planner sees that they are missing, those of the live lane by an epoch, which begins
// when the planner sees that the entry was dealt with and not applied. What a newer
// version wrote is not dropped, nor what has come damaged too often: then the error
// is permanent.
func (r *run) drop(m *message, cause error) error {
	if entry.Newer(cause) {
		return fault.Permanent(fmt.Errorf("log entry %d: %w: run this sink with the version of ampipe that writes the log", m.Seq, cause))
	}
	if m.Damaged == nil { // else nobody knows what blocks it is of
		cause = fmt.Errorf("log entry %d of blocks %v is damaged: %w", m.Seq, m.Range, cause)
		if r.damage.count(m) >= damageLimit {
			return fault.Permanent(fmt.Errorf("%w; it is the third time for these blocks, though they were read again: "+
				"look at the memory and the disks of the extractor, of NATS and of this machine, then start again", cause))
		}
	}
	r.Logger.Error().Err(cause).Msg("an entry of the log was dropped; its blocks will be read again")
	if r.live {
		r.stall.damaged(m.Seq, fmt.Errorf("%w; the live lane begins again without it", cause))
	}
	m.term("it is damaged")
	return nil
}
