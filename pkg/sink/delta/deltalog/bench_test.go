package deltalog

import (
	"fmt"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/sink/delta/storage"
)

// BenchmarkCheckpoint writes and reads the checkpoint of a table of many files.
func BenchmarkCheckpoint(b *testing.B) {
	s := emptySnapshot()
	day := "2026-01-01"
	actions := []Action{{Protocol: &Protocol{MinReaderVersion: 1, MinWriterVersion: 2}},
		{MetaData: &MetaData{ID: "x", Format: Format{Provider: "parquet"}, SchemaString: `{"type":"struct","fields":[]}`}}}
	for i := range 50_000 {
		path := fmt.Sprintf("day=%s/part-%026d.parquet", day, i)
		actions = append(actions, Action{Add: &Add{Path: path, PartitionValues: map[string]*string{"day": &day}, Size: 1 << 27,
			ModificationTime: 1_700_000_000_000, Stats: `{"numRecords":1000,"minValues":{"block_num":1},"maxValues":{"block_num":2},"nullCount":{"block_num":0}}`,
			Tags: map[string]string{"ampipe.minBlock": "100", "ampipe.maxBlock": "200"}}})
	}
	s.play(0, actions)
	store := storage.NewFolder(b.TempDir())
	log := New(store)
	if err := log.Checkpoint(b.Context(), s, time.Unix(1e9, 0)); err != nil {
		b.Fatal(err)
	}
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := log.Checkpoint(b.Context(), s, time.Unix(1e9, 0)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			again, err := New(store).Refresh(b.Context())
			if err != nil || again.Files.Len() != 50_000 {
				b.Fatal(err)
			}
		}
	})
}
