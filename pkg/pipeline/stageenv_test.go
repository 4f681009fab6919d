package pipeline_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/extract"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/apply"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
	"github.com/ampipe/ampipe/pkg/sqlcheck"
	"github.com/ampipe/ampipe/pkg/state"
)

// stageEnv runs the stages of pipelines inside the test, each as a proc with
// connections of its own, on one NATS server that listens on loopback.
type stageEnv struct {
	testing.TB
	dir     string
	address string // of NATS, the same over restarts
	nats    *queue.Server
	journal *journal
	procs   sync.WaitGroup
}

func newStageEnv(t testing.TB) *stageEnv {
	t.Helper()
	e := &stageEnv{TB: t, dir: t.TempDir(), address: fmt.Sprintf("127.0.0.1:%d", sinktest.FreePort(t)), journal: &journal{}}
	e.startNATS()
	t.Cleanup(func() {
		e.procs.Wait()
		if err := e.nats.Close(); err != nil {
			t.Errorf("close NATS: %v", err)
		}
		if t.Failed() {
			t.Logf("the end of the procs' log:\n%s", e.journal.tail(400))
		}
	})
	return e
}

func (e *stageEnv) startNATS() {
	e.Helper()
	server, err := queue.StartServer(context.Background(), queue.ServerConfig{
		Dir: filepath.Join(e.dir, "nats"), Listen: e.address, MaxStore: 20 << 30,
	})
	if err != nil {
		e.Fatal(err)
	}
	e.nats = server
}

func (e *stageEnv) restartNATS() {
	e.Helper()
	if err := e.nats.Close(); err != nil {
		e.Errorf("close NATS: %v", err)
	}
	e.startNATS()
}

// proc is a process of a pipeline that lives in the test.
type proc struct {
	name   string
	proxy  *proxy // to NATS
	cancel context.CancelCauseFunc
	done   chan struct{}
	err    error // why it ended; valid after done
}

var errKilled = errors.New("killed")

// grace is what a proc has when it is told to stop. A crash has none: kill cuts
// the proxy first.
const grace = time.Millisecond

// start runs a stage until it is killed.
func (e *stageEnv) start(name string, stage func(context.Context, *queue.Conn) error) *proc {
	ctx, cancel := context.WithCancelCause(context.Background())
	p := &proc{name: name, proxy: newProxy(e, e.address), cancel: cancel, done: make(chan struct{})}
	e.procs.Go(func() {
		defer close(p.done)
		defer p.proxy.cut()
		p.err = e.connected(ctx, p, stage)
	})
	return p
}

