package sink_test

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/layout"
	"github.com/ampipe/ampipe/pkg/sink"
)

// TestBlocksOfLayouts holds that block numbers are read from every layout of every
// integer type, and that nulls are refused in each.
func TestBlocksOfLayouts(t *testing.T) {
	t.Parallel()
	for _, dt := range layout.Leaves() {
		for _, one := range layout.Of(dt)[0].Cases {
			rec := array.NewRecordBatch(arrow.NewSchema([]arrow.Field{{Name: "n", Type: dt, Nullable: true}}, nil),
				[]arrow.Array{one.Array}, int64(one.Array.Len()))
			blocks, err := sink.BlocksOf(rec, 0)
			if refused := !arrow.IsInteger(dt.ID()) || one.Plain.NullN() > 0; refused != (err != nil) {
				t.Errorf("%s: %s: %v", dt, one.Name, err)
			}
			if err != nil {
				continue
			}
			plain, err := sink.BlocksOf(array.NewRecordBatch(rec.Schema(), []arrow.Array{one.Plain}, rec.NumRows()), 0)
			if err != nil || blocks.Len() != plain.Len() || blocks.Search(block.Max) != plain.Search(block.Max) {
				t.Errorf("%s: %s: %d blocks, want %d (%v)", dt, one.Name, blocks.Len(), plain.Len(), err)
				continue
			}
			for i := range blocks.Len() {
				if blocks.At(i) != plain.At(i) {
					t.Errorf("%s: %s: row %d is of block %d, want %d", dt, one.Name, i, blocks.At(i), plain.At(i))
				}
			}
		}
	}
}
