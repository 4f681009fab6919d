package plan_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
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
)

// moving is a server whose chain the test changes.
type moving struct {
	mu   sync.Mutex
	end  block.Number // exclusive
	from block.Number // first block of the last fork
	fork byte

	knows bool // the blocks that the last reorg has replaced
	slow  bool // it begins no stream in time
	fails bool // it cannot compute the rows of the query
	asked int  // how often for its head
}

func (s *moving) set(change func(*moving)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *moving) reorg(from block.Number) { s.set(func(s *moving) { s.from, s.fork = from, s.fork+1 }) }

func (s *moving) at(n block.Number) block.Cursor {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cursor(n)
}

func (s *moving) cursor(n block.Number) block.Cursor {
	h := block.Hash{0xb1, 0, byte(n >> 8), byte(n)}
	if n >= s.from {
		h[1] = s.fork
	}
	return block.Cursor{Network: "mainnet", Number: n, Hash: h}
}

func (s *moving) Info(context.Context, string) (*arrow.Schema, error) { return rows, nil }

func (s *moving) Head(context.Context, string) ([]amp.Range, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	return []amp.Range{{Network: "mainnet", Numbers: block.Range{Start: 0, End: s.end}, Hash: s.cursor(s.end - 1).Hash}}, nil
}

func (s *moving) Fetch(context.Context, string) iter.Seq2[amp.Message, error] {
	return func(yield func(amp.Message, error) bool) {
		yield(amp.Message{}, errors.New("planning reads no rows"))
	}
}

