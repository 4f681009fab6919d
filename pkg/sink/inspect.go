package sink

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"
)

// Inspector is the part of a [Writer] that changes nothing: what the commands need that
// look at a destination beside a pipeline that runs.
type Inspector interface {
	Digester

	// Describe returns what would be created for the table, in the destination's own
	// language, for people. It does not connect.
	Describe(t Table) (string, error)

	// Reach connects and makes the checks that need no table: the columns of the query
	// may not be known. The Writer need not be open, and is not after.
	Reach(ctx context.Context) error

	// Check connects and makes every check that Open makes, and tries the rights that
	// loading needs. What it changes for that it changes back. The Writer need not be
	// open, and is not after.
	Check(ctx context.Context, t Table) error

	// CheckRows returns the error of Apply for rows that the table does not take, as
	// far as that is known without writing them. Check comes before.
	CheckRows(rec arrow.RecordBatch) error

	// OpenStored connects to a table that is there, to read it, instead of Open.
	OpenStored(ctx context.Context, t Table) error

	// Warnings returns what the user should know of the destination and the table,
	// once it was opened or checked.
	Warnings(t Table) []string
}
