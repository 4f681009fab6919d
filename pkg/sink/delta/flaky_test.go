package delta_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/delta"
	"github.com/ampipe/ampipe/pkg/sink/delta/deltalog"
	"github.com/ampipe/ampipe/pkg/sink/delta/storage"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// flaky is a storage whose connections can be cut: operations fail, in turns
// before they were done and after, when only the answer is lost.
type flaky struct {
	storage.Store

	mu   sync.Mutex
	cut  int // operations that are still to fail
	turn int
	only string // kind of operation; empty: all
}

var errCut = errors.New("the connection was cut")

// through does an operation, or cuts it off.
func (f *flaky) through(kind string, do func() error) error {
	f.mu.Lock()
	fails := f.cut > 0 && (f.only == "" || f.only == kind)
	after := false
	if fails {
		f.cut--
		f.turn++
		after = f.turn%2 == 1
	}
	f.mu.Unlock()
	if fails && !after {
		return errCut
	}
	err := do()
	if fails {
		return errCut
	}
	return err
}

func (f *flaky) fail(n int, only string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cut, f.only = n, only
}

func (f *flaky) Create(ctx context.Context, name string, content []byte) error {
	return f.through("create", func() error { return f.Store.Create(ctx, name, content) })
}

func (f *flaky) Write(ctx context.Context, name string, r io.ReaderAt, size int64) error {
	kind := "write"
	if strings.HasPrefix(name, deltalog.Folder) {
		kind = "checkpoint"
	}
	return f.through(kind, func() error { return f.Store.Write(ctx, name, r, size) })
}

func (f *flaky) Read(ctx context.Context, name string) (content []byte, err error) {
	return content, f.through("read", func() error { content, err = f.Store.Read(ctx, name); return err })
}

func (f *flaky) Open(ctx context.Context, name string) (file storage.File, err error) {
	err = f.through("open", func() error { file, err = f.Store.Open(ctx, name); return err })
	if err != nil && file != nil {
		_ = file.Close()
	}
	return file, err
}

func (f *flaky) Delete(ctx context.Context, name string) error {
	return f.through("delete", func() error { return f.Store.Delete(ctx, name) })
}

// onFlaky is a table on such a storage, and without cuts in between.
func onFlaky(t testing.TB) (*table, *flaky) {
	d := inMemory(t)
	f := &flaky{Store: d.store}
	return &table{d.cfg, f}, f
}

// cutDestination loses its connections when the suite asks for it.
type cutDestination struct {
	destination
	flaky *flaky
}

func (d cutDestination) Kill(testing.TB) { d.flaky.fail(5, "") }

func (d cutDestination) Rows(ctx context.Context) ([]sinktest.Row, error) {
	d.flaky.fail(0, "")
	return d.destination.Rows(ctx)
}

func TestSuiteWithCuts(t *testing.T) {
	t.Parallel()
	sinktest.RunAppend(t, func(t testing.TB, _ sinktest.Setup) sinktest.Destination {
		d, f := onFlaky(t)
		return cutDestination{destination{d}, f}
	})
}

// TestALostAnswerIsNoSecondCommit loses the answer to each kind of operation of a
// commit, and commits the same stage again.
func TestALostAnswerIsNoSecondCommit(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"create", "write", "read", "checkpoint"} {
		for failures := 1; failures <= 4; failures++ {
			d, f := onFlaky(t)
			d.cfg.CheckpointEvery = 1
			w := d.open(t, suiteTable())
			other := &teller{t: t, w: d.open(t, suiteTable())}
			g := newStaging(t, w)
			stage(t, g, history(0, 10))
			f.fail(failures, kind)
			tries := 0
			for {
				_, err := g.Commit(t.Context())
				if err == nil {
					break
				}
				if fault.Of(err) == fault.ClassPermanent {
					t.Fatal(err)
				}
				if errors.Is(err, sink.ErrRestage) {
					stage(t, g, history(0, 10))
				}
				tries++
				if tries > 10 {
					t.Fatalf("%s: %v", kind, err)
				}
			}
			f.fail(0, "")
			other.history(10, 20)
			if got := rowsOf(t, d); !slices.Equal(got, sorted(blockRows(block.Range{End: 20}, 0))) {
				t.Errorf("%d cuts of %s: %d rows", failures, kind, len(got))
			}
			if err := delta.Scan(t.Context(), d.store, -1, nil); err != nil {
				t.Errorf("%d cuts of %s: %v", failures, kind, err)
			}
		}
	}
}
