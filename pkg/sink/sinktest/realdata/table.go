// Package realdata has, for tests, the real rows and the recordings of a real Amp server
// that are below AMPIPE_REAL_DATA.
package realdata

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// Files returns the files that match a pattern below AMPIPE_REAL_DATA, and that folder.
// It skips the test if there is none.
func Files(t testing.TB, pattern string) (dir string, files []string) {
	t.Helper()
	dir = os.Getenv("AMPIPE_REAL_DATA")
	if dir == "" {
		t.Skip("AMPIPE_REAL_DATA is not set; it names the folder of real rows and recordings")
	}
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files %s in AMPIPE_REAL_DATA: %v", pattern, err)
	}
	return dir, files
}

// Table is a table of a real source with all its rows, ascending by block.
type Table struct {
	Table sink.Table
	Rows  []arrow.RecordBatch
}

// Changes returns the rows as entries of one block each.
func (r Table) Changes() []sink.Change {
	var changes []sink.Change
	for _, rec := range r.Rows {
		blocks, err := sink.BlocksOf(rec, r.Table.BlockColumn)
		if err != nil {
			panic(err)
		}
		for from := 0; from < blocks.Len(); {
			n := blocks.At(from)
			to := blocks.Search(n + 1)
			piece := rec.NewSlice(int64(from), int64(to))
			if last := len(changes) - 1; last >= 0 && changes[last].Range.Has(n) {
				changes[last].Records = append(changes[last].Records, piece)
				changes[last].Rows += to - from
			} else {
				changes = append(changes, sinktest.ChangeOf(block.Closed(n, n), piece))
			}
			from = to
		}
	}
	return changes
}

// blockColumn finds the block column as the planner does.
func blockColumn(s *arrow.Schema) int {
	for _, name := range []string{"_block_num", "block_num", "slot"} {
		if at := s.FieldIndices(name); len(at) == 1 {
			return at[0]
		}
	}
	return -1
}

// ascending cuts records where blocks go back, and puts the pieces in order.
func ascending(t testing.TB, real Table) []arrow.RecordBatch {
	t.Helper()
	type piece struct {
		first block.Number
		rec   arrow.RecordBatch
	}
	var pieces []piece
	for _, rec := range real.Rows {
		blocks, err := sink.BlocksOf(rec, real.Table.BlockColumn)
		if err != nil {
			t.Fatal(err)
		}
		for from := 0; from < blocks.Len(); {
			to := from + 1
			for to < blocks.Len() && blocks.At(to) == blocks.At(from) {
				to++
			}
			pieces = append(pieces, piece{blocks.At(from), rec.NewSlice(int64(from), int64(to))})
			from = to
		}
	}
	slices.SortStableFunc(pieces, func(a, b piece) int { return int(int64(a.first) - int64(b.first)) })
	sorted := make([]arrow.RecordBatch, len(pieces))
	for i, p := range pieces {
		sorted[i] = p.rec
	}
	return sorted
}
