package sink

import (
	"time"

	"github.com/ampipe/ampipe/pkg/block"
)

// Commit is what one transaction did.
type Commit struct {
	Applied
	Ranges  []block.Range // of its entries, as they came
	Entries int
	Bytes   int // of the entries as published
	Took    time.Duration
}

// Observer is told what a [Loop] does. Its methods are called from several
// goroutines and must not block.
type Observer interface {
	OnApplied(c Commit)
	// OnPause tells that nothing is committed for the time being, and why.
	OnPause(reason error)
	// OnResume tells that the reason has gone.
	OnResume()
}

type nobody struct{}

func (nobody) OnApplied(Commit) {}
func (nobody) OnPause(error)    {}
func (nobody) OnResume()        {}