func (e *stageEnv) connected(ctx context.Context, p *proc, stage func(context.Context, *queue.Conn) error) error {
	var conn *queue.Conn
	err := fault.Retry(ctx, fault.Backoff{Min: 20 * time.Millisecond, Max: time.Second}, func(ctx context.Context) (err error) {
		conn, err = queue.Open(ctx, queue.Config{URL: "nats://" + p.proxy.address})
		return err
	}, nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	return stage(ctx, conn)
}

// kill ends a proc as a crash does: nothing that it still says is heard. It does
// not wait until the proc has noticed.
func (p *proc) kill() {
	p.proxy.cut()
	p.cancel(errKilled)
}

// stop tells procs to stop, as a signal does, and waits for them.
func stop(procs ...*proc) {
	for _, p := range procs {
		p.cancel(errKilled)
	}
	for _, p := range procs {
		<-p.done
	}
}

// testPipeline is one pipeline on a stageEnv.
type testPipeline struct {
	*stageEnv
	config *config.Pipeline
	size   uint64 // blocks of a partition
	entry  int    // most bytes of an entry; 0: what NATS takes
	retry  bool   // planners retry what has failed
}

func (w *testPipeline) logger(part string) zerolog.Logger {
	return zerolog.New(w.journal).With().Timestamp().Str("pipeline", w.config.Name).Str("part", part).Logger()
}

// open opens what is in NATS, which may be away.
func (w *testPipeline) open(ctx context.Context, c *queue.Conn) (log *queue.Log, tasks *queue.Tasks, state *queue.State, err error) {
	err = fault.Retry(ctx, quickly, func(ctx context.Context) (err error) {
		if log, err = c.Log(ctx, w.config.Name, queue.LogConfig{MaxBytes: w.config.Log.MaxBytes}); err != nil {
			return err
		}
		if tasks, err = c.Tasks(ctx, w.config.Name); err != nil {
			return err
		}
		state, err = c.State(ctx, w.config.Name)
		return err
	}, nil)
	return log, tasks, state, err
}

func (w *testPipeline) source(ctx context.Context) (*amp.Client, error) {
	return amp.Open(ctx, amp.Config{URL: w.config.Source.Amp, Recycle: true})
}

// quickly is how procs try again: tests have no time.
var quickly = fault.Backoff{Attempts: 1000, Min: 5 * time.Millisecond, Max: 300 * time.Millisecond}

// planner plans the pipeline and watches over it.
func (w *testPipeline) planner(ctx context.Context, c *queue.Conn) error {
	log, tasks, kv, err := w.open(ctx, c)
	if err != nil {
		return err
	}
	source, err := w.source(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }() // nothing is in flight
	p := &plan.Planner{
		Source: source, State: kv, Tasks: tasks, Log: log, Config: w.config,
		Every: 20 * time.Millisecond, Retry: w.retry, Logger: w.logger("planner"),
	}
	var spec state.Spec
	err = fault.Retry(ctx, quickly, func(ctx context.Context) error {
		checked, err := plan.Check(ctx, source, w.config)
		if err == nil {
			spec, err = p.Plan(ctx, checked)
		}
		return err
	}, nil)
	if err != nil {
		return err
	}
	_, err = p.Run(ctx, spec, w.size)
	return err
}

// plan waits until the planner has planned.
func (w *testPipeline) plan(ctx context.Context, kv *queue.State) (spec state.Spec, table sink.Table, err error) {
	err = fault.Retry(ctx, quickly, func(ctx context.Context) (err error) {
		spec, _, err = kv.WaitSpec(ctx)
		return err
	}, nil)
	if err != nil {
		return spec, table, err
	}
	schema, err := entry.UnmarshalSchema(spec.Schema)
	if err != nil {
		return spec, table, err
	}
	return spec, sink.Table{
		Pipeline: w.config.Name, Schema: schema, BlockColumn: schema.FieldIndices(spec.BlockColumn)[0],
		Epoch: spec.Epoch, Network: spec.Network,
	}, nil
}

// extractor reads partitions and the live chain.
func (w *testPipeline) extractor(ctx context.Context, c *queue.Conn) error {
	log, tasks, state, err := w.open(ctx, c)
	if err != nil {
		return err
	}
	spec, table, err := w.plan(ctx, state)
	if err != nil {
		return err
	}
	query, err := sqlcheck.Parse(spec.Query)
	if err != nil {
		return err
	}
	source, err := w.source(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }() // nothing is in flight
	limit := c.EntryLimit()
	if w.entry > 0 {
		limit = min(limit, w.entry)
	}
	return (&extract.Extractor{
		Source: source, Tasks: tasks, Log: log, State: state,
		Spec: spec, Query: query, Schema: table.Schema, Column: table.BlockColumn,
		Workers: w.config.Extract.Workers, Backoff: quickly, Codec: entry.Codec(w.config.Log.Compression),
		EntryBytes: w.config.Log.EntryBytes, EntryLimit: limit, Grace: grace, NotYet: 20 * time.Millisecond,
		Logger: w.logger("extractor"),
	}).Run(ctx)
}

// sink applies the log to a destination. troubled, if not nil, stands between it and
// the log.
func (w *testPipeline) sink(name string, open func() sink.Writer, troubled func(apply.Source) apply.Source) func(context.Context, *queue.Conn) error {
	return func(ctx context.Context, c *queue.Conn) error {
		log, _, state, err := w.open(ctx, c)
		if err != nil {
			return err
		}
		_, table, err := w.plan(ctx, state)
		if err != nil {
			return err
		}
		table.Sink = name
		writer := open()
		defer func() { _ = writer.Close() }() // what counts is committed
		if err := fault.Retry(ctx, quickly, func(ctx context.Context) error { return writer.Open(ctx, table) }, nil); err != nil {
			return err
		}
		loop := &apply.Loop{
			Writer: writer, Table: table, Reports: state,
			Writers: 2, Wait: 5 * time.Millisecond, StageTime: 200 * time.Millisecond, Grace: grace, Backoff: quickly, Logger: w.logger("sink " + name),
		}
		for _, lanes := range []queue.Lanes{queue.History, queue.Live} {
			var consumer *queue.Consumer
			err := fault.Retry(ctx, quickly, func(ctx context.Context) (err error) {
				consumer, err = log.Consume(ctx, name, queue.ConsumeOptions{Lanes: lanes})
				return err
			}, nil)
			if err != nil {
				return err
			}
			defer consumer.Close()
			var from apply.Source = consumer
			if troubled != nil {
				from = troubled(from)
			}
			if lanes == queue.Live {
				loop.Live = from
			} else {
				loop.Source = from
			}
		}
		rejoiner := apply.NewRejoiner(name, log)
		loop.Rejoin = rejoiner.Requests()
		replayer := &apply.Replayer{Loop: *loop, Requests: state, Log: log, Worker: rand.Text(), Every: 100 * time.Millisecond, Lost: 500 * time.Millisecond}
		replays, end := context.WithCancel(ctx)
		var replaying sync.WaitGroup
		replaying.Go(func() { replayer.Run(replays) })
		replaying.Go(func() { followPlan(replays, state, rejoiner) })
		defer replaying.Wait()
		defer end()
		return loop.Run(ctx)
	}
}

// followPlan passes on what the plan asks of a sink, until ctx ends.
func followPlan(ctx context.Context, kv *queue.State, rejoiner *apply.Rejoiner) {
	for fault.Sleep(ctx, 5*time.Millisecond) == nil {
		_ = kv.WatchSpec(ctx, func(spec state.Spec, _ uint64) error { return rejoiner.Follow(ctx, spec) }) // it is tried again
	}
}

// proxy carries TCP connections to a server until it is cut.
type proxy struct {
	address string
	target  string
	entry   net.Listener
	deaf    atomic.Int64 // connections up to this one carry nothing any more

	refusing atomic.Bool  // no connection stands
	slowness atomic.Int64 // nanoseconds that each piece of data takes, of up to 32 KiB
	narrows  atomic.Int64 // bytes that each direction of a connection carries in a second; 0: as many as come

	mu     sync.Mutex
	isCut  bool
	thawed chan struct{} // closed when what is frozen moves again; nil: nothing is frozen
	conns  []net.Conn
	copies sync.WaitGroup
}

func newProxy(t testing.TB, target string) *proxy {
	t.Helper()
	entry, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{address: entry.Addr().String(), target: target, entry: entry}
	p.copies.Go(func() {
		for number := int64(1); ; number++ {
			from, err := entry.Accept()
			if err != nil {
				return
			}
			if p.refusing.Load() {
				_ = from.Close()
				continue
			}
			network := "tcp"
			if strings.HasPrefix(target, "/") {
				network = "unix"
			}
			to, err := net.Dial(network, target)
			if err != nil {
				_ = from.Close()
				continue
			}
			if !p.add(from, to) {
				return
			}
			for _, ends := range [][2]net.Conn{{from, to}, {to, from}} { // closed ones end at once
				p.copies.Go(func() {
					_, _ = io.Copy(wire{ends[0], p, number}, ends[1]) // it ends when either end is closed
					_ = ends[0].Close()
					_ = ends[1].Close()
				})
			}
		}
	})
	return p
}

// wire is one direction of a connection.
type wire struct {
	net.Conn
	proxy  *proxy
	number int64
}

func (w wire) Write(b []byte) (int, error) {
	if w.proxy.deaf.Load() >= w.number {
		return len(b), nil
	}
	w.proxy.mu.Lock()
	thawed := w.proxy.thawed
	w.proxy.mu.Unlock()
	if thawed != nil {
		<-thawed
	}
	time.Sleep(time.Duration(w.proxy.slowness.Load()))
	sent := 0
	for {
		piece := len(b) - sent
		if width := w.proxy.narrows.Load(); width > 0 {
			piece = min(piece, max(1, int(width/10)))
			time.Sleep(time.Duration(piece) * time.Second / time.Duration(width))
		}
		n, err := w.Conn.Write(b[sent : sent+piece])
		sent += n
		if err != nil || sent == len(b) {
			return sent, err
		}
	}
}

// freeze lets nothing pass until thaw, or until the proxy is cut; connections stand,
// and nothing of what was sent is lost.
func (p *proxy) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.thawed == nil && !p.isCut {
		p.thawed = make(chan struct{})
	}
}

