package pipeline_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/pipeline"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/sinktest/memsink"
)

// connector is a destination that notes what is called, and can connect before it is opened.
type connector struct {
	sink.Writer
	connect   func(context.Context) error
	open      func()
	connected atomic.Int32
	opened    atomic.Int32
	closed    atomic.Int32
}

func (c *connector) Connect(ctx context.Context, t sink.Table) error {
	c.connected.Add(1)
	if t.Schema == nil || t.Sink != "store" || t.Network != amptest.Network {
		return errors.New("the table is not known")
	}
	return c.connect(ctx)
}

func (c *connector) Open(ctx context.Context, t sink.Table) error {
	c.opened.Add(1)
	c.open()
	return c.Writer.Open(ctx, t)
}

func (c *connector) Close() error {
	c.closed.Add(1)
	return c.Writer.Close()
}

// starts is a pipeline of six blocks that is started.
type starts struct {
	*testing.T
	amp   *amptest.Server
	store *memsink.Store
	sink  *connector
}

func newStarts(t *testing.T) *starts {
	chain := amptest.NewChain(amptest.Network, amptest.Schema)
	chain.Extend(amptest.Made(block.Range{End: 8}, 0)...)
	s := &starts{T: t, store: &memsink.Store{}, amp: amptest.NewServer(func(q amptest.Query) amptest.Answer { return batch(chain, q.SQL) })}
	t.Cleanup(s.amp.Stop)
	s.sink = &connector{Writer: s.store.Writer(), connect: func(context.Context) error { return nil }, open: func() {}}
	return s
}

// pipelines returns the pipeline, on the NATS servers that are configured.
func (s *starts) pipelines(nats string) []*config.Pipeline {
	s.Helper()
	pipelines, err := config.Parse(filepath.Join(s.TempDir(), "pipeline.yaml"), []byte(`
pipeline: hashes
source: { amp: "`+s.amp.URL()+`", query: "SELECT _block_num, hash FROM eth_rpc.blocks" }
range: { min_block: 0, max_block: 6, reorg_buffer: 2 }
nats: `+nats+`
log: { max_bytes: 64MiB }
sinks: [ { name: store, custom: { kind: memory } } ]
`), func(string) string { return "" })
	if err != nil {
		s.Fatal(err)
	}
	return pipelines
}

// run runs the pipeline on the NATS servers that are configured.
func (s *starts) run(ctx context.Context, nats string) error {
	s.Helper()
	memory := sink.Custom("memory", func(struct{}) (sink.Writer, error) { return s.sink, nil })
	return pipeline.Run(ctx, s.pipelines(nats), pipeline.Options{Destinations: []sink.Destination{memory}})
}

// decide sets the faults of all queries.
func (s *starts) decide(fault func(amptest.Query) amptest.Fault) {
	for range 100 {
		s.amp.Next(fault)
	}
}

// isSample reports whether a query reads rows.
func isSample(q amptest.Query) bool { return strings.Contains(q.SQL, "ORDER BY") }

// within returns a context in which a start that waits in vain ends.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// TestADestinationConnectsWhileTheSampleIsTaken: the sample is not answered before. Nothing is
// made in it before the sample is there.
func TestADestinationConnectsWhileTheSampleIsTaken(t *testing.T) {
	t.Parallel()
	s := newStarts(t)
	connected, asked := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.decide(func(q amptest.Query) amptest.Fault {
		if !isSample(q) {
			return amptest.Pass()
		}
		once.Do(func() { close(asked) })
		return amptest.Delay(connected)
	})
	s.sink.connect = func(ctx context.Context) error {
		select {
		case <-asked:
		case <-ctx.Done():
			t.Error("the sample is not taken while the destination connects")
		}
		if s.sink.opened.Load() > 0 {
			t.Error("the destination was opened before the sample was there")
		}
		close(connected)
		return nil
	}
	if err := s.run(within(t), "{ embedded: ./nats }"); err != nil {
		t.Fatal(err)
	}
	if rows, closed := len(s.store.Rows()), s.sink.closed.Load(); rows != 6 || closed != 1 {
		t.Errorf("%d rows, want 6; closed %d times, want once", rows, closed)
	}
}

