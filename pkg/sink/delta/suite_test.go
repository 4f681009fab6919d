package delta_test

import (
	"context"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/delta"
	"github.com/ampipe/ampipe/pkg/sink/delta/storage/storagetest"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// destination is a table for the suite that every destination has to pass.
type destination struct{ *table }

func (d destination) Writer(testing.TB) sink.Writer { return d.writer() }

// Refused is text that is not UTF-8.
func (d destination) Refused() (sinktest.Row, string) { return sinktest.Row{Key: "a\xff"}, "key" }

// Rows replays the log by the checker, which shares nothing with the writer, and
// reads the files that it finds.
func (d destination) Rows(ctx context.Context) ([]sinktest.Row, error) {
	var rows []sinktest.Row
	err := delta.Scan(ctx, d.store, -1, func(rec arrow.RecordBatch) error {
		key, number := rec.Column(0).(*array.String), rec.Column(1).(*array.Int64)
		index, value := rec.Column(2).(*array.Int32), rec.Column(3).(*array.Int64)
		for i := range int(rec.NumRows()) {
			rows = append(rows, sinktest.Row{Key: key.Value(i), Block: block.Number(number.Value(i)), Index: index.Value(i), Value: value.Value(i)})
		}
		return nil
	})
	return rows, err
}

func TestSuiteInAFolder(t *testing.T) {
	t.Parallel()
	sinktest.RunAppend(t, func(t testing.TB, _ sinktest.Setup) sinktest.Destination { return destination{inFolder(t)} })
}

// TestSuiteInBuckets does not run in a folder again, nor on MinIO, which is slow
// and is what the fake imitates.
func TestSuiteInBuckets(t *testing.T) {
	for _, k := range storagetest.Kinds() {
		if k.Name == "folder" || k.Name == "MinIO" {
			continue
		}
		t.Run(k.Name, func(t *testing.T) {
			k.Place(t) // credentials can be set here only
			sinktest.RunAppend(t, func(t testing.TB, _ sinktest.Setup) sinktest.Destination { return destination{in(t, k.Place(t))} })
		})
	}
}
