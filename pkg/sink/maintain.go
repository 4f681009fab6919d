package sink

import (
	"context"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
)

// Maintainer is a Writer of a table that consists of files. It is open by OpenStored or
// Open. A pipeline may load the table meanwhile.
type Maintainer interface {
	Writer

	// Compact joins small files of the same partition into files of about the target
	// size, in the order of their blocks. Rows stay as they are, and so does what is
	// loaded. Each new file is a commit, so stopping it loses little. If dry, it only
	// counts.
	Compact(ctx context.Context, dry bool) (Compacted, error)

	// Vacuum removes files that the newest version does not need and that left the
	// table before the retention, counted from now: older versions cannot be read any
	// more. If dry, it only finds them.
	Vacuum(ctx context.Context, retention time.Duration, dry bool, now time.Time) (Vacuumed, error)

	// Columns names the columns of the table's rows.
	Columns() []string

	// Preview reads the n rows of the highest blocks, highest first.
	Preview(ctx context.Context, n int) ([]PreviewRow, error)
}

// Compacted is what Compact did, or would do.
type Compacted struct {
	Version  int64 // of the table after it
	Before   int   // files that are replaced
	After    int   // files that replace them; 0 in a dry run
	Bytes    int64 // of the files that are replaced
	Commits  int
	Conflict int // groups left alone because others had changed them meanwhile
}

// Vacuumed is what Vacuum removed, or would remove.
type Vacuumed struct {
	Files int
	Bytes int64
	Names []string // of some of them
}

// PreviewRow is a row of a table as text, for people.
type PreviewRow struct {
	Block  block.Number
	Values []string // in the order of Columns
}
