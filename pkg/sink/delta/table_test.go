package delta_test

import (
	"context"
	"crypto/rand"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"go.uber.org/goleak"
	"gocloud.dev/blob/memblob"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/delta"
	"github.com/ampipe/ampipe/pkg/sink/delta/storage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// table is a table in the making and where it lies.
type table struct {
	cfg   config.Delta
	store storage.Store
}

// defaults is a configuration without a place, as the reader of files gives it.
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
	store := storage.NewBucket(memblob.OpenBucket(nil), "memory", "")
	t.Cleanup(func() { _ = store.Close() })
	return &table{defaults(), store}
}

// fakeS3 starts a server and gives its address. It has the bucket "lake".
func fakeS3(t testing.TB) string {
	backend := s3mem.New()
	if err := backend.CreateBucket("lake"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gofakes3.New(backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server())
	t.Cleanup(server.Close)
	return server.URL
}

// onS3 is a table on a server that speaks S3.
func onS3(t testing.TB, endpoint string) *table {
	cfg := defaults()
	cfg.URL, cfg.Endpoint = "s3://lake/folder/"+strings.ToLower(rand.Text()), endpoint
	return &table{cfg, place(t, storage.Place{URL: cfg.URL, Endpoint: cfg.Endpoint})}
}

func place(t testing.TB, p storage.Place) storage.Store {
	store, err := storage.Open(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

// writer gives a Writer that is not open.
func (d *table) writer() *delta.Writer {
	if d.cfg.Path+d.cfg.URL == "" {
		return delta.NewOn(d.cfg, d.store)
	}
	return delta.New(d.cfg)
}

// open gives a Writer that is closed at the end of the test.
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

// credentials are of the servers of these tests.
func credentials(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "minioadmin")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "minioadmin")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
}
