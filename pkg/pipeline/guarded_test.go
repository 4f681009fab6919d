package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/pipeline"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/queue/queuetest"
	"github.com/ampipe/ampipe/pkg/state"
)

func TestMain(m *testing.M) {
	queuetest.RunNode()
	os.Exit(m.Run())
}

// guarded is a pipeline whose processes work as the commands do, each with the
// credentials of its own, on NATS servers with the shipped configuration.
type guarded struct {
	*testing.T
	dir      string
	amp      string
	nats     string
	replicas int
	shipped  *queuetest.Shipped
	chain    *modelChain
	journal  journal
	running  map[string]*guardedProcess
}

// guardedProcess is one process of a guarded pipeline.
type guardedProcess struct {
	stop context.CancelCauseFunc
	done chan error
}

var guardedSinks = []string{"warehouse", "lake", "cache"}

func newGuarded(t *testing.T, shipped *queuetest.Shipped, url string, replicas int) *guarded {
	g := &guarded{
		T: t, dir: t.TempDir(), nats: url, replicas: replicas, shipped: shipped, running: map[string]*guardedProcess{},
		chain: &modelChain{Chain: amptest.NewChain(amptest.Network, modelSchema), random: rand.New(rand.NewPCG(3, 1))},
	}
	g.chain.extend(g.chain.build(0, 1001))
	g.amp = amptest.Start(t, func(q amptest.Query) amptest.Answer {
		if q.Stream() {
			return g.chain.Answer(q)
		}
		return batch(g.chain.Chain, q.SQL)
	}).URL()
	t.Cleanup(func() {
		for name := range g.running {
			g.stop(name)
		}
		if t.Failed() {
			t.Logf("the end of the log:\n%s", g.journal.tail(200))
		}
	})
	return g
}

// load reads the configuration of a process that works as a user.
func (g *guarded) load(user string) *config.Pipeline {
	g.Helper()
	text := fmt.Sprintf(`
pipeline: guarded
source: { amp: %q, query: "SELECT * FROM model.rows" }
range: { reorg_buffer: 50, partition_size: 100 }
nats: { url: %q, user: %s, password_file: %q, replicas: %d }
extract: { workers: 2 }
log: { max_bytes: 256MiB, compression: none, entry_bytes: 64KiB, replay: 10s }
sinks:
`, g.amp, g.nats, user, g.shipped.PasswordFile(user), g.replicas)
	for _, name := range guardedSinks {
		text += fmt.Sprintf("  - { name: %s, delta: { path: %q, max_commit_delay: 200ms, checkpoint_every: 100 } }\n", name, filepath.Join(g.dir, name))
	}
	all, err := config.Parse(filepath.Join(g.dir, "pipeline.yaml"), []byte(text), func(string) string { return "" })
	if err != nil {
		g.Fatal(err)
	}
	return all[0]
}

// run works as a process of that role until ctx ends.
func (g *guarded) run(ctx context.Context, role, user string) error {
	p := g.load(user)
	o := pipeline.Options{Destinations: allDestinations(), Logger: zerolog.New(&g.journal).With().Timestamp().Str("process", role).Logger(), Out: io.Discard}
	switch role {
	case "planner":
		return pipeline.RunPlanner(ctx, p, o)
	case "extractor":
		return pipeline.RunExtractor(ctx, p, o)
	case "operator":
		return pipeline.Check(ctx, p, o)
	}
	for _, sink := range p.Sinks {
		if role == "sink-"+sink.Name {
			return pipeline.RunSink(ctx, p, sink, o)
		}
	}
	g.Fatalf("no process has the role %s", role)
	return nil
}

// start starts a process. Several of a role are numbered: "extractor 2".
func (g *guarded) start(name string) {
	ctx, stop := context.WithCancelCause(context.Background())
	p := &guardedProcess{stop: stop, done: make(chan error, 1)}
	role, _, _ := strings.Cut(name, " ")
	go func() { p.done <- g.run(ctx, role, role) }()
	g.running[name] = p
}

// stop stops a process as a signal does.
func (g *guarded) stop(name string) {
	p := g.running[name]
	delete(g.running, name)
	p.stop(ops.ErrInterrupted)
	if err := <-p.done; err != nil && !errors.Is(err, ops.ErrInterrupted) {
		g.Errorf("%s ended with %v", name, err)
	}
}

