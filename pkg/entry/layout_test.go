package entry_test

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/layout"
)

// TestLayouts holds that rows go through the log unchanged however their arrays are
// laid out: between records that hold no rows, as one entry.
func TestLayouts(t *testing.T) {
	t.Parallel()
	for _, c := range layout.Columns() {
		throughTheLog(t, c, 1<<20)
	}
}

// TestLayoutsCut holds the same of entries of one row each.
func TestLayoutsCut(t *testing.T) {
	t.Parallel()
	for _, c := range layout.Some() {
		throughTheLog(t, c, 1)
	}
}

func throughTheLog(t *testing.T, c layout.Column, target int) {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "block_num", Type: arrow.PrimitiveTypes.Uint64}, {Name: "v", Type: c.Type, Nullable: true}}, nil)
	encoder, err := entry.NewEncoder(schema, entry.None, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range c.Cases {
		rows, err := logged(encoder, target, layout.EmptyBatch(schema), layout.Batch(schema, 0, one.Array), layout.EmptyBatch(schema))
		if err != nil {
			t.Errorf("%s: %s: %v", c.Name, one.Name, err)
			continue
		}
		if len(rows) != one.Plain.Len() {
			t.Errorf("%s: %s: %d rows, want %d", c.Name, one.Name, len(rows), one.Plain.Len())
			continue
		}
		for i, got := range rows {
			if want := layout.Text(one.Plain, i); got != want {
				t.Errorf("%s: %s: row %d comes as %s, want %s", c.Name, one.Name, i, got, want)
			}
		}
	}
}

// logged cuts records into entries and returns column 1 of what the entries hold.
func logged(encoder *entry.Encoder, target int, recs ...arrow.RecordBatch) ([]string, error) {
	cutter, err := entry.NewCutter(entry.CutOptions{Range: block.Range{End: 1000}, Header: entry.Header{Epoch: 1}, Target: target, Encoder: encoder})
	if err != nil {
		return nil, err
	}
	var groups []entry.Group
	for _, rec := range recs {
		made, err := cutter.Push(rec)
		if err != nil {
			return nil, err
		}
		groups = append(groups, made...)
	}
	rest, err := cutter.Finish()
	if err != nil {
		return nil, err
	}
	var rows []string
	for _, group := range append(groups, rest...) {
		for _, e := range group {
			_, recs, err := entry.NewDecoder(nil).Decode(e)
			if err != nil {
				return nil, err
			}
			for _, rec := range recs {
				for i := range int(rec.NumRows()) {
					rows = append(rows, layout.Text(rec.Column(1), i))
				}
				rec.Release()
			}
		}
	}
	return rows, nil
}
