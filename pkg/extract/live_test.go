package extract_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/extract"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/plan/sql"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/memory"
)

// stage is a pipeline whose live lane is written, by one extractor or by several one
// after the other, and whose log is read by a destination in memory.
type stage struct {
	t      *testing.T
	server *queue.Server
	name   string
	tale   *tale
	log    *queue.Log
	state  *queue.State
	tasks  *queue.Tasks
	store  *memory.Store
	reader *queue.Consumer
	read   uint64 // sequence up to which the lane was applied
}

// newStage plans a lane that begins at a block; above the first block of the tale it
// has the block before as its point.
func newStage(t *testing.T, server *queue.Server, name string, s *tale, start block.Number, end *block.Number) *stage {
	t.Helper()
	ctx := t.Context()
	if server == nil {
		var err error
		server, err = queue.StartServer(ctx, queue.ServerConfig{Dir: t.TempDir()})
		must(t, err)
		t.Cleanup(func() { _ = server.Close() })
	}
	st := &stage{t: t, server: server, name: name, tale: s, store: &memory.Store{}}
	conn := st.connect()
	st.log, st.state, st.tasks = st.open(conn)
	origin := queue.Origin{Start: start}
	if c := s.at(start - 1); !c.Hash.IsZero() {
		origin.Points = []block.Cursor{c}
	}
	_, err := st.state.SaveSpec(ctx, queue.Spec{
		Epoch: 1, Query: "SELECT * FROM test.rows", BlockColumn: "_block_num", Network: "test",
		History: block.Range{Start: start, End: start}, Live: &origin, MaxBlock: end,
	}, 0)
	must(t, err)
	st.queue()
	return st
}

func (s *stage) connect() *queue.Conn {
	s.t.Helper()
	conn, err := queue.Open(s.t.Context(), queue.Config{Server: s.server})
	must(s.t, err)
	s.t.Cleanup(conn.Close)
	return conn
}

