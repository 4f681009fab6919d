package sink

import (
	"context"
	"errors"
)

// Stager is a Writer for which a commit is dear, such as one that makes a file
// and a version of a table. The apply loop uses a Staging of it in place of Apply, and
// acknowledges entries when they are committed.
type Stager interface {
	Writer

	// NewStaging returns an empty Staging. The Writer is open. Several may be in use at
	// the same time, in this process and in others; they are to each other as
	// calls of Apply are.
	NewStaging() Staging
}

// Staging takes the changes of many calls in and commits them together. It is
// not safe for concurrent use. It is discarded before its Writer is closed.
type Staging interface {
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

	// Discard forgets what is staged. Stage may be called again.
	Discard()
}

// Staged is what a Staging holds.
type Staged struct {
	Full bool // it is time to commit
}

// ErrRestage says that what was staged is gone, or is not right any more because
// another Staging has committed some of it: it has to come again.
var ErrRestage = errors.New("what was staged has to be staged again")
