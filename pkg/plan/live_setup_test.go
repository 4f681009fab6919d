package plan_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// moving is a server whose chain the test changes.
type movingChain struct {
	mu   sync.Mutex
	end  block.Number // exclusive
	from block.Number // first block of the last fork
	fork byte

	knows bool // the blocks that the last reorg has replaced
	slow  bool // it begins no stream in time
	fails bool // it cannot compute the rows of the query
	asked int  // how often for its head
}

func (s *movingChain) set(change func(*movingChain)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *movingChain) reorg(from block.Number) {
	s.set(func(s *movingChain) { s.from, s.fork = from, s.fork+1 })
}

func (s *movingChain) at(n block.Number) block.Cursor {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cursor(n)
}

func (s *movingChain) cursor(n block.Number) block.Cursor {
	h := block.Hash{0xb1, 0, byte(n >> 8), byte(n)}
	if n >= s.from {
		h[1] = s.fork
	}
	return block.Cursor{Network: "mainnet", Number: n, Hash: h}
}

func (s *movingChain) Info(context.Context, string) (*arrow.Schema, error) { return rows, nil }

func (s *movingChain) Head(context.Context, string) ([]amp.Range, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	return []amp.Range{{Network: "mainnet", Numbers: block.Range{Start: 0, End: s.end}, Hash: s.cursor(s.end - 1).Hash}}, nil
}

func (s *movingChain) Fetch(context.Context, string) iter.Seq2[amp.Message, error] {
	return func(yield func(amp.Message, error) bool) {
		yield(amp.Message{}, errors.New("planning reads no rows"))
	}
}

func (s *movingChain) Probe(_ context.Context, query, _ string, at block.Number) (block.Cursor, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at >= s.end || s.slow {
		return block.Cursor{}, fault.Later(amp.ErrUnanswered, 0)
	}
	if s.fails && !strings.HasPrefix(query, "SELECT _block_num FROM ") {
		return block.Cursor{}, amp.ErrRow
	}
	return s.cursor(at - 1), nil
}

func (s *movingChain) Fork(_ context.Context, _ string, left block.Cursor) (block.Number, block.Cursor, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := left.Number
	if s.knows {
		from = min(from, s.from)
	}
	return from, s.cursor(from - 1), nil
}

// liveEnv is an env of a pipeline that follows the chain from block 800 on.
type liveEnv struct {
	*env
	chain *movingChain
	spec  state.Spec
	seq   uint64 // of the live lane's last entry
}

func newLiveEnv(t *testing.T, sinks ...string) *liveEnv {
	t.Helper()
	d := &liveEnv{env: setup(t), chain: &movingChain{end: 1000}}
	d.Source = d.chain
	d.Config.Sinks = nil
	for _, name := range sinks {
		d.Config.Sinks = append(d.Config.Sinks, config.Sink{Name: name})
	}
	d.Config.Range.ReorgBuffer = 200
	d.spec = state.Spec{
		Epoch: 1, Query: "SELECT * FROM a.logs", Network: "mainnet", History: block.Range{Start: 700, End: 800},
		Live: &state.Origin{Start: 800, Points: []block.Cursor{d.chain.at(735), d.chain.at(799)}},
	}
	// The history is there.
	must(t, second(d.State.CreatePartition(t.Context(), part(700, 800, 0, state.PartitionDone))))
	return d
}

// run starts the planner and drops the first status. The planner stands still while the
// test does not read the next one.
func (d *liveEnv) run() (ended chan error, stop func()) {
	d.t.Helper()
	ctx, cancel := context.WithCancel(d.t.Context())
	spec, rev, err := d.State.LoadSpec(ctx)
	if errors.Is(err, queue.ErrNotFound) {
		spec = d.spec
	} else {
		must(d.t, err)
	}
	must(d.t, second(d.State.SaveSpec(ctx, spec, rev)))
	d.Notify = func(s plan.Status) {
		select {
		case d.status <- s:
		case <-ctx.Done():
		}
	}
	ended = make(chan error, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := d.Run(ctx, spec, 1000)
		ended <- err
	}()
	stop = func() {
		cancel()
		<-done
	}
	d.t.Cleanup(stop)
	// From its first round on, it takes reports as news.
	d.until("the first round", func(plan.Status) bool { return true })
	return ended, stop
}

