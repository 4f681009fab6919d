package apply

import (
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/sink"
)

// Commit is what one transaction did.
type Commit struct {
	sink.Applied
	Ranges  []block.Range // of its entries, as they came
	Entries int
	Bytes   int // of the entries as published
	Took    time.Duration
	Oldest  time.Time // when the log took the first of its entries; zero: unknown
	Marks   []Mark    // of the watermarks among the entries
}

// Mark is a watermark of the live lane that a destination has applied: it has every
// block up to it.
type Mark struct {
	Number block.Number
	Seen   time.Time // when the extractor first heard of its range; zero if unknown
}

// add counts an entry of the log, and a change made of it.
func (c *Commit) add(u unit) {
	c.Entries++
	c.Ranges = append(c.Ranges, u.change.Range)
	c.Bytes += len(u.message.Payload)
	c.since(u.message.Time)
	c.mark(u.change)
}

// since notes when the log took an entry.
func (c *Commit) since(at time.Time) {
	if c.Oldest.IsZero() || at.Before(c.Oldest) {
		c.Oldest = at
	}
}

func (c *Commit) mark(change sink.Change) {
	if change.Live && change.Kind == entry.Watermark {
		c.Marks = append(c.Marks, Mark{Number: change.Range.Last(), Seen: change.Seen})
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