func (p *proxy) thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.thawed != nil {
		close(p.thawed)
		p.thawed = nil
	}
}

// deafen makes every connection half-open: both ends believe that it stands, and
// nothing passes. New ones work. It tells how many there were.
func (p *proxy) deafen() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deaf.Store(int64(len(p.conns) / 2))
	return len(p.conns) / 2
}

// add keeps connections to be cut; if that has happened it closes them.
func (p *proxy) add(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.isCut && !p.refusing.Load() {
		p.conns = append(p.conns, conns...)
		return true
	}
	for _, conn := range conns {
		_ = conn.Close()
	}
	return !p.isCut
}

// refuse breaks every connection, and those to come until allow.
func (p *proxy) refuse() {
	p.refusing.Store(true)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.conns {
		_ = conn.Close()
	}
	p.conns = nil
}

func (p *proxy) allow() { p.refusing.Store(false) }

// slow has everything take so much longer; 0 ends that.
func (p *proxy) slow(by time.Duration) { p.slowness.Store(int64(by)) }

// narrow has every direction of every connection carry so many bytes a second; 0 ends that.
func (p *proxy) narrow(bytes int64) { p.narrows.Store(bytes) }

// cut breaks every connection, and those to come, and waits until nothing passes.
func (p *proxy) cut() {
	p.thaw()
	p.mu.Lock()
	p.isCut = true
	_ = p.entry.Close()
	for _, conn := range p.conns {
		_ = conn.Close()
	}
	p.mu.Unlock()
	p.copies.Wait()
}

// journal keeps the last lines that the procs log.
type journal struct {
	mu    sync.Mutex
	lines []string
}

const journalLines = 4000

func (j *journal) Write(line []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.lines) >= 2*journalLines {
		j.lines = append([]string(nil), j.lines[journalLines:]...)
	}
	j.lines = append(j.lines, string(bytes.TrimRight(line, "\n")))
	return len(line), nil
}

// tail returns the last n lines.
func (j *journal) tail(n int) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.lines[max(0, len(j.lines)-n):], "\n")
}
