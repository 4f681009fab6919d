package extract_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/extract"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/sinktest/memsink"
	"github.com/ampipe/ampipe/pkg/sqlcheck"
	"github.com/ampipe/ampipe/pkg/state"
)

// liveEnv is a pipeline whose live lane is written, by one extractor or by several one
// after the other, and whose log is read by a destination in memory.
type liveEnv struct {
	t      *testing.T
	server *queue.Server
	name   string
	chain  *scriptedChain
	log    *queue.Log
	state  *queue.State
	tasks  *queue.Tasks
	store  *memsink.Store
	reader *queue.Consumer
	read   uint64 // sequence up to which the lane was applied
}

// newLiveEnv plans a lane that begins at a block; above the first block of the chain it
// has the block before as its checkpoint.
func newLiveEnv(t *testing.T, server *queue.Server, name string, s *scriptedChain, start block.Number, end *block.Number) *liveEnv {
	t.Helper()
	ctx := t.Context()
	if server == nil {
		server = serve(t)
	}
	st := &liveEnv{t: t, server: server, name: name, chain: s, store: &memsink.Store{}}
	conn := st.connect()
	st.log, st.state, st.tasks = st.open(conn)
	origin := state.Origin{Start: start}
	if c := s.at(start - 1); !c.Hash.IsZero() {
		origin.Points = []block.Cursor{c}
	}
	_, err := st.state.SaveSpec(ctx, state.Spec{
		Epoch: 1, Query: "SELECT * FROM test.rows", BlockColumn: "_block_num", Network: "test",
		History: block.Range{Start: start, End: start}, Live: &origin, MaxBlock: end,
	}, 0)
	must(t, err)
	st.queue()
	return st
}

func (s *liveEnv) connect() *queue.Conn {
	s.t.Helper()
	conn, err := queue.Open(s.t.Context(), queue.Config{Server: s.server})
	must(s.t, err)
	s.t.Cleanup(conn.Close)
	return conn
}

func (s *liveEnv) open(conn *queue.Conn) (*queue.Log, *queue.State, *queue.Tasks) {
	s.t.Helper()
	log, err := conn.Log(s.t.Context(), s.name, queue.LogConfig{MaxBytes: 64 << 20})
	must(s.t, err)
	state, err := conn.State(s.t.Context(), s.name)
	must(s.t, err)
	tasks, err := conn.Tasks(s.t.Context(), s.name)
	must(s.t, err)
	return log, state, tasks
}

// queue queues the live task anew, as the planner does when it is lost.
func (s *liveEnv) queue() {
	s.t.Helper()
	clearTasks(s.t, s.server, s.name, queue.LiveTask)
	_, err := s.tasks.Add(s.t.Context(), queue.LiveTask, "chain")
	must(s.t, err)
}

// emptyLane removes what is in the live lane, as the planner does when an epoch begins.
func (s *liveEnv) emptyLane() {
	s.t.Helper()
	tail, err := s.log.Tail(s.t.Context(), queue.LiveLane)
	must(s.t, err)
	must(s.t, s.log.TrimLanes(s.t.Context(), queue.Live, tail.Seq))
}

// process is an extractor with a connection of its own.
type process struct {
	*liveEnv
	conn  *queue.Conn
	x     *extract.Extractor
	stop  context.CancelFunc
	ended chan error

	mu      sync.Mutex
	entries []entry.Header // published
	reorgs  []block.Number
	waits   []string
	rests   int         // how often it has waited for nothing any more, also when it gave the task back
	onLive  func(n int) // called after the n-th entry, from 1
}

func (s *liveEnv) process() *process {
	s.t.Helper()
	p := &process{liveEnv: s, conn: s.connect(), ended: make(chan error, 1)}
	log, state, tasks := s.open(p.conn)
	query, err := sqlcheck.Parse("SELECT * FROM test.rows")
	must(s.t, err)
	p.x = &extract.Extractor{
		Source: s.chain, Tasks: tasks, Log: log, State: state, Query: query, Schema: schema,
		Backoff: fault.Backoff{Attempts: 3, Min: time.Millisecond, Max: 2 * time.Millisecond},
		Codec:   entry.S2, EntryBytes: 400, EntryLimit: p.conn.EntryLimit(),
		Grace: time.Minute, Observer: p, Logger: zerolog.New(zerolog.NewTestWriter(s.t)),
	}
	return p
}

func (p *process) start() {
	ctx, stop := context.WithCancel(p.t.Context())
	p.stop = stop
	go func() { p.ended <- p.x.Run(ctx) }()
}

// end stops the extractor, and waits until it has ended.
func (p *process) end() {
	p.t.Helper()
	p.stop()
	must(p.t, <-p.ended)
}

// until waits for something that the extractor brings about.
func (p *process) until(what <-chan struct{}) {
	p.t.Helper()
	select {
	case <-what:
	case err := <-p.ended:
		p.t.Fatalf("the extractor ended: %v", err)
	case <-time.After(30 * time.Second):
		p.t.Fatalf("it never came to this; published %v", p.published())
	}
}

// runScript runs an extractor until the script of the chain has ended.
func (s *liveEnv) runScript() *process {
	s.t.Helper()
	p := s.process()
	p.start()
	p.until(s.chain.finished)
	p.end()
	return p
}

