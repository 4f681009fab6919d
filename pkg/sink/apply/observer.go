package apply

import (
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sink"
)

// Commit is what one transaction did.
type Commit struct {
	sink.Applied
	Dead    int           // rows of its entries that the destination has refused, and that are dead letters
	Ranges  []block.Range // of its entries, as they came
	Entries int
	Bytes   int // of the entries as published
	Took    time.Duration
	Oldest  time.Time  // when the log took the first of its entries; zero: unknown
	Marks   []Mark     // of the watermarks among the entries
	Live    []LiveStep // of the live entries, but those that were applied before

	changes []liveChange // of the live entries, until Live is known
	ending  bool         // some are of a lane that has an end
}

// Mark is a watermark of the live lane that a destination has applied: it has every
// block up to it.
type Mark struct {
	Number block.Number
	Seen   time.Time // when the extractor first heard of its range; zero if unknown
	Stored time.Time // when the log took it
	Pulled time.Time // when it came to this process
}

// add counts an entry of the log, and a change made of it.
func (c *Commit) add(u unit) {
	c.Entries++
	c.Dead += u.dead
	c.Ranges = append(c.Ranges, u.change.Range)
	c.Bytes += len(u.message.Payload)
	c.ending = c.ending || u.message.End > 0
	if c.Oldest.IsZero() || u.message.Time.Before(c.Oldest) {
		c.Oldest = u.message.Time
	}
	if u.change.Live && u.change.Closes() {
		c.Marks = append(c.Marks, Mark{
			Number: u.change.Range.Last(), Seen: u.change.Seen, Stored: u.message.Time, Pulled: u.message.pulled,
		})
	}
	if u.change.Live {
		change := u.change
		change.Records = nil // they may be released before the commit
		c.changes = append(c.changes, liveChange{u.message.run.steps, change})
	}
}

// Observer hears what a [Loop] does. Its methods are called from several
// goroutines and must not block.
type Observer interface {
	OnApplied(c Commit)
	// OnPause is called when a part of the loop waits, with the reason, and again when
	// the reason changes.
	OnPause(reason error)
	// OnResume is called when nothing waits any more.
	OnResume()
}

type nopObserver struct{}

func (nopObserver) OnApplied(Commit) {}
func (nopObserver) OnPause(error)    {}
func (nopObserver) OnResume()        {}
