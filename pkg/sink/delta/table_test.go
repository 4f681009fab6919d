package delta_test

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/delta"
	"github.com/ampipe/ampipe/pkg/sink/delta/storage"
	"github.com/ampipe/ampipe/pkg/sink/delta/storage/storagetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, storagetest.Leak()) }

// table is a table in the making and where it lies.
type table struct {
	cfg   config.Delta
	store storage.Store
}

// defaults is a configuration without a place, as the reader of files returns it.
func defaults() config.Delta {
	return config.Delta{TargetFileSize: 128 << 20, MaxCommitDelay: time.Second, Compression: "zstd(1)", CheckpointEvery: 10}
}

// inFolder is a table in a folder of the test.
func inFolder(t testing.TB) *table {
	cfg := defaults()
	cfg.Path = t.TempDir() + "/table"
	return &table{cfg, storage.NewFolder(cfg.Path)}
}

// inMemory is a table in a bucket of this process.
func inMemory(t testing.TB) *table {
	store := storagetest.Memory()
	t.Cleanup(func() { _ = store.Close() })
	return &table{defaults(), store}
}

// in is a table in a kind of storage.
func in(t testing.TB, p storage.Place) *table {
	cfg := defaults()
	cfg.Path, cfg.URL, cfg.Endpoint = p.Path, p.URL, p.Endpoint
	store, err := storage.Open(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return &table{cfg, store}
}

// writer returns a Writer that is not open.
func (d *table) writer() *delta.Writer {
	if d.cfg.Path+d.cfg.URL == "" {
		return delta.NewOn(d.cfg, d.store)
	}
	return delta.New(d.cfg)
}

// open returns a Writer that is closed at the end of the test.
func (d *table) open(t testing.TB, as sink.Table) *delta.Writer {
	t.Helper()
	w := d.writer()
	if err := w.Open(context.Background(), as); err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return w
}