// check fails if a process has ended by itself.
func (g *guarded) check() {
	g.Helper()
	for name, p := range g.running {
		select {
		case err := <-p.done:
			delete(g.running, name)
			g.Fatalf("%s ended by itself: %v", name, err)
		default:
		}
	}
}

func (g *guarded) open(role string) *queue.Conn {
	g.Helper()
	var conn *queue.Conn
	limited, cancel := context.WithTimeout(g.Context(), time.Minute)
	defer cancel()
	err := fault.Retry(limited, quickly, func(ctx context.Context) (err error) {
		conn, err = queue.Open(ctx, queue.Config{
			URL: g.nats, Role: role, User: role, Password: g.shipped.Password(role), Replicas: g.replicas, MustExist: true,
		})
		return err
	}, nil)
	if err != nil {
		g.Fatal(err)
	}
	return conn
}

// settle waits until every sink has reported the head of the chain, in the plan's epoch.
func (g *guarded) settle(within time.Duration) {
	g.Helper()
	head := g.chain.Head()
	conn := g.open("operator")
	defer conn.Close()
	for limit := time.Now().Add(within); ; <-time.After(50 * time.Millisecond) {
		g.check()
		behind := ""
		kv, err := conn.State(g.Context(), "guarded")
		var spec state.Spec
		if err == nil {
			spec, _, err = kv.LoadSpec(g.Context())
		}
		for _, name := range guardedSinks {
			if err != nil {
				break
			}
			var report state.SinkReport
			report, _, err = kv.Report(g.Context(), name)
			if report.Live.Cursor != head || report.Live.Epoch != spec.Epoch || !report.Coverage.Covers(block.Closed(0, head.Number)) {
				behind += fmt.Sprintf("; sink %s is at %+v, the head is %+v", name, report.Live.Cursor, head)
			}
		}
		switch {
		case err == nil && behind == "":
			return
		case time.Now().After(limit):
			g.Fatalf("it never came to the head: %s, %v", behind, err)
		}
	}
}

// verify compares source and destinations.
func (g *guarded) verify() {
	g.Helper()
	var out strings.Builder
	if err := pipeline.Verify(g.Context(), g.load("operator"), pipeline.Options{Destinations: allDestinations(), Out: &out}); err != nil {
		g.Errorf("%v\n%s", err, out.String())
	}
	if n := strings.Count(out.String(), "are equal in source and destination"); n != len(guardedSinks) {
		g.Errorf("verify says\n%s", out.String())
	}
}

// TestEachProcessWithItsOwnRights loads a history, follows a chain that reorgs and
// restarts every process, all with the permissions that are shipped.
func TestEachProcessWithItsOwnRights(t *testing.T) {
	t.Parallel()
	shipped := queuetest.Ship(t)
	g := newGuarded(t, shipped, shipped.Server().ClientURL(), 1)
	processes := []string{"sink-warehouse", "sink-lake", "sink-cache", "sink-lake 2", "extractor", "extractor 2", "planner"}
	for _, name := range processes { // the planner, without whom nobody can begin, comes last
		g.start(name)
	}
	g.settle(time.Minute)
	g.chain.reorg(8)
	g.settle(time.Minute)
	for _, name := range processes {
		g.stop(name)
		g.chain.extend(g.chain.build(g.chain.head()+1, 2))
		g.start(name)
		g.chain.reorg(3)
	}
	g.settle(time.Minute)
	if err := g.run(t.Context(), "operator", "operator"); err != nil {
		t.Errorf("ampipe check: %v", err)
	}

	// An epoch begins in a lane that the planner has emptied.
	conn := g.open("planner")
	defer conn.Close()
	state, err := conn.State(t.Context(), "guarded")
	if err != nil {
		t.Fatal(err)
	}
	spec, rev, err := state.LoadSpec(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	spec.Epoch++
	if _, err := state.SaveSpec(t.Context(), spec, rev); err != nil {
		t.Fatal(err)
	}
	g.settle(time.Minute)
	g.verify()

	// With the credentials of another nobody gets as far as to wait.
	for _, role := range queuetest.Users {
		for _, user := range queuetest.Users {
			if role == user || role == "monitoring" {
				continue
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			err := g.run(ctx, role, user)
			cancel()
			if fault.Of(err) != fault.ClassPermanent || !strings.Contains(err.Error(), "NATS does not allow user") {
				t.Errorf("%s with the credentials of %s: %v", role, user, err)
			}
		}
	}
}
