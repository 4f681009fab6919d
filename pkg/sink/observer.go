package sink

import (
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
)

// Commit is what one transaction did.
type Commit struct {
	Applied
	Ranges  []block.Range // of its entries, as they came
	Entries int
	Bytes   int // of the entries as published
	Took    time.Duration
	Marks   []Mark // of the watermarks among the entries
}

// Mark is a watermark of the live lane that a destination has applied: it has every
// block up to it.
type Mark struct {
	Number block.Number
	Seen   time.Time // when the extractor first heard of its range; zero if unknown
}

func (c *Commit) mark(change Change) {
	if change.Live && change.Kind == entry.Watermark {
		c.Marks = append(c.Marks, Mark{Number: change.Range.Last(), Seen: change.Seen})
	}
}

// Observer is told what a [Loop] does. Its methods are called from several
// goroutines and must not block.
type Observer interface {
	OnApplied(c Commit)
	// OnPause tells that a part of the loop waits, and why; it is called again when
	// the reason is another one.
	OnPause(reason error)
	// OnResume tells that nothing waits any more.
	OnResume()
}

type nobody struct{}

func (nobody) OnApplied(Commit) {}
func (nobody) OnPause(error)    {}
func (nobody) OnResume()        {}
