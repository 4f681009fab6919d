package layout_test

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/ampipe/ampipe/pkg/layout"
)

// TestCasesAreWhatTheySay holds every array against the one that a builder made of
// the same values.
func TestCasesAreWhatTheySay(t *testing.T) {
	t.Parallel()
	cases := 0
	for _, c := range layout.Columns() {
		empty, nulls := 0, 0
		for _, one := range c.Cases {
			cases++
			if err := array.ValidateFull(one.Array); err != nil {
				t.Errorf("%s: %s: %v", c.Name, one.Name, err)
			}
			if one.Array.Len() != one.Plain.Len() {
				t.Fatalf("%s: %s: %d rows, want %d", c.Name, one.Name, one.Array.Len(), one.Plain.Len())
			}
			if row, same := layout.Equal(one.Array, one.Plain); !same {
				t.Errorf("%s: %s: row %d of %v, want %v", c.Name, one.Name, row, one.Array, one.Plain)
			}
			if one.Array.Len() == 0 {
				empty++
			} else if one.Array.NullN() == one.Array.Len() {
				nulls++
			}
		}
		if empty == 0 || nulls == 0 {
			t.Errorf("%s: %d cases without rows, %d of nulls only", c.Name, empty, nulls)
		}
	}
	t.Logf("%d arrays", cases)
}
