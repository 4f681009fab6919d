package extract_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/extract"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sqlcheck"
	"github.com/ampipe/ampipe/pkg/state"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// env is an extractor on a queue of its own.
type env struct {
	t      *testing.T
	x      *extract.Extractor
	server *queue.Server
	chain  *chain
	log    *queue.Log
	state  *queue.State
	tasks  *queue.Tasks
	seen   *seen
}

// serve starts a NATS server, which ends with the test.
func serve(t *testing.T) *queue.Server {
	t.Helper()
	server, err := queue.StartServer(t.Context(), queue.ServerConfig{Dir: t.TempDir(), Listen: "127.0.0.1:0"})
	must(t, err)
	t.Cleanup(func() { _ = server.Close() })
	return server
}

func setup(t *testing.T, c *chain) *env {
	t.Helper()
	ctx := t.Context()
	server := serve(t)
	conn, err := queue.Open(ctx, queue.Config{Server: server})
	must(t, err)
	t.Cleanup(conn.Close)
	log, err := conn.Log(ctx, "test", queue.LogConfig{MaxBytes: 1 << 30})
	must(t, err)
	tasks, err := conn.Tasks(ctx, "test")
	must(t, err)
	kv, err := conn.State(ctx, "test")
	must(t, err)
	query, err := sqlcheck.Parse("SELECT * FROM test.rows")
	must(t, err)
	b := &env{t: t, server: server, chain: c, log: log, state: kv, tasks: tasks, seen: &seen{done: make(chan state.Partition, 1000)}}
	b.x = &extract.Extractor{
		Source: c, Tasks: tasks, Log: log, State: kv,
		Spec: state.Spec{Epoch: 1, BlockColumn: "_block_num", Network: "test"}, Query: query, Schema: schema,
		Workers: 4, Backoff: fault.Backoff{Attempts: 3, Min: time.Millisecond, Max: 2 * time.Millisecond},
		Codec: entry.S2, EntryBytes: 4 << 10, EntryLimit: conn.EntryLimit(),
		Grace: time.Second, Observer: b.seen, Logger: zerolog.Nop(),
	}
	return b
}

// clearTasks loses the tasks of a pipeline, also those that are held.
func clearTasks(t *testing.T, server *queue.Server, pipeline, kind string) {
	t.Helper()
	stream, err := connectTo(t, server).Stream(t.Context(), "AMPIPE_TASKS")
	must(t, err)
	must(t, stream.Purge(t.Context(), jetstream.WithPurgeSubject("ampipe.task."+pipeline+"."+kind+".>")))
}

// deleteDocument does what an operator may do.
func deleteDocument(t *testing.T, server *queue.Server, key string) {
	t.Helper()
	documents, err := connectTo(t, server).KeyValue(t.Context(), "AMPIPE_STATE")
	must(t, err)
	must(t, documents.Delete(t.Context(), key))
}

func connectTo(t *testing.T, server *queue.Server) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(server.URL())
	must(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	must(t, err)
	return js
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// add plans and queues partitions.
func (b *env) add(ranges ...block.Range) {
	b.t.Helper()
	for _, r := range ranges {
		p := state.Partition{Start: r.Start, End: r.End, State: state.PartitionOpen}
		_, err := b.state.CreatePartition(b.t.Context(), p)
		must(b.t, err)
		_, err = b.tasks.Add(b.t.Context(), queue.PartitionTask, p.ID())
		must(b.t, err)
	}
}

// run runs the extractor until blocks of r are in finished partitions.
func (b *env) run(r block.Range) []state.Partition {
	b.t.Helper()
	ctx, stop := context.WithTimeout(b.t.Context(), time.Minute)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- b.x.Run(ctx) }()
	var have block.Set
	var parts []state.Partition
	for !have.Covers(r) {
		select {
		case p := <-b.seen.done:
			have.Add(p.Range())
			parts = append(parts, p)
		case <-ctx.Done():
			b.t.Fatalf("blocks %v are missing", have.Missing(r))
		}
	}
	stop()
	must(b.t, <-ended)
	return parts
}