func (s *moving) Probe(_ context.Context, query, _ string, at block.Number) (block.Cursor, error) {
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

func (s *moving) Fork(_ context.Context, _ string, left block.Cursor) (block.Number, block.Cursor, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := left.Number
	if s.knows {
		from = min(from, s.from)
	}
	return from, s.cursor(from - 1), nil
}

// tower is a desk of a pipeline that follows the chain from block 800 on.
type tower struct {
	*desk
	chain *moving
	spec  queue.Spec
	seq   uint64 // of the live lane's last entry
}

func follow(t *testing.T, sinks ...string) *tower {
	t.Helper()
	d := &tower{desk: setup(t), chain: &moving{end: 1000}}
	d.Source = d.chain
	d.Config.Sinks = nil
	for _, name := range sinks {
		d.Config.Sinks = append(d.Config.Sinks, config.Sink{Name: name})
	}
	d.Config.Range.ReorgBuffer = 200
	d.spec = queue.Spec{
		Epoch: 1, Query: "SELECT * FROM a.logs", Network: "mainnet", History: block.Range{Start: 700, End: 800},
		Live: &queue.Origin{Start: 800, Points: []block.Cursor{d.chain.at(735), d.chain.at(799)}},
	}
	// The history is there.
	must(t, second(d.State.CreatePartition(t.Context(), part(700, 800, 0, queue.PartitionDone))))
	return d
}

// run begins to watch and gives the first status away. The planner stands still while the test does not look.
func (d *tower) run() (ended chan error, stop func()) {
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
	// From its first look on, it takes reports as news.
	d.until("the first look", func(plan.Status) bool { return true })
	return ended, stop
}

// looks lets the planner look a few times, and once at the live lane.
func (d *tower) looks() (s plan.Status) {
	d.t.Helper()
	for range 9 {
		s = d.until("a look", func(plan.Status) bool { return true })
	}
	return s
}

// mark is a sink that has the live lane up to the watermark of a block.
func (d *tower) mark(seq uint64, start, last block.Number) queue.LiveMark {
	return queue.LiveMark{Started: true, Epoch: 1, Seq: seq, Start: start, Cursor: d.chain.at(last)}
}

// tells plays a sink that reports what it has.
func (d *tower) tells(sink string, mark queue.LiveMark, coverage ...block.Range) {
	d.t.Helper()
	must(d.t, d.State.PutReport(d.t.Context(), queue.SinkReport{
		Name: sink, Coverage: block.NewSet(coverage...), Live: mark, State: "running", Updated: time.Now(),
	}))
}

// publish appends an entry to the live lane.
func (d *tower) publish(kind entry.Kind, r block.Range) uint64 {
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
func (d *tower) reached(phase queue.LivePhase, seq uint64, next block.Number) {
	d.t.Helper()
	d.save(queue.LivePosition{
		Epoch: d.spec.Epoch, Seq: seq, Next: next, Phase: phase, Points: []block.Cursor{d.chain.at(735), d.chain.at(799), d.chain.at(next - 1)},
	})
}

// save writes a position of the live lane over the one that is there.
func (d *tower) save(live queue.LivePosition) {
	d.t.Helper()
	_, rev, err := d.State.LivePosition(d.t.Context())
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		d.t.Fatal(err)
	}
	must(d.t, second(d.State.SaveLivePosition(d.t.Context(), live, rev)))
}

// queued tells whether the live task is there, in somebody's hands or not.
func (d *tower) queued() bool {
	d.t.Helper()
	load, err := d.Tasks.Load(d.t.Context(), queue.LiveTask)
	must(d.t, err)
	return load.Queued+load.Held == 1
}

// willBeQueued waits for the task: a consumer hears of a message a moment later.
func (d *tower) willBeQueued() bool {
	d.t.Helper()
	for limit := time.Now().Add(10 * time.Second); time.Now().Before(limit); time.Sleep(5 * time.Millisecond) {
		if d.queued() {
			return true
		}
	}
	return false
}

func (d *tower) stored() queue.Spec {
	d.t.Helper()
	spec, _, err := d.State.LoadSpec(d.t.Context())
	must(d.t, err)
	return spec
}

func TestTheLiveTaskIsQueuedWithThePlan(t *testing.T) {
	d := follow(t, "warehouse")
	d.run()
	s := d.looks()
	if want := "sink warehouse has not said yet how far it is: start it, or take it out of the configuration"; s.Live.Waits != want || !s.Live.Follows || s.Live.Start != 800 {
		t.Errorf("live %+v, want that it waits: %s", s.Live, want)
	}
	if d.queued() {
		t.Error("the live lane is begun before it is known how far the sink is")
	}
	d.tells("warehouse", queue.LiveMark{}) // has nothing of the history yet
	s = d.until("nothing is waited for", func(s plan.Status) bool { return s.Live.Waits == "" })
	if !d.willBeQueued() || s.Complete {
		t.Errorf("the task is not queued; status %+v", s)
	}
	d.reached(queue.LiveRunning, 1, 850)
	s = d.until("the lane grows", func(s plan.Status) bool { return s.Live.Next == 850 })
	if s.Complete {
		t.Error("a chain has no end")
	}
}

// TestTheFirstBeginningWaitsForEverySink, however long it is silent: what the lane
// begins with depends on what each holds. Only one that has stopped for good in this
// process is left out.
func TestTheFirstBeginningWaitsForEverySink(t *testing.T) {
	t.Parallel()
	d := follow(t, "warehouse", "cache", "gone")
	d.Gone = func(sink string) bool { return sink == "gone" }
	d.run()
	d.tells("warehouse", queue.LiveMark{})
	for began := time.Now(); time.Since(began) < 6*time.Second; { // one that has begun would not wait so long
		s := d.looks()
		if !strings.HasPrefix(s.Live.Waits, "sink cache has not said yet how far it is") || d.queued() {
			t.Fatalf("after %s: queued %v, waits: %q", time.Since(began), d.queued(), s.Live.Waits)
		}
	}
	d.tells("cache", queue.LiveMark{})
	d.until("the live lane begins", func(s plan.Status) bool { return s.Live.Waits == "" })
	if !d.willBeQueued() {
		t.Error("the task is not queued")
	}
}

// TestALaneThatHasBegunDoesNotWaitForASilentSink: one that is down must not hold up the
// others when a planner starts again.
func TestALaneThatHasBegunDoesNotWaitForASilentSink(t *testing.T) {
	t.Parallel()
	d := follow(t, "warehouse", "silent")
	d.reached(queue.LiveRunning, 0, 810)
	d.run()
	d.tells("warehouse", queue.LiveMark{})
	began := time.Now()
	const silent = "sink silent has not said yet how far it is"
	d.until("it waits, and has asked just now", func(s plan.Status) bool { return s.Live.Waits == silent && s.Live.Soon })
	d.until("the sink does not answer", func(s plan.Status) bool { return s.Live.Waits == silent && !s.Live.Soon })
	if took := time.Since(began); took < 1900*time.Millisecond || took > 3*time.Second {
		t.Errorf("that it waits is news after %s", took)
	}
	d.until("the live lane goes on", func(s plan.Status) bool { return s.Live.Follows && s.Live.Waits == "" })
	if took := time.Since(began); !d.willBeQueued() || took < 4*time.Second {
		t.Errorf("queued %v after %s", d.queued(), took)
	}
}

// TestAnAnswerIsHeardAtTheNextLook, not when the live lane would be looked at anyway.
func TestAnAnswerIsHeardAtTheNextLook(t *testing.T) {
	d := follow(t, "warehouse")
	d.reached(queue.LiveRunning, 0, 810)
	d.run()
	d.until("it waits", func(s plan.Status) bool { return s.Live.Waits != "" })
	d.tells("warehouse", queue.LiveMark{})
	looks := 0
	d.until("nothing is waited for", func(s plan.Status) bool { looks++; return s.Live.Waits == "" })
	if looks > 3 { // one may have been under way, and one not yet taken
		t.Errorf("it took %d looks", looks)
	}
}

func TestAfterBackfillWaitsForTheHistory(t *testing.T) {
	d := follow(t, "warehouse", "cache")
	d.Config.Live.Start = config.AfterBackfill
	d.run()
	d.tells("warehouse", queue.LiveMark{}, block.Range{Start: 700, End: 800})
	d.tells("cache", queue.LiveMark{}, block.Range{Start: 700, End: 750})
	s := d.looks()
	if want := "sink cache does not have the whole history yet"; s.Live.Waits != want || d.queued() {
		t.Errorf("queued %v, waits: %q", d.queued(), s.Live.Waits)
	}
	d.tells("cache", queue.LiveMark{}, block.Range{Start: 700, End: 800})
	d.until("the live lane begins", func(s plan.Status) bool { return s.Live.Waits == "" })
	if !d.willBeQueued() {
		t.Error("the task is not queued")
	}
	// Once begun it goes on, also when a sink lacks history again.
	d.tells("cache", queue.LiveMark{}, block.Range{Start: 700, End: 720})
	if s := d.looks(); s.Live.Waits != "" {
		t.Errorf("waits: %q", s.Live.Waits)
	}
}

// TestAfterBackfillCatchesUp: what the chain has grown meanwhile is history, too.
func TestAfterBackfillCatchesUp(t *testing.T) {
	d := follow(t, "warehouse")
	d.Config.Live.Start = config.AfterBackfill
	d.chain.end = 5000
	d.run()
	d.tells("warehouse", queue.LiveMark{}, block.Range{Start: 700, End: 800})
	d.until("a partition more", func(s plan.Status) bool {
		return slices.ContainsFunc(s.Partitions, func(p queue.Partition) bool { return p.Start == 800 })
	})
	if s := d.stored(); s.Live.Start != 4800 || s.History.End != 4800 || s.Epoch != 1 || s.Live.Points[len(s.Live.Points)-1] != d.chain.at(4799) {
		t.Errorf("plan %+v, origin %+v", s, s.Live)
	}
	if d.queued() {
		t.Error("the live lane begins before the new blocks are there")
	}
}

// TestALateJoinersBlocksAreHistory: those that the live lane had brought before.
func TestALateJoinersBlocksAreHistory(t *testing.T) {
	d := follow(t, "warehouse")
	d.publish(entry.Invalidate, block.Closed(800, 800))
	at := d.publish(entry.Watermark, block.Closed(800, 860))
	d.reached(queue.LiveRunning, at, 861)
	d.apply(0, all) // the sink has its place in the log
	d.run()
	mark := d.mark(at, 850, 860)
	coverage := []block.Range{{Start: 700, End: 800}, {Start: 850, End: 861}}
	d.tells("warehouse", mark, coverage...)
	d.looks()
	d.tells("warehouse", mark, coverage...)
	s := d.until("the blocks between are queued", func(s plan.Status) bool { return len(s.Partitions) > 1 })
	for _, p := range s.Partitions {
		if p.Start != 700 && p.Range() != (block.Range{Start: 800, End: 850}) {
			t.Errorf("partition %v", p.Range())
		}
	}
	if spec := d.stored(); spec.Epoch != 1 {
		t.Errorf("epoch %d", spec.Epoch)
	}
}

// TestAnEpochBegins where every sink can go on, whatever has put one of them astray.
func TestAnEpochBegins(t *testing.T) {
	for name, c := range map[string]struct {
		trouble func(d *tower, marks []uint64)
		start   block.Number
		waits   string
	}{
		"a sink is ahead of the log": {func(d *tower, marks []uint64) {
			d.tells("warehouse", d.mark(marks[2]+100, 800, 900))
			d.tells("cache", d.mark(marks[1], 800, 840))
		}, 841, ""},
		"the log has other entries where a sink's last was": {func(d *tower, marks []uint64) {
			// The log had lost its end; a partition's entry took the place.
			must(d.t, d.Log.TrimLanes(d.t.Context(), queue.Live, marks[2]))
			p := part(700, 800, 1, queue.PartitionOpen)
			e, err := d.encoder.Encode(entry.Header{Kind: entry.Data, Network: "mainnet", Epoch: 1, Range: p.Range(), End: p.End}, nil)
			must(d.t, err)
			seq, err := d.Log.Publish(d.t.Context(), p.Lane(), 0, "other", entry.Group{e})
			must(d.t, err)
			d.seq = 0
			d.publish(entry.Invalidate, block.Closed(800, 800))
			d.tells("warehouse", d.mark(seq, 800, 900))
			d.tells("cache", d.mark(marks[1], 800, 840))
		}, 841, ""},
		"a sink lacks what was trimmed": {func(d *tower, marks []uint64) {
			d.tells("warehouse", d.mark(marks[2], 800, 900))
			d.tells("cache", d.mark(marks[0], 800, 820))
			must(d.t, d.Log.TrimLanes(d.t.Context(), queue.Live, marks[1]))
		}, 821, ""},
		"a sink lacks what came before a lane that began again": {func(d *tower, marks []uint64) {
			must(d.t, d.Log.TrimLanes(d.t.Context(), queue.Live, marks[2]))
			d.seq = 0
			again := d.publish(entry.Invalidate, block.Closed(800, 800))
			d.tells("warehouse", d.mark(again, 800, 900))
			d.tells("cache", d.mark(marks[1], 800, 840))
		}, 841, ""},
		"the lane is lost": {func(d *tower, marks []uint64) {
			d.reached(queue.LiveLost, marks[2], 901)
			d.tells("warehouse", d.mark(marks[2], 800, 900))
			d.tells("cache", d.mark(marks[2], 800, 900))
		}, 901, ""},
		"the lane is lost, and everything has left the chain": {func(d *tower, marks []uint64) {
			d.tells("warehouse", d.mark(marks[2], 800, 900))
			d.tells("cache", d.mark(marks[2], 800, 900))
			d.chain.reorg(650)
			d.reached(queue.LiveLost, marks[2], 901)
		}, 700, ""},
		"and no sink has begun": {func(d *tower, marks []uint64) {
			d.reached(queue.LiveLost, marks[2], 901)
			d.tells("warehouse", queue.LiveMark{})
			d.tells("cache", queue.LiveMark{})
		}, 800, ""},
		"and a sink has no watermark yet": {func(d *tower, marks []uint64) {
			d.reached(queue.LiveLost, marks[2], 901)
			d.tells("warehouse", d.mark(marks[2], 800, 900))
			d.tells("cache", queue.LiveMark{Started: true, Epoch: 1, Seq: marks[0] - 1, Start: 790})
		}, 790, ""},
		"and a sink was taken back to the first block of the chain": {func(d *tower, marks []uint64) {
			d.reached(queue.LiveLost, marks[2], 901)
			mark := d.mark(marks[2], 800, 799)
			mark.Cursor.Hash = block.Hash{}
			d.tells("warehouse", mark)
			d.tells("cache", d.mark(marks[2], 800, 900))
		}, 800, ""},
		"and a sink is far behind": {func(d *tower, marks []uint64) {
			d.chain.set(func(s *moving) { s.end = 20_000 })
			d.reached(queue.LiveLost, marks[2], 15_001)
			d.tells("warehouse", d.mark(marks[2], 800, 15_000))
			d.tells("cache", d.mark(marks[0], 800, 820))
		}, 15_001, ""},
		"and a sink is far behind, but above where another has to begin": {func(d *tower, marks []uint64) {
			d.chain.set(func(s *moving) { s.end = 20_000 })
			stray := d.mark(marks[2], 800, 15_000)
			d.chain.reorg(14_990)
			d.reached(queue.LiveLost, marks[2], 15_001)
			d.tells("warehouse", stray)
			d.tells("cache", d.mark(marks[0], 790, 820))
		}, 800, ""},
		"and a sink is on a fork that is gone": {func(d *tower, marks []uint64) {
			// cache is the lower one, and on the chain; warehouse has other blocks below
			// cache's cursor.
			stray := d.mark(marks[1], 800, 860)
			d.chain.reorg(830)
			d.reached(queue.LiveLost, marks[2], 846)
			d.tells("warehouse", stray)
			d.tells("cache", d.mark(marks[2], 800, 845))
		}, 800, ""},
		"and the fork is deeper than the lane": {func(d *tower, marks []uint64) {
			stray := d.mark(marks[1], 800, 860)
			d.chain.reorg(770)
			d.reached(queue.LiveLost, marks[2], 846)
			d.tells("warehouse", stray)
			d.tells("cache", d.mark(marks[2], 770, 845))
		}, 736, ""},
		"and the chain is not as long as it was": {func(d *tower, marks []uint64) {
			d.reached(queue.LiveLost, marks[2], 901)
			d.tells("warehouse", d.mark(marks[2], 800, 900))
			d.tells("cache", d.mark(marks[2], 800, 900))
			d.chain.set(func(s *moving) { s.end = 890 })
		}, 901, "its head is block 889, and block"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := follow(t, "warehouse", "cache")
			marks := []uint64{}
			d.publish(entry.Invalidate, block.Closed(800, 800))
			for _, r := range []block.Range{block.Closed(800, 820), block.Closed(821, 840), block.Closed(841, 900)} {
				marks = append(marks, d.publish(entry.Watermark, r))
			}
			d.reached(queue.LiveRunning, marks[2], 901)
			d.run()
			d.looks()
			if s := d.stored(); s.Epoch != 1 {
				t.Fatalf("epoch %d before the sinks have said how far they are", s.Epoch)
			}
			c.trouble(d, marks)
			if c.waits != "" {
				d.until("it waits", func(s plan.Status) bool { return strings.Contains(s.Live.Waits, c.waits) })
				d.chain.set(func(s *moving) { s.end = 1000 })
			}
			d.until("an epoch begins", func(plan.Status) bool { return d.stored().Epoch == 2 })
			s := d.stored()
			if s.Live.Start != c.start || s.Live.Open {
				t.Errorf("the epoch begins at %d (open %v), want %d", s.Live.Start, s.Live.Open, c.start)
			}
			for i, p := range s.Live.Points {
				if p != d.chain.at(p.Number) || i > 0 && p.Number <= s.Live.Points[i-1].Number {
					t.Errorf("point %v is not in the chain, or not in order: %v", p, s.Live.Points)
				}
			}
			if n := len(s.Live.Points); n == 0 || s.Live.Points[n-1].Number != c.start-1 {
				t.Errorf("points %v, want one at %d", s.Live.Points, c.start-1)
			}
			if s.History.Start != 700 || s.History.End < min(800, c.start) {
				t.Errorf("history %v", s.History)
			}
			// The sinks as they are fit the epoch that has begun: there is no other one.
			d.until("the task is queued", func(plan.Status) bool { return d.queued() })
			d.looks()
			if s := d.stored(); s.Epoch != 2 {
				t.Errorf("epoch %d", s.Epoch)
			}
		})
	}
}