func (s *stage) open(conn *queue.Conn) (*queue.Log, *queue.State, *queue.Tasks) {
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
func (s *stage) queue() {
	s.t.Helper()
	must(s.t, s.tasks.Clear(s.t.Context(), queue.LiveTask))
	_, err := s.tasks.Add(s.t.Context(), queue.LiveTask, "chain")
	must(s.t, err)
}

// emptyLane removes what is in the live lane, as the planner does when an epoch begins.
func (s *stage) emptyLane() {
	s.t.Helper()
	tail, err := s.log.Tail(s.t.Context(), queue.LiveLane)
	must(s.t, err)
	must(s.t, s.log.TrimLanes(s.t.Context(), queue.Live, tail.Seq))
}

// process is an extractor with a connection of its own.
type process struct {
	*stage
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

func (s *stage) process() *process {
	s.t.Helper()
	p := &process{stage: s, conn: s.connect(), ended: make(chan error, 1)}
	log, state, tasks := s.open(p.conn)
	query, err := sql.Parse("SELECT * FROM test.rows")
	must(s.t, err)
	p.x = &extract.Extractor{
		Source: s.tale, Tasks: tasks, Log: log, State: state, Query: query, Schema: schema,
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

// end tells the extractor to stop, and waits until it has.
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

// tell runs an extractor until the tale is told.
func (s *stage) tell() *process {
	s.t.Helper()
	p := s.process()
	p.start()
	p.until(s.tale.told)
	p.end()
	return p
}

// phase runs an extractor until the lane has come to a phase.
func (s *stage) phase(want queue.LivePhase) queue.LivePosition {
	s.t.Helper()
	p := s.process()
	p.start()
	defer p.end()
	return s.position(func(l queue.LivePosition) bool { return l.Phase == want })
}

// position waits for a position of the live lane.
func (s *stage) position(want func(queue.LivePosition) bool) (found queue.LivePosition) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	err := s.state.Watch(ctx, "live", func(queue.Change) (err error) {
		if found, _, err = s.state.LivePosition(ctx); err == nil && want(found) {
			err = errSeen
		}
		return err
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
		all = append(all, brief(h))
	}
	return all
}

// brief is an entry in short: "data 10-14", "invalidate 10", "watermark 19".
func brief(h entry.Header) string {
	switch h.Kind {
	case entry.Invalidate:
		return fmt.Sprintf("invalidate %d", h.Range.Start)
	case entry.Watermark:
		return fmt.Sprintf("watermark %d", h.Range.Last())
	default:
		return fmt.Sprintf("data %d-%d", h.Range.Start, h.Range.Last())
	}
}

func (p *process) Published(queue.Partition, entry.Header, int) {}
func (p *process) Finished(queue.Partition)                     {}
func (p *process) Idle(int, time.Time, time.Time)               {}

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
// there. It gives the entries in short.
func (s *stage) apply() (entries []string) {
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
			s.t.Fatalf("message %d, %s: %v", m.Seq, brief(c.Header), err)
		}
		must(s.t, m.Ack())
		s.read = m.Seq
		entries = append(entries, brief(c.Header))
		if c.Kind == entry.Watermark {
			s.hold(block.Cursor{Network: "test", Number: c.Range.Last(), Hash: c.Hash})
		}
	}
	return entries
}

// hold fails unless the destination has exactly the chain that ends with a block.
func (s *stage) hold(last block.Cursor) {
	s.t.Helper()
	ledger := s.store.Ledger()
	if want := block.NewSet(block.Closed(ledger.Live.Start, last.Number)); ledger.Live.Cursor != last || !ledger.Coverage.Equal(want) {
		s.t.Fatalf("after the watermark of %v the cursor is %v and the coverage %v, want %v", last, ledger.Live.Cursor, ledger.Coverage, want)
	}
	var got []string
	for _, row := range s.store.Rows() {
		got = append(got, row.Values[2].(string))
	}
	if want := s.tale.chainTo(last, ledger.Live.Start); !slices.Equal(got, want) {
		s.t.Fatalf("up to %v the destination has\n%q\nand the chain\n%q", last, got, want)
	}
}

// settled applies the lane and holds the destination to the chain as it is now.
func (s *stage) settled() []string {
	s.t.Helper()
	entries := s.apply()
	s.hold(s.tale.at(s.tale.end() - 1))
	return entries
}

func want(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\ngot  %q\nwant %q", what, got, want)
	}
}

func one(block.Number) int { return 1 }

// TestTheLaneBeginsVoid: what a destination has at or above the beginning may be of
// another fork.
func TestTheLaneBeginsVoid(t *testing.T) {
	t.Parallel()
	s := newTale(t, 0, 10, one, grow(2), grow(1))
	st := newStage(t, nil, "test", s, 10, nil)
	p := st.tell()
	want(t, "entries", st.settled(), []string{
		"invalidate 10", "data 10-11", "watermark 11", "data 12-12", "watermark 12",
	})
	first, mark := p.entries[0], p.entries[2]
	if first.Epoch != 1 || first.Network != "test" || first.Prev != s.at(9).Hash || first.Seen.IsZero() {
		t.Errorf("the first entry is %+v", first)
	}
	if mark.Hash != s.at(11).Hash || mark.Prev != s.at(9).Hash || mark.Range != block.Closed(10, 11) {
		t.Errorf("the watermark is %+v", mark)
	}
	if since := time.Since(mark.Seen); since < 0 || since > time.Minute {
		t.Errorf("the blocks of the watermark were seen %s ago", since)
	}
	o := s.options()
	if len(o) != 1 || !slices.Equal(o[0].Resume, []block.Cursor{s.at(9)}) || o[0].Network != "test" || *o[0].Beginning != 10 {
		t.Errorf("followed with %+v", o)
	}
	l := st.position(func(queue.LivePosition) bool { return true })
	if l.Epoch != 1 || l.Phase != queue.LiveRunning || l.Reorgs != 0 {
		t.Errorf("position %+v", l)
	}
}

// TestAReorgAfterARestartCountsItsBlocks: what the lane has told is known to a process
// that has published none of it, too.
func TestAReorgAfterARestartCountsItsBlocks(t *testing.T) {
	t.Parallel()
	s := newTale(t, 0, 10, one, grow(4))
	st := newStage(t, nil, "test", s, 10, nil)
	st.tell()
	s.add(reorg(12, 1))
	st.queue()
	p := st.process()
	var log bytes.Buffer
	p.x.Logger = zerolog.New(zerolog.SyncWriter(&log))
	p.start()
	p.until(s.told)
	p.end()
	if want := `"from":12,"blocks":2,"message":"reorg"`; !strings.Contains(log.String(), want) || !slices.Equal(p.reorgs, []block.Number{12}) {
		t.Errorf("reorgs from %v, want 12, and %s in\n%s", p.reorgs, want, &log)
	}
}

func TestALaneFromTheFirstBlockHasNoCursor(t *testing.T) {
	t.Parallel()
	s := newTale(t, 5, 5, one, grow(3), reorg(5, 1))
	st := newStage(t, nil, "test", s, 5, nil)
	p := st.tell()
	want(t, "entries", st.settled(), []string{
		"invalidate 5", "data 5-7", "watermark 7", "invalidate 5", "data 5-8", "watermark 8",
	})
	for _, h := range p.entries {
		if h.Kind == entry.Invalidate && !h.Prev.IsZero() {
			t.Errorf("%+v names a block before the first", h)
		}
	}
	if o := s.options()[0]; len(o.Resume) != 0 || o.Beginning == nil || *o.Beginning != 5 {
		t.Errorf("followed with %+v", o)
	}
	// The next holder, too, may go back to the beginning.
	s.add(reorg(5, 1))
	st.queue()
	st.tell()
	st.settled()
	o := s.options()[1]
	if n := len(o.Resume); n != 1 || o.Resume[0].Number != 8 || o.Beginning == nil || *o.Beginning != 5 {
		t.Errorf("followed with %+v", o)
	}
}

// TestRowsAreCutIntoEntries: between blocks only, and blocks without rows are covered,
// too.
func TestRowsAreCutIntoEntries(t *testing.T) {
	t.Parallel()
	few := func(n block.Number) int { return map[block.Number]int{3: 10, 5: 40, 6: 10, 30: 1}[n] }
	s := newTale(t, 0, 2, few, step{grow: 8, messages: 3}, grow(10), grow(20))
	st := newStage(t, nil, "test", s, 2, nil)
	st.tell()
	entries := st.settled()
	var at block.Number = 2
	for _, e := range entries {
		var from, to block.Number
		if n, _ := fmt.Sscanf(e, "data %d-%d", &from, &to); n == 2 {
			if from != at {
				t.Errorf("%s, and the blocks from %d on have no entry: %q", e, at, entries)
			}
			at = to + 1
		}
	}
	if at != 40 || len(entries) < 9 {
		t.Errorf("entries %q", entries)
	}
	if !slices.Contains(entries, "data 10-19") {
		t.Errorf("blocks 10 to 19 have no rows and no entry: %q", entries)
	}
}

// TestUndo is everything that a stream may take back.
func TestUndo(t *testing.T) {
	t.Parallel()
	rows := func(n block.Number) int { return int(n % 3) }
	for name, c := range map[string]struct {
		steps   []step
		entries []string
		reorgs  []block.Number
	}{
		"unfinished rows": {
			[]step{{grow: 4, messages: 4, cut: true}},
			[]string{"invalidate 10", "data 10-12", "invalidate 10", "data 10-13", "watermark 13"}, nil,
		},
		"a whole range": {
			[]step{grow(3), grow(2), reorg(13, 1)},
			[]string{"invalidate 10", "data 10-12", "watermark 12", "data 13-14", "watermark 14", "invalidate 13", "data 13-15", "watermark 15"},
			[]block.Number{13},
		},
		"a part of a range": {
			[]step{grow(3), grow(2), reorg(11, 1)},
			[]string{"invalidate 10", "data 10-12", "watermark 12", "data 13-14", "watermark 14", "invalidate 11", "data 11-15", "watermark 15"},
			[]block.Number{11},
		},
		"below the beginning": {
			[]step{grow(3), reorg(6, 1)},
			[]string{"invalidate 10", "data 10-12", "watermark 12", "invalidate 6", "data 6-13", "watermark 13"},
			[]block.Number{6},
		},
		"below the beginning before anything came": {
			[]step{reorg(6, 1)},
			[]string{"invalidate 10", "invalidate 6", "data 6-10", "watermark 10"},
			[]block.Number{6},
		},
		"a reorg of a reorg": {
			[]step{grow(5), reorg(13, 1), reorg(12, 1), reorg(12, 0), reorg(14, 2)},
			nil, []block.Number{13, 12, 12, 14},
		},
		"rows of a fork that is gone before they are complete": {
			[]step{grow(3), {grow: 4, messages: 2, open: true}, reorg(13, 1)},
			nil, []block.Number{13},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newTale(t, 0, 10, rows, c.steps...)
			st := newStage(t, nil, "test", s, 10, nil)
			p := st.process()
			p.x.EntryBytes = 50
			p.start()
			p.until(s.told)
			p.end()
			entries := st.settled()
			if c.entries != nil {
				want(t, "entries", slim(entries), slim(c.entries))
			}
			if !slices.Equal(p.reorgs, c.reorgs) {
				t.Errorf("reorgs from %v, want %v", p.reorgs, c.reorgs)
			}
			l := st.position(func(queue.LivePosition) bool { return true })
			if l.Reorgs > uint64(len(c.reorgs)) {
				t.Errorf("the position counts %d reorgs", l.Reorgs)
			}
			for _, h := range p.entries {
				if h.Kind == entry.Invalidate && h.Prev.IsZero() {
					t.Errorf("%s does not name the block before it", brief(h))
				}
			}
		})
	}
}