// next lets the planner run a few rounds, one of which reads the live lane.
func (d *liveEnv) next() (s plan.Status) {
	d.t.Helper()
	for range 9 {
		s = d.until("a round", func(plan.Status) bool { return true })
	}
	return s
}

// mark is a sink that has the live lane up to the watermark of a block.
func (d *liveEnv) mark(seq uint64, start, last block.Number) state.LiveState {
	return state.LiveState{Started: true, Epoch: 1, Seq: seq, Start: start, Cursor: d.chain.at(last)}
}

// reports plays a sink that reports what it has.
func (d *liveEnv) reports(sink string, mark state.LiveState, coverage ...block.Range) {
	d.t.Helper()
	must(d.t, d.State.PutReport(d.t.Context(), state.SinkReport{
		Name: sink, Coverage: block.NewSet(coverage...), Live: mark, State: "running", Updated: time.Now(),
	}))
}

// publish appends an entry to the live lane.
func (d *liveEnv) publish(kind entry.Kind, r block.Range) uint64 {
	d.t.Helper()
	h := entry.Header{Kind: kind, Epoch: d.spec.Epoch, Network: "mainnet", Range: r, Hash: d.chain.at(r.Last()).Hash}
	if kind == entry.Invalidate {
		h.Hash, h.Prev = block.Hash{}, d.chain.at(r.Start-1).Hash
	}
	seq, err := d.Log.Publish(d.t.Context(), queue.LiveLane, d.seq, fmt.Sprint(d.seq), entry.Group{{Header: h}})
	must(d.t, err)
	d.seq = seq
	return seq
}

// reached writes the position of the live lane as its holder does.
func (d *liveEnv) reached(phase state.LivePhase, seq uint64, next block.Number) {
	d.t.Helper()
	d.save(state.LivePosition{
		Epoch: d.spec.Epoch, Seq: seq, Next: next, Phase: phase, Points: []block.Cursor{d.chain.at(735), d.chain.at(799), d.chain.at(next - 1)},
	})
}

// save writes a position of the live lane over the one that is there.
func (d *liveEnv) save(live state.LivePosition) {
	d.t.Helper()
	_, rev, err := d.State.LivePosition(d.t.Context())
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		d.t.Fatal(err)
	}
	must(d.t, second(d.State.SaveLivePosition(d.t.Context(), live, rev)))
}

// queued reports whether the live task is there, held by a worker or not.
func (d *liveEnv) queued() bool {
	d.t.Helper()
	load, err := d.Tasks.Load(d.t.Context(), queue.LiveTask)
	must(d.t, err)
	return load.Queued+load.Held == 1
}

// willBeQueued waits for the task: a consumer hears of a message a moment later.
func (d *liveEnv) willBeQueued() bool {
	d.t.Helper()
	for limit := time.Now().Add(10 * time.Second); time.Now().Before(limit); time.Sleep(5 * time.Millisecond) {
		if d.queued() {
			return true
		}
	}
	return false
}

func (d *liveEnv) stored() state.Spec {
	d.t.Helper()
	spec, _, err := d.State.LoadSpec(d.t.Context())
	must(d.t, err)
	return spec
}

// endsBy reads statuses until the run ends.
func (d *liveEnv) endsBy(ended chan error) error {
	d.t.Helper()
	limit := time.After(20 * time.Second)
	for {
		select {
		case <-d.status:
		case err := <-ended:
			return err
		case <-limit:
			d.t.Fatal("the run does not end")
		}
	}
}
