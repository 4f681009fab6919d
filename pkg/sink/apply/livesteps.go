package apply

import (
	"sync"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/sink"
)

// LiveStep is what an entry of the live lane has changed in a destination: which blocks it
// holds in full.
type LiveStep struct {
	Undone bool        // the destination holds none of Blocks any more; else it holds all of them
	Blocks block.Range // not empty
	Hash   block.Hash  // of the last of Blocks; zero if they are undone
	Seen   time.Time   // when the extractor first heard of Blocks; zero: unknown, or they are undone
}

// liveChange is a change that is part of a commit, without its rows.
type liveChange struct {
	steps  *liveSteps
	change sink.Change
}

// stepsOf returns what changes have done that are committed now, in their order.
func stepsOf(changes []liveChange) []LiveStep {
	var steps []LiveStep
	for _, c := range changes {
		step := c.steps.take(c.change)
		if !step.Blocks.Empty() {
			steps = append(steps, step)
		}
	}
	return steps
}

// liveSteps knows how far a destination is in the live lane, as far as this process has
// seen. It is safe for concurrent use.
type liveSteps struct {
	mu    sync.Mutex
	known bool
	at    sink.LiveState
}

// begin sets what the destination says before this process commits anything of the lane.
// What it says later may be ahead of what was observed.
func (l *liveSteps) begin(s sink.LiveState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.known {
		l.at, l.known = s, true
	}
}

// take notes a change that is committed, and returns what it has done. The step is empty
// if the change was noted before, and if it concerns no whole block.
func (l *liveSteps) take(c sink.Change) LiveStep {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.at
	next, fresh, err := c.Advance(before)
	if err != nil { // another process has committed what is between
		before.Epoch, before.Seq = c.Epoch, c.After
		if !before.Started {
			before.Started, before.Start = true, c.Range.Start
		}
		next, fresh, _ = c.Advance(before) // it follows what before says
	}
	if !fresh {
		return LiveStep{}
	}
	l.at = next
	if c.Closes() {
		return LiveStep{Blocks: c.Range, Hash: c.Hash, Seen: c.Seen}
	}
	gone := block.Range{Start: before.After(), End: before.After()} // what follows is not complete
	switch {
	case c.StartsBeyond(before):
		gone.Start = before.Start
	case c.Kind == entry.Invalidate:
		gone.Start = c.Range.Start
	}
	return LiveStep{Undone: true, Blocks: gone}
}
