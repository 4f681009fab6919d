package sink

import (
	"context"
	"errors"
)

// Indexer is a Writer whose table has indexes that are not needed for loading it, and that
// are cheaper to build when it is loaded.
type Indexer interface {
	Writer

	// Unbuilt returns how many of the indexes that are configured the table does not have.
	Unbuilt(ctx context.Context) (int, error)

	// BuildIndexes builds them, beside others who read and write the table. tell is called
	// about once a second with how many are left and how far it is, for people, by one
	// goroutine. One process at a time builds: in others it returns [ErrBuiltElsewhere], when
	// it has told how far that one is. What was begun by a process that was killed is
	// finished, or begun again.
	BuildIndexes(ctx context.Context, tell func(left int, progress string)) error
}

// ErrBuiltElsewhere says that another process builds the indexes.
var ErrBuiltElsewhere = errors.New("another process builds the indexes")