// slim joins data entries that touch: where they are cut is not what is asked.
func slim(entries []string) (out []string) {
	for _, e := range entries {
		var from, to, begin, end block.Number
		if n, _ := fmt.Sscanf(e, "data %d-%d", &from, &to); n == 2 && len(out) > 0 {
			if n, _ := fmt.Sscanf(out[len(out)-1], "data %d-%d", &begin, &end); n == 2 && end+1 == from {
				out[len(out)-1] = fmt.Sprintf("data %d-%d", begin, to)
				continue
			}
		}
		out = append(out, e)
	}
	return out
}

// TestUndoOfNothingIsNoEntry: rows that only the extractor had, because they did not
// fill an entry, need no invalidation.
func TestUndoOfNothingIsNoEntry(t *testing.T) {
	t.Parallel()
	s := newTale(t, 0, 10, one, step{grow: 2, cut: true}, step{grow: 2, cut: true}, step{grow: 2, open: true}, reorg(14, 0))
	st := newStage(t, nil, "test", s, 10, nil)
	p := st.process()
	p.x.EntryBytes = 1 << 20
	p.start()
	p.until(s.told)
	p.end()
	want(t, "entries", st.settled(), []string{
		"invalidate 10", "data 10-11", "watermark 11", "data 12-13", "watermark 13", "data 14-15", "watermark 15",
	})
}

