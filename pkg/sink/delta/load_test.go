package delta

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/delta/deltalog"
	"github.com/ampipe/ampipe/pkg/sink/delta/storage"
	"github.com/ampipe/ampipe/pkg/sink/delta/storage/storagetest"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

func oneRow(n block.Number) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, sinktest.Schema)
	defer b.Release()
	b.Field(0).AppendNull()
	b.Field(1).(*array.Uint64Builder).Append(uint64(n))
	b.Field(2).(*array.Int32Builder).Append(0)
	b.Field(3).(*array.Int64Builder).Append(-1)
	return b.NewRecordBatch()
}

// TestCheckpointsSayWhatTheLogSays reads every version from the last checkpoint
// and the log, and by the checker from version 0. Hints are lost or wrong.
func TestCheckpointsSayWhatTheLogSays(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	store := storagetest.Memory()
	defer func() { _ = store.Close() }()
	w := NewOn(config.Delta{TargetFileSize: 1 << 20, Compression: "snappy", CheckpointEvery: 3}, store)
	table := sink.Table{Pipeline: "p", Sink: "s", Schema: sinktest.Schema, BlockColumn: 1}
	if err := w.Open(ctx, table); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	for i := range block.Number(20) {
		r := block.Range{Start: i, End: i + 1}
		c := sink.Change{Header: entry.Header{Kind: entry.Data, Epoch: 1, Range: r, End: r.End}, Live: true, Seq: uint64(i) + 1, After: uint64(i)}
		if i%4 != 3 {
			c.Rows, c.Records = 1, []arrow.RecordBatch{oneRow(i)}
		} else {
			c.Kind, c.Range = entry.Invalidate, block.Closed(i-2, i)
		}
		if _, err := w.Apply(ctx, []sink.Change{c}); err != nil {
			t.Fatal(err)
		}
		switch i {
		case 7:
			if err := store.Delete(ctx, deltalog.Folder+"_last_checkpoint"); err != nil {
				t.Fatal(err)
			}
		case 9:
			if err := store.Write(ctx, deltalog.Folder+"_last_checkpoint", strings.NewReader(`{"version": 4711}`), 17); err != nil {
				t.Fatal(err)
			}
		}
		s, err := deltalog.New(store).Refresh(ctx)
		if err != nil {
			t.Fatal(err)
		}
		files, err := Replay(ctx, store, -1)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for path := range s.Files.All() {
			got = append(got, path)
		}
		if want := slices.Sorted(maps.Keys(files)); !slices.Equal(got, want) {
			t.Errorf("version %d has the files %v, want %v", s.Version, got, want)
		}
		for path, a := range files {
			if have := s.Files.Get(path); have.Stats != a.Stats || have.Size != a.Size || !maps.Equal(have.Tags, a.Tags) {
				t.Errorf("version %d: %+v, want %+v", s.Version, have, a)
			}
		}
		seen, err := w.log.Refresh(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if s.Version != seen.Version || !maps.Equal(s.Txns, seen.Txns) || s.MetaData.SchemaString != seen.MetaData.SchemaString ||
			s.Removed.Len() != seen.Removed.Len() || s.Protocol.MinWriterVersion != 2 {
			t.Errorf("version %d as loaded is not what the writer made", s.Version)
		}
	}
	n := 0
	_ = store.List(ctx, deltalog.Folder, "", func(i storage.Info) error {
		if strings.HasSuffix(i.Name, ".checkpoint.parquet") {
			n++
		}
		return nil
	})
	if n != 6 {
		t.Errorf("%d checkpoints in 20 commits, want every third", n)
	}
}