// TestADestinationThatDoesNotConnectIsOpened, which says what is wrong if it still is.
func TestADestinationThatDoesNotConnectIsOpened(t *testing.T) {
	t.Parallel()
	s := newStarts(t)
	s.sink.connect = func(context.Context) error { return errors.New("not yet") }
	if err := s.run(within(t), "{ embedded: ./nats }"); err != nil {
		t.Fatal(err)
	}
	if rows := len(s.store.Rows()); rows != 6 {
		t.Errorf("%d rows, want 6", rows)
	}
}

// TestARefusedQueryOpensNoDestination, whether the server refuses it at once or when rows are
// read.
func TestARefusedQueryOpensNoDestination(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault    func(amptest.Query) amptest.Fault
		says     string
		connects int32
	}{
		"planned": {func(amptest.Query) amptest.Fault {
			return amptest.Refuse(codes.InvalidArgument, "Schema error: No field named hash")
		}, "No field named hash", 0},
		"run": {func(q amptest.Query) amptest.Fault {
			if !isSample(q) {
				return amptest.Pass()
			}
			return amptest.FailAfter(1, codes.Internal, "query execution error | Caused by: Error during planning: evm_decode_hex: expected Array")
		}, "expected Array", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStarts(t)
			s.decide(c.fault)
			err := s.run(within(t), "{ embedded: ./nats }")
			if ops.ExitCode(err) != ops.ExitConfig || !strings.Contains(err.Error(), c.says) {
				t.Errorf("it ended with %v, want exit code %d", err, ops.ExitConfig)
			}
			if s.sink.opened.Load() != 0 || s.sink.connected.Load() != c.connects || s.sink.closed.Load() != 1 {
				t.Errorf("connected %d times, opened %d, closed %d, want %d, 0 and 1",
					s.sink.connected.Load(), s.sink.opened.Load(), s.sink.closed.Load(), c.connects)
			}
		})
	}
}

// TestAmpIsAskedWhileNATSIsAway: its answers are there when NATS comes up.
func TestAmpIsAskedWhileNATSIsAway(t *testing.T) {
	t.Parallel()
	s := newStarts(t)
	ctx, stop := context.WithCancel(within(t))
	defer stop()
	s.sink.connect = func(context.Context) error { // once the query is checked
		stop()
		return nil
	}
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer nobody.Close()
	if err := s.run(ctx, `{ url: "nats://`+nobody.Addr().String()+`" }`); !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	if s.sink.connected.Load() != 1 || s.sink.opened.Load() != 0 || s.sink.closed.Load() != 1 {
		t.Errorf("connected %d times, opened %d, closed %d", s.sink.connected.Load(), s.sink.opened.Load(), s.sink.closed.Load())
	}
}

// unprunable is a destination that could be pruned if it could be opened.
type unprunable struct{ *connector }

func (u *unprunable) OpenStored(context.Context, sink.Table) error {
	return errors.New("the table is not there")
}

func (u *unprunable) Prune(context.Context, sink.PruneOptions) (sink.Pruned, error) {
	return sink.Pruned{}, errors.New("it was pruned all the same")
}

// TestPruneClosesADestinationThatDoesNotOpen once.
func TestPruneClosesADestinationThatDoesNotOpen(t *testing.T) {
	t.Parallel()
	s := newStarts(t)
	memory := sink.Custom("memory", func(struct{}) (sink.Writer, error) { return &unprunable{s.sink}, nil })
	err := pipeline.Prune(within(t), s.pipelines("{ embedded: ./nats }")[0],
		pipeline.Options{Destinations: []sink.Destination{memory}}, pipeline.PruneOptions{Sink: "store", Before: 2})
	if err == nil || !strings.Contains(err.Error(), "the table is not there") {
		t.Errorf("it ended with %v", err)
	}
	if closed := s.sink.closed.Load(); closed != 1 {
		t.Errorf("closed %d times, want once", closed)
	}
}