// phase runs an extractor until the lane has come to a phase.
func (s *liveEnv) phase(want state.LivePhase) state.LivePosition {
	s.t.Helper()
	p := s.process()
	p.start()
	defer p.end()
	return s.position(func(l state.LivePosition) bool { return l.Phase == want })
}

// position waits for a position of the live lane.
func (s *liveEnv) position(want func(state.LivePosition) bool) (found state.LivePosition) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	err := queue.Watch(ctx, s.state, "live", func(now state.LivePosition, _ uint64) error {
		if found = now; want(found) {
			return errSeen
		}
		return nil
	})
	if !errors.Is(err, errSeen) {
		s.t.Fatalf("the lane never came to this: %v; its position is %+v", err, found)
	}
	return found
}

var errSeen = errors.New("seen")

func (p *process) published() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []string
	for _, h := range p.entries {
		all = append(all, summary(h))
	}
	return all
}

// summary is an entry in short: "data 10-14", "complete 15-15", "invalidate 10",
// "watermark 19".
func summary(h entry.Header) string {
	switch {
	case h.Complete:
		return fmt.Sprintf("complete %d-%d", h.Range.Start, h.Range.Last())
	case h.Kind == entry.Invalidate:
		return fmt.Sprintf("invalidate %d", h.Range.Start)
	case h.Kind == entry.Watermark:
		return fmt.Sprintf("watermark %d", h.Range.Last())
	default:
		return fmt.Sprintf("data %d-%d", h.Range.Start, h.Range.Last())
	}
}

func (p *process) Reading(string, block.Range) {}

func (p *process) Published(state.Partition, entry.Header, int) {}

func (p *process) Finished(state.Partition) {}

func (p *process) Idle(int, time.Time, time.Time) {}

func (p *process) Live(h entry.Header, _ int) {
	p.mu.Lock()
	p.entries = append(p.entries, h)
	n, then := len(p.entries), p.onLive
	p.mu.Unlock()
	if then != nil {
		then(n)
	}
}

func (p *process) Reorg(from block.Number) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reorgs = append(p.reorgs, from)
}

func (p *process) Waiting(_ string, reason error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if reason == nil {
		p.rests++
		return
	}
	p.waits = append(p.waits, reason.Error())
}

// apply brings what is new in the lane into the destination, entry by entry in
// transactions of their own, and holds it at every watermark to the chain that ends
// there. It returns the entries in short.
func (s *liveEnv) apply() (entries []string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	tail, err := s.log.Tail(ctx, queue.LiveLane)
	must(s.t, err)
	if s.reader == nil {
		s.reader, err = s.log.Consume(s.t.Context(), "warehouse", queue.ConsumeOptions{Lanes: queue.Live})
		must(s.t, err)
		s.t.Cleanup(s.reader.Close)
	}
	w := s.store.Writer()
	must(s.t, w.Open(ctx, sink.Table{Schema: schema, Network: "test", Epoch: 1}))
	decoder := entry.NewDecoder(nil)
	for s.read < tail.Seq {
		m, err := s.reader.Next(ctx)
		must(s.t, err)
		c := sink.Change{Header: m.Entry.Header, Seq: m.Seq, After: m.After, Live: true}
		if c.Kind == entry.Data {
			_, c.Records, err = decoder.Decode(m.Entry)
			must(s.t, err)
			must(s.t, sink.CheckRows(c, 0))
		}
		_, err = w.Apply(ctx, []sink.Change{c})
		for _, rec := range c.Records {
			rec.Release()
		}
		if err != nil {
			s.t.Fatalf("message %d, %s: %v", m.Seq, summary(c.Header), err)
		}
		must(s.t, m.Ack())
		s.read = m.Seq
		entries = append(entries, summary(c.Header))
		if c.Closes() {
			s.hold(block.Cursor{Network: "test", Number: c.Range.Last(), Hash: c.Hash})
		}
	}
	return entries
}

// hold fails unless the destination has exactly the chain that ends with a block.
func (s *liveEnv) hold(last block.Cursor) {
	s.t.Helper()
	ledger := s.store.CommitState()
	if want := block.NewSet(block.Closed(ledger.Live.Start, last.Number)); ledger.Live.Cursor != last || !ledger.Coverage.Equal(want) {
		s.t.Fatalf("after the watermark of %v the cursor is %v and the coverage %v, want %v", last, ledger.Live.Cursor, ledger.Coverage, want)
	}
	var got []string
	for _, row := range s.store.Rows() {
		got = append(got, row.Values[2].(string))
	}
	if want := s.chain.chainTo(last, ledger.Live.Start); !slices.Equal(got, want) {
		s.t.Fatalf("up to %v the destination has\n%q\nand the chain\n%q", last, got, want)
	}
}

// settled applies the lane and holds the destination to the chain as it is now.
func (s *liveEnv) settled() []string {
	s.t.Helper()
	entries := s.apply()
	s.hold(s.chain.at(s.chain.end() - 1))
	return entries
}

func want(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\ngot  %q\nwant %q", what, got, want)
	}
}

func one(block.Number) int { return 1 }
