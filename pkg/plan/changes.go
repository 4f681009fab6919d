package plan

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

const (
	// listEvery is how old the list of partitions may grow though none is known to have
	// changed: one that is removed from the state leaves no trace there, and a server that
	// watched for this planner may be gone. A list that is long in coming may grow older, so
	// that listing takes no more of the time than one part in listShare.
	listEvery = 5 * time.Second
	listShare = 200
	// listSteady is the same while a pipeline does nothing but follow the chain: its partitions
	// are all done, and a list costs about as much as a live block.
	listSteady = 30 * time.Second
	// quietRounds is how many times as long as between two rounds the planner waits after
	// one that has found nothing new.
	quietRounds = 4
	// steadyRounds is the same for a pipeline that does nothing but follow the chain: a round
	// costs about as much as a live block.
	steadyRounds = 8
)

// changes watches the documents of the pipeline, so that the planner need not look so often
// whether one has changed, and need not read partitions that have not. It is safe for
// concurrent use.
type changes struct {
	wake chan struct{} // holds a token when a document has changed that the next round is not to wait for
	done chan struct{} // holds a token when no partition is open any more

	mu      sync.Mutex
	watched bool      // every change is noticed
	steady  bool      // only the plan and the partitions wake
	open    []string  // of the pause that lasts
	due     time.Time // for the next list, at the latest
	stale   bool      // partitions may have been written that are not known
	restart context.CancelFunc
	parts   map[string]changed // by id: what has changed since it was taken last
}

// changed is a partition that was written, or removed.
type changed struct {
	part    state.Partition
	rev     uint64
	removed bool
}

func newChanges() *changes {
	return &changes{wake: make(chan struct{}, 1), done: make(chan struct{}, 1), stale: true, parts: map[string]changed{}}
}

// run watches until ctx ends.
func (c *changes) run(ctx context.Context, s *queue.State) {
	retrier := fault.Retrier{Backoff: fault.Backoff{GiveUp: fault.Forever, Max: time.Second}}
	for ctx.Err() == nil {
		watching, restart := context.WithCancel(ctx)
		c.mu.Lock()
		c.restart = restart
		c.mu.Unlock()
		err := s.WatchAll(watching, func() {
			retrier.Progress()
			c.begun()
		}, c.changed)
		restart()
		c.lost()
		pause, _ := retrier.Pause(fault.Again(err)) // never ends
		_ = fault.Sleep(ctx, pause)                 // its end is seen above
	}
}

// forget begins to watch anew: the state was deleted, and its revisions begin again.
func (c *changes) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watched, c.stale = false, true
	clear(c.parts)
	if c.restart != nil {
		c.restart()
	}
}

// begun notes that every change is noticed from now on.
func (c *changes) begun() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watched, c.stale = true, true
}

// lost notes that changes are not noticed.
func (c *changes) lost() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watched, c.stale = false, true
}

// isWatched reports whether every change is noticed.
func (c *changes) isWatched() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.watched
}

// changed notes that a document was written or removed.
func (c *changes) changed(change queue.Change) {
	kind, id, _ := strings.Cut(change.Key, ".")
	c.mu.Lock()
	defer c.mu.Unlock()
	switch kind {
	case "partition":
		if change.Rev <= c.parts[id].rev { // this planner has written it
			break
		}
		now := changed{rev: change.Rev, removed: change.Removed}
		if !now.removed && change.Decode(&now.part) != nil {
			c.stale = true // reading it says why
			break
		}
		c.note(id, now)
	case "spec":
	case "process", "pause":
		return // nothing is planned by them
	default:
		if c.steady {
			return
		}
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// wrote notes that this planner has written a partition.
func (c *changes) wrote(p state.Partition, rev uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.note(p.ID(), changed{part: p, rev: rev})
}

// removed notes that this planner has removed a partition.
func (c *changes) removed(id string, rev uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.note(id, changed{rev: rev, removed: true})
}

func (c *changes) note(id string, now changed) {
	if now.rev > c.parts[id].rev {
		c.parts[id] = now
		c.checkDone()
	}
}

// checkDone notes whether the last open partitions are done, and no others have come.
func (c *changes) checkDone() {
	if len(c.open) == 0 || slices.ContainsFunc(c.open, func(id string) bool { return c.parts[id].rev == 0 }) {
		return // one of them has not changed
	}
	for _, change := range c.parts {
		if change.isOpen() {
			return
		}
	}
	select {
	case c.done <- struct{}{}:
	default:
	}
}

// isOpen reports whether the partition is still to be read.
func (c changed) isOpen() bool { return !c.removed && c.part.State == state.PartitionOpen }

// begin begins a round: what has changed until now is read in it.
func (c *changes) begin() {
	for _, token := range []chan struct{}{c.wake, c.done} {
		select {
		case <-token:
		default:
		}
	}
}

// list reports whether the partitions have to be read, since some may have changed that the
// watch has not brought.
func (c *changes) list(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	changed := !c.watched || c.stale || !now.Before(c.due)
	c.stale = false
	return changed
}

// have notes how long it took to read the partitions.
func (c *changes) have(took time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	every := listEvery
	if c.steady {
		every = listSteady
	}
	c.due = time.Now().Add(max(every, listShare*took))
	c.stale = c.stale || err != nil
}

// take returns what has changed since it was called last.
func (c *changes) take() map[string]changed {
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := c.parts
	c.parts = map[string]changed{}
	return taken
}

// apply returns the partitions as they are after some changes, in the order in which they
// were written. Those that are newer already stay.
func apply(stored []queue.Stored[state.Partition], changes map[string]changed) []queue.Stored[state.Partition] {
	if len(changes) == 0 {
		return stored
	}
	next := make([]queue.Stored[state.Partition], 0, len(stored)+len(changes))
	for _, s := range stored {
		change, is := changes[s.Value.ID()]
		switch {
		case !is:
			next = append(next, s)
		case change.rev <= s.Rev:
			next = append(next, s)
			delete(changes, s.Value.ID())
		}
	}
	for id, change := range changes {
		if !change.removed {
			next = append(next, queue.Stored[state.Partition]{Key: "partition." + id, Value: change.part, Rev: change.rev})
		}
	}
	slices.SortFunc(next, func(a, b queue.Stored[state.Partition]) int { return cmp.Compare(a.Rev, b.Rev) })
	return next
}

// pause is how long to wait before a round: most or, after a change, least. When the last open
// partitions are done it ends at once.
type pause struct {
	least, most time.Duration
	steady      bool     // only a change of the plan or of a partition counts
	open        []string // ids of the partitions that are open, if these are the last; nil: none is, or many are
}

// wait waits until the next round.
func (c *changes) wait(ctx context.Context, p pause) error {
	c.mu.Lock()
	if soon := time.Now().Add(listEvery); c.steady && !p.steady && c.due.After(soon) {
		c.due = soon
	}
	c.steady, c.open = p.steady, p.open
	c.checkDone()
	if !c.watched {
		p.most = p.least
	}
	c.mu.Unlock()
	began := time.Now()
	timer := time.NewTimer(max(p.least, p.most))
	defer timer.Stop()
	for wake := c.wake; ; {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-c.done:
			return nil
		case <-wake:
			wake = nil
			timer.Reset(p.least - time.Since(began))
		case <-timer.C:
			return nil
		}
	}
}
