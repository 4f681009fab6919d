package state

import (
	"slices"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
)

// ReplayStep is how far a replay is.
type ReplayStep string

const (
	// ReplayRemoves is a replay whose blocks are still to be removed.
	ReplayRemoves ReplayStep = "remove"
	// ReplayReads is one whose blocks are removed, and are read from the log.
	ReplayReads ReplayStep = "read"
	// ReplayDone is one that has read the log. What is missing now comes from Amp.
	ReplayDone ReplayStep = "done"
	// ReplayFailed is one that the destination has refused. What was removed comes from Amp.
	ReplayFailed ReplayStep = "failed"
)

// Replay is a request to load blocks of a destination again. A command makes it, and a
// process of the sink carries it out; both write by compare-and-set.
type Replay struct {
	Blocks  block.Set  `json:"blocks"`   // what is removed and loaded again
	FromLog block.Set  `json:"from_log"` // of them, those that may be read from the log, as far as it has them
	Removed block.Set  `json:"removed"`  // of Blocks
	Step    ReplayStep `json:"step"`
	Worker  string     `json:"worker,omitempty"` // the process that carries it out
	Error   string     `json:"error,omitempty"`  // why it has failed
	Asked   time.Time  `json:"asked"`
	Updated time.Time  `json:"updated"` // by the worker, which does so while it is at it

	// Before is up to where the sink had dead letters before the first block was removed;
	// nil: nobody has looked yet.
	Before *LettersMark `json:"before,omitempty"`
	// Past are dead letters that are to be removed, of this replay and of those before.
	Past []PastLetters `json:"past,omitempty"`
}

// LettersMark is a place in the stream of the dead letters of a sink.
type LettersMark struct {
	Stream time.Time `json:"stream"` // when it was made: one that is made anew counts from 1 again
	Seq    uint64    `json:"seq"`    // 0: there are no letters
}

// PastLetters are dead letters of blocks that were removed from a destination. They are out
// of date once it has the blocks again: what it has refused again is a letter after Before.
type PastLetters struct {
	Blocks block.Set   `json:"blocks"`
	Before LettersMark `json:"before"`
}

// Take notes that blocks were removed.
func (r *Replay) Take(portion block.Range) {
	r.Removed = r.Removed.Clone()
	r.Removed.Add(portion)
	if r.Before == nil || r.Before.Seq == 0 {
		return
	}
	r.Past = slices.Clone(r.Past)
	last := len(r.Past) - 1
	if last < 0 || !r.Past[last].Before.same(*r.Before) {
		r.Past = append(r.Past, PastLetters{Before: *r.Before})
		last++
	}
	r.Past[last].Blocks = r.Past[last].Blocks.Clone()
	r.Past[last].Blocks.Add(portion)
}

func (m LettersMark) same(o LettersMark) bool { return m.Seq == o.Seq && m.Stream.Equal(o.Stream) }

// UnderWay reports whether blocks may be missing in the destination that the log is still
// to bring.
func (r Replay) UnderWay() bool { return r.Step == ReplayRemoves || r.Step == ReplayReads }
