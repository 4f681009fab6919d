package amp

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/block"
)

// Event is what [Client.Follow] yields: [Rows], [Watermark] or [Undo], and nothing
// else. Applied in order they result, at every Watermark, in exactly the rows of the
// canonical chain up to it.
type Event interface{ event() }

// Rows are rows of a range that is not complete yet. They belong to blocks that no
// earlier event has completed, in ascending order of blocks; a block may continue in
// the next Rows, but never beyond the Watermark that follows.
type Rows struct {
	// Record has at least one row. It is borrowed: it is valid until the next event
	// is asked for, unless it is retained.
	Record arrow.RecordBatch
	// Range is the microbatch that the server is sending. Its Cursor is not to be
	// stored: only a Watermark says that everything up to it has arrived.
	Range Range
}

// Watermark says that every row of a range has arrived, if there were any. The
// ranges of Watermarks touch: each begins one block after the Watermark before it,
// or, after an Undo, at its From.
type Watermark struct {
	// Range is never empty. Range.Cursor() is where to resume.
	Range Range
}

// Undo voids everything at or above a block: rows and watermarks. It undoes blocks
// that are no longer in the chain and rows whose completion was lost with the
// connection alike, so that a consumer needs to do one thing for both. What comes
// next begins at From.
type Undo struct {
	From block.Number
	// Base is block From-1, up to which everything stays and is complete: where to
	// resume from now on, though no Watermark may have ended there (AP 3.6, rule 8).
	// It is nil if nothing stays that could be resumed from: resume from the start.
	Base *block.Cursor
	// Reorg reports whether blocks have left the chain; otherwise the rows since Base
	// were only unfinished and come again.
	Reorg bool
}

func (Rows) event()      {}
func (Watermark) event() {}
func (Undo) event()      {}

// inclusive writes a range as the wire has it.
func (r Range) inclusive() string {
	if r.Numbers.Empty() {
		return fmt.Sprintf("%s (no blocks, %v)", r.Network, r.Numbers)
	}
	text := fmt.Sprintf("%s blocks %d to %d (%.10s…", r.Network, r.Numbers.Start, r.Numbers.Last(), r.Hash)
	if r.HasPrev {
		text += fmt.Sprintf(" after %.10s…", r.Prev)
	}
	return text + ")"
}

// same reports whether two ranges are one (AP 3.6, rule 3).
func (r Range) same(o Range) bool {
	return r.Network == o.Network && r.Numbers == o.Numbers && r.Hash == o.Hash && r.Prev == o.Prev && r.HasPrev == o.HasPrev
}
