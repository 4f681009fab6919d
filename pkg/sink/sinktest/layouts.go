package sinktest

import (
	"maps"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/layout"
	"github.com/ampipe/ampipe/pkg/sink"
)

// RunLayouts loads columns in every layout of memory, each into a table of a block
// column and a column "v", and verifies it: how an array is laid out makes no
// difference, neither to what is stored nor to a digest. open opens a Writer that
// can be verified on a new table.
func RunLayouts(t *testing.T, columns []layout.Column, open func(t testing.TB, table sink.Table) sink.Writer) {
	for _, c := range columns {
		t.Run(c.Name, func(t *testing.T) {
			schema := arrow.NewSchema([]arrow.Field{
				{Name: "block_num", Type: arrow.PrimitiveTypes.Uint64}, {Name: "v", Type: c.Type, Nullable: true}}, nil)
			w := open(t, sink.Table{Pipeline: "layouts", Sink: "s", Schema: schema, Epoch: 1})
			var laidOut, plain []arrow.RecordBatch
			next := uint64(0)
			for _, one := range c.Cases {
				laidOut = append(laidOut, layout.Batch(schema, next, one.Array))
				plain = append(plain, layout.Batch(schema, next, one.Plain))
				next += uint64(one.Array.Len())
			}
			whole := block.Range{End: block.Number(next)}
			if _, err := w.Apply(t.Context(), []sink.Change{ChangeOf(whole, laidOut...)}); err != nil {
				t.Fatal(err)
			}
			d := w.(sink.Digester)
			want := sourceDigests(t, d, plain...)
			if got := sourceDigests(t, d, laidOut...); !maps.Equal(got, want) {
				t.Errorf("the digest of %d blocks depends on how arrays are laid out: %v", len(want), differing(got, want))
			}
			if stored := storedDigests(t, d, whole); !maps.Equal(stored, want) {
				t.Errorf("what is stored is not what was given, in blocks %v", differing(stored, want))
			}
		})
	}
}
