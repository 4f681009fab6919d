package sink

import (
	"context"
	"errors"
)

// Gatherer is a Writer for which a commit is dear, such as one that makes a file
// and a version of a table: it takes the changes of many calls in and commits them
// together. A [Loop] uses it in place of Apply, by one goroutine, and acknowledges
// entries when they are committed.
type Gatherer interface {
	Writer

	// Stage takes changes in, in order, by the rules of Apply. Their rows are
	// borrowed until it returns, and not durable before Commit has returned. After
	// an error nothing of these changes is staged; what was staged before still is,
	// unless the error is an [ErrRestage].
	Stage(ctx context.Context, changes []Change) (Staged, error)

	// Commit makes everything staged, in one atomic step, what Apply would have
	// made of it; without anything staged it does nothing. After an [ErrRestage]
	// nothing is staged any more; after any other error everything still is, and
	// the caller repeats the call or discards.
	Commit(ctx context.Context) (Applied, error)

	// Discard forgets what is staged.
	Discard()
}

// Staged is what a Gatherer holds.
type Staged struct {
	Full bool // it is time to commit
}

// ErrRestage says that what was staged is gone, or is not right any more because
// another process has committed some of it: it has to come again.
var ErrRestage = errors.New("what was staged has to be staged again")