// checkLog fails unless the log holds every block of r, but some, exactly once, with all
// its rows in order.
func (b *env) checkLog(r block.Range, but ...block.Number) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	consumer, err := b.log.Consume(ctx, "check", queue.ConsumeOptions{})
	must(b.t, err)
	defer consumer.Close()
	decoder := entry.NewDecoder(nil)
	var have block.Set
	for _, n := range but {
		have.Add(block.Closed(n, n))
	}
	rows := map[block.Number]int{}
	for !have.Covers(r) {
		m, err := consumer.Next(ctx)
		if err != nil {
			b.t.Fatalf("the log lacks blocks %v: %v", have.Missing(r), err)
		}
		if m.Entry.Kind == entry.Ended {
			must(b.t, m.Ack())
			continue
		}
		if missing := have.Missing(m.Entry.Range); len(missing) != 1 || missing[0] != m.Entry.Range {
			b.t.Fatalf("entry %v of lane %s covers blocks again", m.Entry.Range, m.Lane)
		}
		have.Add(m.Entry.Range)
		_, records, err := decoder.Decode(m.Entry)
		must(b.t, err)
		for _, rec := range records {
			blocks, index := rec.Column(0).(*array.Uint64), rec.Column(1).(*array.Int64)
			for i := range int(rec.NumRows()) {
				n := block.Number(blocks.Value(i))
				if !m.Entry.Range.Has(n) || index.Value(i) != int64(rows[n]) {
					b.t.Fatalf("row %d of block %d came in entry %v after %d rows", index.Value(i), n, m.Entry.Range, rows[n])
				}
				rows[n]++
			}
			rec.Release()
		}
		must(b.t, m.Ack())
	}
	for n := r.Start; n < r.End; n++ {
		if want := b.chain.rows(n); rows[n] != want && !slices.Contains(but, n) {
			b.t.Fatalf("block %d has %d rows in the log, want %d", n, rows[n], want)
		}
	}
}

// seen collects what the extractor reports.
type seen struct {
	mu    sync.Mutex
	waits []string
	now   map[string]error // what waits, by part
	done  chan state.Partition
	read  map[string]block.Range // by claim
}

func (s *seen) Reading(claim string, blocks block.Range) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.read == nil {
		s.read = map[string]block.Range{}
	}
	s.read[claim] = blocks
}

// reading returns the blocks of the partitions that are being read.
func (s *seen) reading() block.Set {
	s.mu.Lock()
	defer s.mu.Unlock()
	return block.NewSet(slices.Collect(maps.Values(s.read))...)
}

func (s *seen) Published(state.Partition, entry.Header, int) {}
func (s *seen) Finished(p state.Partition)                   { s.done <- p }
func (s *seen) Live(entry.Header, int)                       {}
func (s *seen) Reorg(block.Number)                           {}
func (s *seen) Idle(int, time.Time, time.Time)               {}

func (s *seen) Waiting(id string, reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now == nil {
		s.now = map[string]error{}
	}
	s.now[id] = reason
	if reason != nil {
		s.waits = append(s.waits, fmt.Sprint(id, ": ", reason))
	}
}

func (s *seen) waitedFor(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(strings.Join(s.waits, "\n"), text)
}

// comesTo waits until a part waits for something, or for nothing.
func (s *seen) comesTo(t *testing.T, part string, waits bool) {
	t.Helper()
	for limit := time.Now().Add(30 * time.Second); time.Now().Before(limit); time.Sleep(5 * time.Millisecond) {
		s.mu.Lock()
		now := s.now[part] != nil
		s.mu.Unlock()
		if now == waits {
			return
		}
	}
	t.Fatalf("%s: waits %v, want %v", part, !waits, waits)
}

func someRows(n block.Number) int { return int(n*7%5) * int(n%3) } // many blocks have none

func TestEveryBlockOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, newChain(t, 1000, someRows))
	b.add(block.Range{Start: 0, End: 300}, block.Range{Start: 300, End: 301}, block.Range{Start: 301, End: 1000})
	b.run(block.Range{Start: 0, End: 1000})
	b.checkLog(block.Range{Start: 0, End: 1000})
}

// TestAnIdleWorkerGetsATail returns one worker everything and three workers
// nothing: they have to be given tails.
func TestAnIdleWorkerGetsATail(t *testing.T) {
	t.Parallel()
	c := newChain(t, 1000, func(block.Number) int { return 2 })
	b := setup(t, c)
	c.during = func(block.Range, int) error {
		time.Sleep(20 * time.Millisecond) // a slow server
		return nil
	}
	b.add(block.Range{Start: 0, End: 1000})
	parts := b.run(block.Range{Start: 0, End: 1000})
	if len(parts) < 4 {
		t.Errorf("%d partitions for 4 workers", len(parts))
	}
	b.checkLog(block.Range{Start: 0, End: 1000})
}

