package sink

import (
	"context"

	"github.com/ampipe/ampipe/pkg/block"
)

// Adopter is a Writer that can take over a table that another program has filled. An
// adoption begins with OpenAdoption and ends with a FinishAdoption that leaves nothing.
// In between, and after a crash until it is begun again, Open refuses the table: blocks
// that have not been compared would be loaded beside the rows that are there.
type Adopter interface {
	Writer

	// OpenAdoption connects and checks the table, instead of Open. It refuses one that
	// is not there, and one that is loaded already. Unless dry, the table is from then on
	// marked as being adopted; if it was before, the adoption resumes where it was.
	OpenAdoption(ctx context.Context, t Table, dry bool) error

	// Adopted returns the blocks that were adopted so far.
	Adopted(ctx context.Context) (block.Set, error)

	// Adopt compares the blocks of r that are not covered with what the source has of
	// them, while nobody else can write to the table, and covers those that are equal,
	// in one atomic step. With replace the rows of those that are not are deleted in the
	// same step. If the adoption is dry, it only compares.
	Adopt(ctx context.Context, r block.Range, want Digests, replace bool) (Adopted, error)

	// Discard deletes the rows of the blocks of r, none of which is covered, and returns
	// how many they were.
	Discard(ctx context.Context, r block.Range) (uint64, error)

	// FinishAdoption counts the rows of the blocks of r, which is all that the pipeline
	// may ever load. If each is of a block that was adopted, the adoption is over and
	// Open takes the table. If rows have been added to or removed from blocks that were
	// adopted, all of them have to be compared again, and none is covered any more.
	// If the adoption is dry, compared stands for the blocks that would be covered.
	FinishAdoption(ctx context.Context, r block.Range, compared block.Set) (Remainder, error)
}

// Adopted is what Adopt did.
type Adopted struct {
	Compared block.Set // blocks that were not covered before
	Stored   Digests   // of these blocks, as they were in the table
	Deleted  uint64    // rows of blocks that differ
}

// Remainder is what FinishAdoption found of rows that are not adopted.
type Remainder struct {
	Rows       uint64    // of blocks that are not covered
	Blocks     block.Set // these blocks
	Unnumbered uint64    // rows whose block number is NULL
	Outside    uint64    // rows of blocks that the pipeline does not load; they stay
	Disturbed  bool      // others have written to blocks that were adopted
}

// None reports whether every row is adopted.
func (r Remainder) None() bool { return r.Rows == 0 && r.Unnumbered == 0 && !r.Disturbed }
