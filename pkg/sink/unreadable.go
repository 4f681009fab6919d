package sink

import (
	"errors"
	"fmt"

	"github.com/ampipe/ampipe/pkg/block"
)

// ErrNotRemovable is wrapped by the reasons why blocks cannot be read that keep their rows
// from being removed as well.
var ErrNotRemovable = errors.New("its rows cannot be removed either")

// Unreadable is a range of blocks that cannot be compared, and why.
type Unreadable struct {
	Blocks block.Range
	Err    error
}

// UnreadableError says of which blocks rows are stored that cannot be read back. All
// other blocks that were asked for have been read.
type UnreadableError struct{ Blocks []Unreadable }

// Error names the first of them.
func (e *UnreadableError) Error() string {
	text := fmt.Sprintf("blocks %v cannot be read: %v", e.Blocks[0].Blocks, e.Blocks[0].Err)
	if more := len(e.Blocks) - 1; more > 0 {
		text += fmt.Sprintf("; and %d more ranges", more)
	}
	return text
}

// Unwrap returns the reasons.
func (e *UnreadableError) Unwrap() []error {
	reasons := make([]error, len(e.Blocks))
	for i, u := range e.Blocks {
		reasons[i] = u.Err
	}
	return reasons
}

// Add notes blocks that cannot be read. Blocks that follow the last ones, or are among
// them, with the same reason are one range with them.
func (e *UnreadableError) Add(r block.Range, err error) {
	if n := len(e.Blocks); n > 0 {
		last := &e.Blocks[n-1]
		if last.Blocks.Start <= r.Start && r.Start <= last.Blocks.End && last.Err.Error() == err.Error() {
			last.Blocks.End = max(last.Blocks.End, r.End)
			return
		}
	}
	e.Blocks = append(e.Blocks, Unreadable{Blocks: r, Err: err})
}

// OrNil returns e as an error if blocks have been added, else nil.
func (e *UnreadableError) OrNil() error {
	if len(e.Blocks) == 0 {
		return nil
	}
	return e
}
