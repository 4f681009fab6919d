package plan

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/ampipe/ampipe/pkg/layout"
)

// TestSampleOfLayouts holds that rows are counted in arrays of every layout.
func TestSampleOfLayouts(t *testing.T) {
	t.Parallel()
	for _, c := range layout.Columns() {
		for _, one := range c.Cases {
			var s Sample
			s.add(array.NewRecordBatch(arrow.NewSchema([]arrow.Field{{Name: "v", Type: c.Type}}, nil), []arrow.Array{one.Array}, int64(one.Array.Len())))
			if s.Rows != uint64(one.Array.Len()) || (s.Rows == 0 && s.Bytes > 0) {
				t.Errorf("%s: %s: %+v, want %d rows", c.Name, one.Name, s, one.Array.Len())
			}
		}
	}
}