// TestTheEndInsideARange: what lies beyond max_block is left out, and the range gets
// no watermark, so that a later run with a higher max_block reads it again, whole.
func TestTheEndInsideARange(t *testing.T) {
	t.Parallel()
	end := block.Number(15)
	s := newTale(t, 0, 10, one, grow(3), step{grow: 5, messages: 5}, grow(5))
	st := newStage(t, nil, "test", s, 10, &end)
	l := st.phase(queue.LiveDone)
	if l.Until == nil || *l.Until != end || l.Next != end {
		t.Errorf("position %+v", l)
	}
	want(t, "entries", slim(st.apply()), []string{"invalidate 10", "data 10-12", "watermark 12", "data 13-14"})
	if c := st.store.Ledger().Coverage; !c.Equal(block.NewSet(block.Range{Start: 10, End: end})) {
		t.Errorf("coverage %v", c)
	}
	if load, err := st.tasks.Load(t.Context(), queue.LiveTask); err != nil || load.Queued+load.Held > 0 {
		t.Errorf("the task is left: %+v, %v", load, err)
	}

	spec, rev, err := st.state.LoadSpec(t.Context())
	must(t, err)
	end = 18
	spec.MaxBlock = &end
	_, err = st.state.SaveSpec(t.Context(), spec, rev)
	must(t, err)
	st.queue()
	st.position(func(queue.LivePosition) bool { return true })
	p := st.process()
	p.start()
	l = st.position(func(l queue.LivePosition) bool { return l.Phase == queue.LiveDone && *l.Until == end })
	p.end()
	want(t, "entries", slim(st.settled()), []string{"invalidate 13", "data 13-17", "watermark 17"})
	if l.Next != end {
		t.Errorf("position %+v", l)
	}
}