// TestNoEpochBegins where a sink is only slow.
func TestNoEpochBegins(t *testing.T) {
	d := follow(t, "warehouse", "cache", "late")
	d.publish(entry.Invalidate, block.Closed(800, 800))
	first := d.publish(entry.Watermark, block.Closed(800, 820))
	other := d.publish(entry.Watermark, block.Closed(821, 840))
	last := d.publish(entry.Watermark, block.Closed(841, 900))
	must(t, d.Log.TrimLanes(t.Context(), queue.Live, first))
	d.reached(queue.LiveRunning, last, 901)
	d.run()
	d.tells("warehouse", d.mark(first, 800, 820)) // needs the first that is left
	d.tells("cache", d.mark(other, 800, 840))
	d.tells("late", queue.LiveMark{})
	d.until("the live lane goes on", func(s plan.Status) bool { return s.Live.Follows && s.Live.Waits == "" })
	d.looks()
	d.tells("cache", d.mark(last, 800, 900))
	d.looks()
	if s := d.stored(); s.Epoch != 1 {
		t.Errorf("epoch %d", s.Epoch)
	}
}

// TestALaneThatFailed ends the run with its error; another run tries again.
func TestALaneThatFailed(t *testing.T) {
	d := follow(t, "warehouse")
	ended, stop := d.run()
	d.tells("warehouse", queue.LiveMark{})
	d.until("the live lane begins", func(plan.Status) bool { return d.queued() })
	d.save(queue.LivePosition{
		Epoch: 1, Next: 820, Phase: queue.LiveFailed, Error: "the chain was reorganised deeper than is remembered", Reorgs: 7,
	})
	err := d.endsBy(ended)
	if fault.Of(err) != fault.ClassPermanent || !strings.Contains(err.Error(), "deeper than is remembered") {
		t.Errorf("the run ended with %v", err)
	}
	stop()
	task, err := d.Tasks.Next(t.Context(), queue.LiveTask)
	must(t, err)
	must(t, task.Done(t.Context()))

	ended, _ = d.run()
	d.tells("warehouse", queue.LiveMark{})
	d.until("it is tried again", func(plan.Status) bool { return d.queued() })
	if p, _, err := d.State.LivePosition(t.Context()); err != nil || p.Phase != queue.LiveRunning || p.Next != 820 || p.Reorgs != 7 {
		t.Errorf("position %+v, %v", p, err)
	}
	d.looks()
	select {
	case err := <-ended:
		t.Errorf("the new run ended with %v", err)
	default:
	}
}

