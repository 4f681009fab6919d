package delta_test

import (
	"context"
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/layout"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/delta"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// TestLayouts holds that a table takes and verifies arrays however they are laid
// out: among them those without offsets, which end every answer of Amp.
func TestLayouts(t *testing.T) {
	t.Parallel()
	sinktest.RunLayouts(t, layout.Columns(), func(t testing.TB, table sink.Table) sink.Writer { return inMemory(t).open(t, table) })
}

// TestLayoutsAreRewritten holds the same of rows that are divided by partitions,
// cut by a reorg, joined by compaction and shown.
func TestLayoutsAreRewritten(t *testing.T) {
	t.Parallel()
	sinktest.RunLayouts(t, layout.Some(), func(t testing.TB, table sink.Table) sink.Writer {
		d := inMemory(t)
		d.cfg.PartitionBy = []config.Partition{{Column: "block_num", Bucket: 7}}
		return rewriting{d.open(t, table)}
	})
}

// rewriting is a Writer that handles what it has written once more.
type rewriting struct{ *delta.Writer }

func (r rewriting) Apply(ctx context.Context, changes []sink.Change) (sink.Applied, error) {
	applied, err := r.Writer.Apply(ctx, changes)
	if err != nil {
		return applied, err
	}
	// A reorg of the upper half, whose rows come again.
	fork := changes[0].Range.End / 2
	void := sink.Change{Header: entry.Header{Kind: entry.Invalidate, Epoch: 1, Range: block.Closed(fork, fork)}, Live: true, Seq: 1}
	again := sink.Change{Header: changes[0].Header, Live: true, Seq: 2, After: 1}
	again.Range.Start, again.Rows = fork, 0
	for _, rec := range changes[0].Records {
		blocks, err := sink.BlocksOf(rec, 0)
		if err != nil {
			return applied, err
		}
		above := rec.NewSlice(int64(blocks.Search(fork)), rec.NumRows())
		defer above.Release()
		again.Records, again.Rows = append(again.Records, above), again.Rows+int(above.NumRows())
	}
	for _, c := range []sink.Change{void, again} {
		if _, err := r.Writer.Apply(ctx, []sink.Change{c}); err != nil {
			return applied, err
		}
	}
	if _, err := r.Compact(ctx, false); err != nil {
		return applied, err
	}
	_, err = r.Preview(ctx, 5)
	return applied, err
}