// TestAnotherProcessGoesOn stops an extractor in the middle; a second one reads
// only what is not in the log.
func TestAnotherProcessGoesOn(t *testing.T) {
	t.Parallel()
	c := newChain(t, 500, func(block.Number) int { return 20 })
	b := setup(t, c)
	b.x.Workers = 1
	ctx, stop := context.WithCancel(t.Context())
	c.during = func(_ block.Range, sent int) error {
		if sent == 20 {
			stop()
		}
		return nil
	}
	b.add(block.Range{Start: 0, End: 500})
	must(t, b.x.Run(ctx))
	c.set(func(c *chain) { c.during = nil })
	b.run(block.Range{Start: 0, End: 500})
	b.checkLog(block.Range{Start: 0, End: 500})
	again := 0
	for _, times := range c.reads {
		if times > 1 {
			again++
		}
	}
	if again > 20 { // the entry that was being gathered
		t.Errorf("%d blocks were read again", again)
	}
}

// TestAZombieIsFenced lets two holders of one partition work at the same time.
func TestAZombieIsFenced(t *testing.T) {
	t.Parallel()
	c := newChain(t, 300, func(block.Number) int { return 30 })
	b := setup(t, c)
	b.x.Workers = 1
	paused, resume := make(chan struct{}), make(chan struct{})
	var first atomic.Bool
	c.during = func(_ block.Range, sent int) error {
		if sent == 5 && first.CompareAndSwap(false, true) {
			close(paused)
			<-resume
		}
		return nil
	}
	b.add(block.Range{Start: 0, End: 300})
	zombie := *b.x
	zombieCtx, stopZombie := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- zombie.Run(zombieCtx) }()
	<-paused
	// The tasks are thought to be lost and are queued again, as the planner does;
	// other workers take them.
	clearTasks(t, b.server, "test", queue.PartitionTask)
	parts, err := b.state.Partitions(t.Context())
	must(t, err)
	for _, p := range parts {
		_, err := b.tasks.Add(t.Context(), queue.PartitionTask, p.Value.ID())
		must(t, err)
	}
	b.run(block.Range{Start: 0, End: 300})
	close(resume)
	stopZombie()
	must(t, <-ended)
	b.checkLog(block.Range{Start: 0, End: 300})
}

// TestAWorkerThatCannotGoOnSaysSo, and no longer than that: when its task has become
// another's and there is none for it, or when it works on the next.
func TestAWorkerThatCannotGoOnSaysSo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ part, kind, id, key string }{
		"a partition":   {"worker 0", queue.PartitionTask, "0.0", "partition.0.0"},
		"the live lane": {"live", queue.LiveTask, "chain", "spec"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reading, resume := make(chan struct{}), make(chan struct{})
			chain := newChain(t, 10, someRows)
			begins := sync.OnceFunc(func() { close(reading) })
			chain.during = func(block.Range, int) error {
				begins()
				<-resume
				return nil
			}
			b := setup(t, chain)
			b.x.Workers = 1
			fail := func() {
				_, err := b.state.Put(t.Context(), c.key, "of another version")
				must(t, err)
				_, err = b.tasks.Add(t.Context(), c.kind, c.id)
				must(t, err)
				b.seen.comesTo(t, c.part, true)
				clearTasks(t, b.server, "test", c.kind)
			}
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- b.x.Run(ctx) }()
			fail()
			b.seen.comesTo(t, c.part, false)
			if c.kind == queue.PartitionTask {
				fail()
				deleteDocument(t, b.server, "test."+c.key)
				b.add(block.Range{Start: 0, End: 10})
				<-reading
				b.seen.comesTo(t, c.part, false)
				close(resume)
				<-b.seen.done
			}
			stop()
			must(t, <-ended)
		})
	}
}

// TestTheObserverIsToldWhatIsBeingRead: whole partitions, less what others took over, and
// nothing when they are done.
func TestTheObserverIsToldWhatIsBeingRead(t *testing.T) {
	t.Parallel()
	b := setup(t, newChain(t, 300, someRows))
	b.x.Workers, b.x.MostBlocks = 1, func() uint64 { return 100 }
	b.chain.before = func(r block.Range) error {
		want := block.NewSet(block.Range{Start: r.Start / 100 * 100, End: r.Start/100*100 + 100})
		if got := b.seen.reading(); !got.Equal(want) {
			t.Errorf("while blocks %v are read, %v are said to be, want %v", r, got, want)
		}
		return nil
	}
	b.add(block.Range{End: 300})
	b.run(block.Range{End: 300})
	if got := b.seen.reading(); got.Len() > 0 {
		t.Errorf("blocks %v are said to be read after all", got)
	}
}
