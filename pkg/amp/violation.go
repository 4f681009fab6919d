package amp

import (
	"errors"
	"fmt"
)

// The rules of a stream (AP 3.6 and 9.3), as the causes of a [ViolationError].
var (
	ErrGap           = errors.New("blocks are missing between the ranges")
	ErrHashMismatch  = errors.New("the next range does not continue the chain of the one before")
	ErrInvalidReorg  = errors.New("the range goes back although the chain has not changed")
	ErrGenesisPrev   = errors.New("a range that begins at block 0 names a block before it")
	ErrNoPrev        = errors.New("the range does not name the hash of the block before it")
	ErrNetworks      = errors.New("a stream has exactly one network")
	ErrOtherNetwork  = errors.New("the network is not the one followed")
	ErrNoBlocks      = errors.New("the range has no blocks")
	ErrAfterClosing  = errors.New("rows follow the message that closed their range")
	ErrRowsOfNothing = errors.New("rows belong to no range")
)

// ViolationError is a stream that breaks a rule, so that its rows cannot be
// trusted. It wraps [ErrProtocol] and the rule, and is permanent.
type ViolationError struct {
	Rule     error  // one of the errors above
	Before   string // what the stream had reached; empty: nothing
	Incoming string // what came
}

// Error returns the rule and both ranges.
func (e *ViolationError) Error() string {
	text := fmt.Sprintf("%v: %v: %s", ErrProtocol, e.Rule, e.Incoming)
	if e.Before != "" {
		text += ", after " + e.Before
	}
	return text
}

// Unwrap leads to [ErrProtocol] and the rule.
func (e *ViolationError) Unwrap() []error { return []error{ErrProtocol, e.Rule} }

var (
	// ErrDeepReorg says that the chain has changed below the oldest block that can
	// still be compared with it, so that it is not known how much is void. Nothing
	// has been undone. The stream can be followed again with older cursors, or from
	// a block before the change after everything from it on was cleared by hand.
	ErrDeepReorg = errors.New("the chain has changed below every block that is remembered")
	// ErrCursorIgnored says that the server began at its earliest block although it
	// was asked to resume: a proxy may have removed the header amp-resume. Nothing
	// has been undone.
	ErrCursorIgnored = errors.New("the server ignored the cursor and began at its earliest block")
	// ErrNoData says that a table of the query has no blocks yet (AP 3.8).
	ErrNoData = errors.New("a table of the query has no data yet, or the query reads no table")
	// ErrStreamEnded says that the server ended a stream, which has no end.
	ErrStreamEnded = errors.New("the server ended the stream")
	// ErrUnfinished says that the server turned to other blocks before it had
	// finished a range, and will not send the blocks between: they are asked for again.
	ErrUnfinished = errors.New("the server left a range unfinished")
	// ErrFork says that the chain was reorganised, and that what the server sent does not
	// show from which block on: it is asked from an older block, until one is found that
	// both have (AP 3.6, rule 7).
	ErrFork = errors.New("looking for the block at which the chain was reorganised")
)