// TestAReorgBehindTheEnd: a lane that has all its blocks is done, whatever comes.
func TestAReorgBehindTheEnd(t *testing.T) {
	t.Parallel()
	end := block.Number(13)
	s := newTale(t, 0, 10, one, grow(2), reorg(11, 1), grow(4))
	st := newStage(t, nil, "test", s, 10, &end)
	st.phase(queue.LiveDone)
	want(t, "entries", slim(st.apply()), []string{"invalidate 10", "data 10-11", "watermark 11", "invalidate 11", "data 11-12", "watermark 12"})
}

// TestAnErrorThatStays is the planner's to tell: the phase has its text, and the task
// does not come again.
func TestAnErrorThatStays(t *testing.T) {
	t.Parallel()
	s := newTale(t, 0, 10, one, grow(2), step{err: fault.Permanent(amp.ErrDeepReorg)})
	st := newStage(t, nil, "test", s, 10, nil)
	l := st.phase(queue.LiveFailed)
	if !strings.Contains(l.Error, amp.ErrDeepReorg.Error()) || l.Next != 12 || len(l.Points) != 2 {
		t.Errorf("position %+v", l)
	}
	if load, err := st.tasks.Load(t.Context(), queue.LiveTask); err != nil || load.Queued+load.Held > 0 {
		t.Errorf("the task is left: %+v, %v", load, err)
	}
	// A run that tries again goes on behind what is complete.
	s.add(grow(1))
	st.queue()
	st.tell()
	want(t, "entries", st.settled(), []string{"invalidate 10", "data 10-11", "watermark 11", "data 12-12", "watermark 12"})
}

// TestAStreamThatDoesNotGoOn where the lane ends is an error, not a hole.
func TestAStreamThatDoesNotGoOn(t *testing.T) {
	t.Parallel()
	s := newTale(t, 0, 10, one, grow(2))
	st := newStage(t, nil, "test", s, 10, nil)
	spec, rev, err := st.state.LoadSpec(t.Context())
	must(t, err)
	spec.Live.Points = []block.Cursor{s.at(7)} // a plan that is damaged
	_, err = st.state.SaveSpec(t.Context(), spec, rev)
	must(t, err)
	l := st.phase(queue.LiveFailed)
	if !strings.Contains(l.Error, "block 8") || !strings.Contains(l.Error, "block 10") {
		t.Errorf("position %+v", l)
	}
	want(t, "entries", st.apply(), []string{"invalidate 10"})
}

// TestAnErrorThatStaysWhileNATSIsAway cannot be written down; a process that is told to
// stop stops nevertheless.
func TestAnErrorThatStaysWhileNATSIsAway(t *testing.T) {
	t.Parallel()
	server, err := queue.StartServer(t.Context(), queue.ServerConfig{Dir: t.TempDir()})
	must(t, err)
	t.Cleanup(func() { _ = server.Close() })
	s := newTale(t, 0, 10, one, grow(2), step{say: func() { must(t, server.Close()) }, err: fault.Permanent(amp.ErrDeepReorg)})
	st := newStage(t, server, "test", s, 10, nil)
	p := st.process()
	p.x.Grace = 100 * time.Millisecond
	said := make(chan struct{})
	p.x.Observer = waitWatch{p, said}
	p.start()
	p.until(said)
	p.stop()
	select {
	case err := <-p.ended:
		must(t, err)
	case <-time.After(10 * time.Second):
		t.Fatal("it does not stop")
	}
}

// waitWatch hears that the live lane waits.
type waitWatch struct {
	*process
	said chan struct{}
}

func (w waitWatch) Waiting(_ string, reason error) {
	select {
	case <-w.said:
	default:
		if reason != nil {
			close(w.said)
		}
	}
}