// endsBy looks until the run ends.
func (d *tower) endsBy(ended chan error) error {
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

// TestTrimKeepsTheLastWatermark: whoever writes the lane next begins there.
func TestTrimKeepsTheLastWatermark(t *testing.T) {
	d := follow(t, "warehouse")
	d.publish(entry.Invalidate, block.Closed(800, 800))
	d.publish(entry.Watermark, block.Closed(800, 820))
	last := d.publish(entry.Watermark, block.Closed(821, 840))
	p := part(700, 800, 1, queue.PartitionDone)
	e, err := d.encoder.Encode(entry.Header{Kind: entry.Data, Network: "mainnet", Epoch: 1, Range: p.Range(), End: p.End}, nil)
	must(t, err)
	must(t, second(d.Log.Publish(t.Context(), p.Lane(), 0, "history", entry.Group{e})))
	d.reached(queue.LiveRunning, last, 841)
	d.apply(1, all)
	live, err := d.Log.Consume(t.Context(), "warehouse", queue.ConsumeOptions{Lanes: queue.Live})
	must(t, err)
	for range 3 {
		m, err := live.Next(t.Context())
		must(t, err)
		must(t, m.Ack())
	}
	live.Close()
	d.run()
	d.tells("warehouse", d.mark(last, 800, 840), block.Range{Start: 700, End: 841})
	d.until("the log is trimmed", func(plan.Status) bool {
		state, err := d.Log.State(t.Context())
		must(t, err)
		return state.First == last
	})
	d.looks()
	tail, err := d.Log.Tail(t.Context(), queue.LiveLane)
	must(t, err)
	if !tail.Found || tail.Seq != last || tail.Entry.Kind != entry.Watermark {
		t.Errorf("the lane ends with %+v", tail)
	}
	if s := d.stored(); s.Epoch != 1 {
		t.Errorf("epoch %d", s.Epoch)
	}
}

// TestTrimWaitsForTheSlowestReport: acknowledgements are ahead of reports, and by the
// reports it is judged whether a sink lacks what was trimmed.
func TestTrimWaitsForTheSlowestReport(t *testing.T) {
	d := follow(t, "warehouse", "cache")
	var seqs []uint64
	for n := block.Number(800); n < 840; n += 10 {
		seqs = append(seqs, d.publish(entry.Watermark, block.Closed(n, n+9)))
	}
	reported, last := seqs[1], seqs[3]
	d.reached(queue.LiveRunning, last, 840)
	p := part(700, 800, 1, queue.PartitionDone)
	e, err := d.encoder.Encode(entry.Header{Kind: entry.Data, Network: "mainnet", Epoch: 1, Range: p.Range(), End: p.End}, nil)
	must(t, err)
	must(t, second(d.Log.Publish(t.Context(), p.Lane(), 0, "history", entry.Group{e})))
	for _, sink := range []string{"warehouse", "cache"} {
		for lanes, entries := range map[queue.Lanes]int{queue.History: 1, queue.Live: len(seqs)} {
			consumer, err := d.Log.Consume(t.Context(), sink, queue.ConsumeOptions{Lanes: lanes})
			must(t, err)
			for range entries {
				m, err := consumer.Next(t.Context())
				must(t, err)
				must(t, m.Ack())
			}
			consumer.Close()
		}
	}
	whole := block.Range{Start: 700, End: 840}
	d.tells("warehouse", d.mark(last, 800, 839), whole)
	d.tells("cache", d.mark(reported, 800, 819), block.Range{Start: 700, End: 820})
	first := func() uint64 {
		state, err := d.Log.State(t.Context())
		must(t, err)
		return state.First
	}
	d.run()
	d.until("the log is trimmed", func(plan.Status) bool { return first() > 1 })
	d.looks()
	if got := first(); got != reported+1 {
		t.Errorf("the log begins with %d, and a sink has reported up to %d only", got, reported)
	}
	d.tells("cache", d.mark(last, 800, 839), whole)
	d.until("the rest is trimmed", func(plan.Status) bool { return first() == last })
	if s := d.stored(); s.Epoch != 1 {
		t.Errorf("epoch %d has begun for nothing", s.Epoch)
	}
}

// TestASinkThatHasFailedDoesNotHoldACrowdedLog: as long as there is room it does, and
// one that waits always does. What it lacks then is no reason for an epoch before it
// is back.
func TestASinkThatHasFailedDoesNotHoldACrowdedLog(t *testing.T) {
	d := follow(t, "warehouse", "cache")
	var seqs []uint64
	for n := block.Number(800); n < 840; n += 10 {
		seqs = append(seqs, d.publish(entry.Watermark, block.Closed(n, n+9)))
	}
	last := seqs[3]
	d.reached(queue.LiveRunning, last, 840)
	for sink, entries := range map[string]int{"warehouse": len(seqs), "cache": 1} {
		consumer, err := d.Log.Consume(t.Context(), sink, queue.ConsumeOptions{})
		must(t, err)
		consumer.Close()
		consumer, err = d.Log.Consume(t.Context(), sink, queue.ConsumeOptions{Lanes: queue.Live})
		must(t, err)
		for range entries {
			m, err := consumer.Next(t.Context())
			must(t, err)
			must(t, m.Ack())
		}
		consumer.Close()
	}
	report := func(state queue.SinkState, reason string) {
		must(t, d.State.PutReport(t.Context(), queue.SinkReport{
			Name: "cache", Live: d.mark(seqs[0], 800, 809), Coverage: block.NewSet(block.Range{Start: 700, End: 810}), State: state, Reason: reason,
		}))
	}
	d.tells("warehouse", d.mark(last, 800, 839), block.Range{Start: 700, End: 840})
	report(queue.SinkFailed, "block 810 is refused")
	first := func() uint64 {
		state, err := d.Log.State(t.Context())
		must(t, err)
		return state.First
	}
	d.run()
	s := d.looks()
	if d.looks(); first() != seqs[1] {
		t.Errorf("the log begins with %d, want what the failed sink lacks: there is room", first())
	}
	if s.Sinks[1].Stopped != "block 810 is refused" || s.Sinks[0].Stopped != "" {
		t.Errorf("stopped are %+v", s.Sinks)
	}

	// Large entries that one of them has not applied make the log crowded.
	p := part(700, 800, 1, queue.PartitionDone)
	for i := range 5 {
		e := entry.Entry{Header: entry.Header{Kind: entry.Data, Codec: entry.None, Network: "mainnet", Epoch: 1, Schema: "0123456789abcdef", Range: p.Range(), End: p.End}, Payload: make([]byte, 7<<20)}
		must(t, second(d.Log.Publish(t.Context(), fmt.Sprintf("p.%d.9", i), 0, "filler", entry.Group{e})))
	}
	d.apply(5, all)
	report(queue.SinkPaused, "connection refused")
	d.looks()
	if d.looks(); first() != seqs[1] {
		t.Errorf("the log begins with %d, want what the paused sink lacks", first())
	}
	report(queue.SinkFailed, "block 810 is refused")
	d.until("the log is trimmed", func(plan.Status) bool { return first() == last })
	d.looks()
	if s := d.stored(); s.Epoch != 1 {
		t.Errorf("epoch %d has begun for a sink that does not run", s.Epoch)
	}
	report(queue.SinkRunning, "")
	d.until("an epoch for the sink that is back", func(plan.Status) bool { return d.stored().Epoch > 1 })
}

// TestABoundedChainEnds when every sink has everything below max_block.
func TestABoundedChainEnds(t *testing.T) {
	d := follow(t, "warehouse", "cache")
	end := block.Number(900)
	d.spec.MaxBlock = &end
	ended, _ := d.run()
	whole := block.Range{Start: 700, End: 900}
	d.tells("warehouse", d.mark(1, 800, 880), whole)
	d.tells("cache", d.mark(1, 800, 880), block.Range{Start: 700, End: 899})
	d.save(queue.LivePosition{Epoch: 1, Next: end, Phase: queue.LiveDone, Until: &end})
	if s := d.looks(); s.Complete {
		t.Error("complete, though a sink lacks a block")
	}
	d.tells("cache", d.mark(1, 800, 880), whole)
	must(t, d.endsBy(ended))
}

// TestADoneLaneRestsUntilItsEndMoves.
func TestADoneLaneRestsUntilItsEndMoves(t *testing.T) {
	d := follow(t, "warehouse")
	end := block.Number(900)
	d.spec.MaxBlock = &end
	_, stop := d.run()
	d.tells("warehouse", queue.LiveMark{}, block.Range{Start: 700, End: 800})
	d.save(queue.LivePosition{Epoch: 1, Next: end, Phase: queue.LiveDone, Until: &end})
	d.until("the lane is done", func(s plan.Status) bool { return s.Live.Next == end && s.Live.Waits == "" })
	d.looks()
	if d.queued() {
		t.Error("a lane that is done is begun again")
	}
	stop()
	spec, rev, err := d.State.LoadSpec(t.Context())
	must(t, err)
	further := block.Number(950)
	spec.MaxBlock = &further
	must(t, second(d.State.SaveSpec(t.Context(), spec, rev)))
	d.run()
	d.tells("warehouse", queue.LiveMark{}, block.Range{Start: 700, End: 801})
	d.until("the lane goes on", func(plan.Status) bool { return d.queued() })
}

// TestALaneThatIsDoneBeginsAgainForASinkThatMissedIt: it joined when the log no longer
// held the lane, or did not run before that.
func TestALaneThatIsDoneBeginsAgainForASinkThatMissedIt(t *testing.T) {
	d := follow(t, "warehouse", "cache")
	end := block.Number(900)
	d.spec.MaxBlock = &end
	d.publish(entry.Invalidate, block.Closed(800, 800))
	last := d.publish(entry.Watermark, block.Closed(800, 899))
	d.save(queue.LivePosition{Epoch: 1, Seq: last, Next: end, Phase: queue.LiveDone, Until: &end})
	must(t, d.Log.Trim(t.Context(), last-1))
	consumer, err := d.Log.Consume(t.Context(), "cache", queue.ConsumeOptions{Lanes: queue.Live})
	must(t, err)
	m, err := consumer.Next(t.Context())
	must(t, err)
	must(t, m.Ack()) // it closes what this sink has not
	consumer.Close()
	d.run()
	d.tells("warehouse", d.mark(last, 800, 899), block.Range{Start: 700, End: 900})
	d.tells("cache", queue.LiveMark{}, block.Range{Start: 700, End: 780})
	d.looks()
	if s := d.stored(); s.Epoch != 1 {
		t.Fatal("an epoch has begun at once: what the sink lacks may be on its way")
	}
	d.until("an epoch", func(plan.Status) bool {
		d.tells("cache", queue.LiveMark{}, block.Range{Start: 700, End: 800})
		return d.stored().Epoch > 1
	})
	// All of the lane is within the reach of every other sink: it comes as history.
	d.until("the lane's blocks are queued", func(s plan.Status) bool {
		return slices.ContainsFunc(s.Partitions, func(p queue.Partition) bool { return p.Range() == block.Range{Start: 800, End: 900} })
	})
}

// TestAnOpenOriginIsSettled when the chain arrives there.
func TestAnOpenOriginIsSettled(t *testing.T) {
	d := follow(t, "warehouse")
	d.spec.History = block.Range{Start: 1100, End: 1100}
	d.spec.Live = &queue.Origin{Start: 1100, Open: true}
	reasons := make(chan string, 1)
	d.OnWait = func(reason error) {
		if reason == nil {
			return
		}
		select {
		case reasons <- reason.Error():
		default: // one is enough
		}
	}
	d.run()
	d.tells("warehouse", queue.LiveMark{})
	d.until("it waits", func(s plan.Status) bool {
		return s.Live.Waits == "the chain has not reached block 1100; its head is block 999"
	})
	d.looks()
	if s := d.stored(); !s.Live.Open || d.queued() {
		t.Errorf("origin %+v, queued %v", s.Live, d.queued())
	}
	// A server that is slow is not one that lacks the block.
	d.chain.set(func(s *moving) { s.end, s.slow = 1102, true })
	var text string
	for text == "" {
		select {
		case text = <-reasons:
		case <-d.status: // the planner looks again
		}
	}
	if !strings.Contains(text, "ask for the hash of block 1099: "+amp.ErrUnanswered.Error()) {
		t.Errorf("of a slow server it says %s", text)
	}
	// The rows of the block cannot be computed, and its hash is known all the same.
	d.chain.set(func(s *moving) { s.slow, s.fails = false, true })
	d.until("the live lane begins", func(plan.Status) bool { return d.queued() })
	if s := d.stored(); s.Live.Open || s.Live.Start != 1100 || !slices.Equal(s.Live.Points, []block.Cursor{d.chain.at(1099)}) || s.Epoch != 1 {
		t.Errorf("origin %+v", s.Live)
	}
}

// TestALaneThatIsNoMoreWaitsForNothing: the chain has grown beyond max_block while the
// history was loaded, and everything is history.
func TestALaneThatIsNoMoreWaitsForNothing(t *testing.T) {
	d := follow(t, "warehouse")
	d.Config.Live.Start = config.AfterBackfill
	d.chain.end = 5000
	end := block.Number(900)
	d.spec.MaxBlock = &end
	d.run()
	d.tells("warehouse", queue.LiveMark{}, block.Range{Start: 700, End: 800})
	d.until("all is history", func(plan.Status) bool { return d.stored().Live == nil })
	d.looks()
	if s := d.looks(); s.Live != (plan.LiveStatus{}) {
		t.Errorf("the status shows a live lane: %+v", s.Live)
	}
}

// TestTheLaneGoesToMaxBlockForASinkFarBehind, though another has everything: only the
// lane can void what the one that is behind may have of another fork.
func TestTheLaneGoesToMaxBlockForASinkFarBehind(t *testing.T) {
	d := follow(t, "warehouse", "cache")
	end := block.Number(30_000)
	d.spec.MaxBlock, d.chain.end = &end, 30_100
	ended, _ := d.run()
	d.publish(entry.Invalidate, block.Closed(800, 800))
	kept := d.publish(entry.Watermark, block.Closed(800, 899))
	d.publish(entry.Watermark, block.Closed(900, 29_998))
	last := d.publish(entry.Watermark, block.Closed(29_999, 29_999))
	d.save(queue.LivePosition{Epoch: 1, Seq: last, Next: end, Phase: queue.LiveDone, Until: &end})
	must(t, d.Log.Trim(t.Context(), last-1))
	d.tells("warehouse", d.mark(last, 800, 29_999), block.Range{Start: 700, End: end})
	d.tells("cache", d.mark(kept, 800, 899), block.Range{Start: 700, End: 900}) // a backup was restored
	d.until("an epoch", func(plan.Status) bool { return d.stored().Epoch > 1 })
	if s := d.stored(); !s.Follows() || s.Live.Start != 900 {
		t.Errorf("the lane begins at %d, want it to bring what the one lacks, from block 900 on", s.Live.Start)
	}
	select {
	case err := <-ended:
		t.Errorf("the planner has ended, though a sink lacks blocks: %v", err)
	default:
	}
}

// TestWhatALaneHasBroughtToItsEndIsHistory once it begins again where all sinks have
// everything: it brings nothing more to one that comes later, or is set back.
func TestWhatALaneHasBroughtToItsEndIsHistory(t *testing.T) {
	d := follow(t, "warehouse")
	end := block.Number(900)
	d.spec.MaxBlock = &end
	d.run()
	d.save(queue.LivePosition{Epoch: 1, Seq: 7, Next: end, Phase: queue.LiveDone, Until: &end}) // lost from the log
	d.tells("warehouse", d.mark(7, 800, 899), block.Range{Start: 750, End: 900})
	d.until("an epoch", func(plan.Status) bool { return d.stored().Epoch > 1 })
	if s := d.stored(); s.Follows() || s.History != (block.Range{Start: 700, End: end}) {
		t.Errorf("follows %v, history %v", s.Follows(), s.History)
	}
}

// TestAnEndBelowTheLane, which the user has set since the lane began: all is history,
// also the blocks that a new pipeline would follow.
func TestAnEndBelowTheLane(t *testing.T) {
	d := follow(t, "warehouse")
	d.Config.Source.Query = d.spec.Query
	d.Config.Range = config.Range{MinBlock: 700, ReorgBuffer: 50}
	planned := func() queue.Spec {
		c, err := plan.Check(t.Context(), d.chain, d.Config)
		must(t, err)
		s, err := d.Plan(t.Context(), c)
		must(t, err)
		return s
	}
	if s := planned(); s.Live.Start != 950 {
		t.Fatalf("the lane begins at block %d", s.Live.Start)
	}
	end := block.Number(900)
	d.Config.Range.MaxBlock, d.Config.Range.ReorgBuffer = &end, 200
	if s := planned(); s.Follows() || s.History != (block.Range{Start: 700, End: end}) {
		t.Errorf("follows %v, history %v", s.Follows(), s.History)
	}
}
