package plan

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
)

const (
	// listEvery is how old the list of partitions may grow though none is known to have
	// changed: one that is removed from the state leaves no trace there, and a server that
	// watched for this planner may be gone. A list that is long in coming may grow older, so
	// that listing takes no more of the time than one part in listShare.
	listEvery = 5 * time.Second
	listShare = 200
	// quietRounds is how many times as long as between two rounds the planner waits after
	// one that has found nothing new.
	quietRounds = 4
)

// changes watches the documents of the pipeline, so that the planner need not look so often
// whether one has changed. It is safe for concurrent use.
type changes struct {
	wake chan struct{} // holds a token when a document has changed that the next round is not to wait for

	mu      sync.Mutex
	watched bool      // every change is noticed
	steady  bool      // only the plan and the partitions wake
	listed  uint64    // revision up to which the partitions have been read
	due     time.Time // for the next list, at the latest
	written uint64    // revision of the partition that was written last, as far as is known
	stale   bool      // partitions may have been written that are not known
	restart context.CancelFunc
}

func newChanges() *changes {
	return &changes{wake: make(chan struct{}, 1), stale: true}
}

// run watches until ctx ends.
func (c *changes) run(ctx context.Context, s *queue.State) {
	retrier := fault.Retrier{Backoff: fault.Backoff{GiveUp: fault.Forever, Max: time.Second}}
	for ctx.Err() == nil {
		watching, restart := context.WithCancel(ctx)
		c.mu.Lock()
		c.restart = restart
		c.mu.Unlock()
		err := s.WatchKeys(watching, func() {
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
	c.watched, c.stale, c.listed, c.written = false, true, 0, 0
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

// changed notes that a document was written.
func (c *changes) changed(key string, rev uint64) {
	kind, _, _ := strings.Cut(key, ".")
	c.mu.Lock()
	defer c.mu.Unlock()
	switch kind {
	case "partition":
		c.written = max(c.written, rev)
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
func (c *changes) wrote(rev uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.written = max(c.written, rev)
}

// begin begins a round: what has changed until now is read in it.
func (c *changes) begin() {
	select {
	case <-c.wake:
	default:
	}
}

// list reports whether the partitions have to be read, since they may have changed.
func (c *changes) list(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	changed := !c.watched || c.stale || c.written > c.listed || !now.Before(c.due)
	c.stale = false
	return changed
}

// have notes up to which revision the partitions were read, and how long that took. A
// replica that lags may not have had the last one.
func (c *changes) have(latest uint64, took time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listed, c.due = latest, time.Now().Add(max(listEvery, listShare*took))
	c.stale = c.stale || err != nil
}

// pause is how long to wait before a round: most or, after a change, least.
type pause struct {
	least, most time.Duration
	steady      bool // only a change of the plan or of a partition counts
}

// wait waits until the next round.
func (c *changes) wait(ctx context.Context, p pause) error {
	c.mu.Lock()
	c.steady = p.steady
	if !c.watched {
		p.most = p.least
	}
	c.mu.Unlock()
	if err := fault.Sleep(ctx, p.least); err != nil || p.most <= p.least {
		return err
	}
	timer := time.NewTimer(p.most - p.least)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-c.wake:
	case <-timer.C:
	}
	return nil
}
