package pipeline_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/apply"
)

// destination is where a sink of the model writes to. To put another kind of sink
// to the test, write one and add it to [destinations].
type destination interface {
	name() string
	// writer returns a new writer, as each process of the sink has.
	writer() sink.Writer
	// rows reads everything back, by another way than the writer's.
	rows(ctx context.Context) ([]modelRow, error)
	// disturb breaks every connection of the writers.
	disturb(ctx context.Context) error
	// backup copies everything; restore, which may be called more than once while no
	// writer is at work, takes the destination back to it.
	backup(ctx context.Context) (restore func(context.Context) error, err error)
	// proxies carries the connections of the writers that are open; empty: they have
	// none that can be frozen.
	proxies() []*proxy
}

// destinations makes those of one round.
var destinations = []func(*testing.T, *commandEnv) destination{
	func(t *testing.T, e *commandEnv) destination { return newPostgresModel(t, e, config.Append) },
	func(t *testing.T, e *commandEnv) destination { return newPostgresModel(t, e, config.Upsert) },
	func(t *testing.T, e *commandEnv) destination { return newRedisModel(t, e) },
	func(t *testing.T, e *commandEnv) destination { return newDeltaModel(t, e) },
}

// TestModel lets a random chain with random forks go through whole pipelines whose
// processes are killed at random and whose deliveries are doubled, late and out of
// order. When everything is calm again every destination holds the canonical chain,
// in every value.
//
// AMPIPE_MODEL_SECONDS is how long it runs, in rounds of half a minute, each with a
// seed of its own; without it three short rounds are run side by side.
// AMPIPE_MODEL_SEED repeats the random choices of a round, which the scheduling of
// the processes does not.
func TestModel(t *testing.T) {
	t.Parallel()
	for _, make := range destinations {
		make(t, newCommandEnv(t)) // skips without its server
	}
	seconds, _ := strconv.Atoi(os.Getenv("AMPIPE_MODEL_SECONDS")) // 0: short
	seed, err := strconv.ParseUint(os.Getenv("AMPIPE_MODEL_SEED"), 10, 64)
	if err != nil {
		seed = rand.Uint64N(1 << 40)
	}
	var total modelCounts
	defer func() { t.Logf("in all: %v", &total) }()
	round := func(seed uint64, lasts time.Duration) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			m := newModel(t, seed)
			defer func() { total.add(&m.counts) }()
			m.run(lasts)
		})
	}
	var rounds sync.WaitGroup
	defer rounds.Wait()
	if seconds == 0 {
		for i := range uint64(3) {
			rounds.Go(func() { round(seed+i, 6*time.Second) })
		}
		return
	}
	until := time.Now().Add(time.Duration(seconds) * time.Second)
	for i := range uint64(2) {
		rounds.Go(func() {
			for next := seed + i; time.Now().Before(until) && !t.Failed(); next += 2 {
				round(next, 30*time.Second)
			}
		})
	}
}

// modelCounts is what happened.
type modelCounts struct {
	mu                             sync.Mutex
	blocks, reorgs, deepest, below int
	kills, holders, duplicates     int
	disturbed                      disturbed
}

func (c *modelCounts) note(name string) {
	if c.disturbed == nil {
		c.disturbed = disturbed{}
	}
	c.disturbed[name]++
}

func (c *modelCounts) add(o *modelCounts) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.blocks, c.reorgs, c.deepest, c.below = c.blocks+o.blocks, c.reorgs+o.reorgs, max(c.deepest, o.deepest), c.below+o.below
	c.kills, c.holders, c.duplicates = c.kills+o.kills, c.holders+o.holders, c.duplicates+o.duplicates
	for name, n := range o.disturbed {
		for range n {
			c.note(name)
		}
	}
}

// String tells them.
func (c *modelCounts) String() string {
	return fmt.Sprintf("%d blocks, %d reorgs (deepest %d, %d below the first live block), %d kills (%d of extractors), "+
		"%d entries delivered twice; %v",
		c.blocks, c.reorgs, c.deepest, c.below, c.kills, c.holders, c.duplicates, c.disturbed)
}

// model is one round.
type model struct {
	*testPipeline
	t      *testing.T
	random *rand.Rand // of the one goroutine that runs the round
	chain  *modelChain
	counts modelCounts

	destinations []destination
	slots        []*slot
	calm         atomic.Bool   // nothing more goes wrong
	calmed       chan struct{} // closed then
	duplicates   atomic.Int64
	expected     []string // errors that members may have ended with
	retries      bool     // what failed for good is to be tried again in the end

	*dice
	backups    [][]func(context.Context) error // by destination, how to go back to them
	afterwards sync.WaitGroup                  // what ends by itself after a disturbance

	outages     sync.Mutex
	outageFate  amptest.Fault
	outageUntil time.Time
}

// slot is a place for a process: the one that dies there is followed by another.
type slot struct {
	name  string
	stage func(context.Context, *queue.Conn) error
	*proc
}

func newModel(t *testing.T, seed uint64) *model {
	e := newCommandEnv(t)
	m := &model{
		t: t, random: rand.New(rand.NewPCG(seed, 0)),
		chain: newModelChain(rand.New(rand.NewPCG(seed, 1))),
		dice:  &dice{random: rand.New(rand.NewPCG(seed, 2))}, calmed: make(chan struct{}),
		backups: make([][]func(context.Context) error, len(destinations)),
	}
	chance := m.fate
	srv := amptest.Start(t, func(q amptest.Query) amptest.Answer {
		if q.Stream() {
			return m.chain.Answer(q)
		}
		if !m.calm.Load() && wrapped.MatchString(q.SQL) { // history takes its time
			<-time.After(time.Duration(chance(600)) * time.Millisecond)
		}
		return batch(m.chain.Chain, q.SQL)
	})
	var decide func(amptest.Query) amptest.Fault
	decide = func(amptest.Query) amptest.Fault {
		srv.Next(decide)
		if m.calm.Load() {
			return amptest.Pass()
		}
		if fate, troubled := m.troubled(); troubled {
			return fate
		}
		switch after := 1 + chance(40); chance(40) {
		case 0:
			return amptest.CutAfter(after)
		case 1:
			return amptest.EndAfter(after)
		case 2:
			return amptest.FailAfter(after, codes.Internal, "streaming query execution error | Caused by: something")
		case 3:
			return amptest.Refuse(codes.Unavailable, "try later")
		default:
			return amptest.Pass()
		}
	}
	srv.Next(decide)

	m.testPipeline = &testPipeline{stageEnv: newStageEnv(t), size: 40, entry: 16 << 10, config: &config.Pipeline{
		Name:    "model",
		Source:  config.Source{Amp: srv.URL(), Query: "SELECT * FROM model.rows"},
		Range:   config.Range{ReorgBuffer: 50},
		Log:     config.Log{MaxBytes: 256 << 20, Compression: "none", EntryBytes: 8 << 10},
		Extract: config.Extract{Workers: 2},
	}}
	m.chain.live = m.chain.head() + 1 - block.Number(m.config.Range.ReorgBuffer)
	if m.random.IntN(2) == 0 {
		m.config.Log.Replay = time.Hour // else what every sink has is trimmed at once
	}
	for range 1 + m.random.IntN(3) {
		m.slots = append(m.slots, &slot{name: "planner", stage: m.planner})
	}
	for range 2 {
		m.slots = append(m.slots, &slot{name: "extractor", stage: m.extractor})
	}
	for _, make := range destinations {
		d := make(t, e)
		m.destinations = append(m.destinations, d)
		m.config.Sinks = append(m.config.Sinks, config.Sink{Name: d.name()})
		for range 1 + m.random.IntN(3) {
			random := rand.New(rand.NewPCG(seed, m.random.Uint64()))
			var sharing sync.Mutex
			badly := func(s apply.Source) apply.Source {
				sharing.Lock() // the next process begins while the one before ends
				defer sharing.Unlock()
				return &unruly{Source: s, random: rand.New(rand.NewPCG(random.Uint64(), 0)), model: m}
			}
			m.slots = append(m.slots, &slot{name: "sink " + d.name(), stage: m.sink(d.name(), d.writer, badly)})
		}
	}
	return m
}

// run lets everything go wrong for a while, then makes it calm and compares.
func (m *model) run(lasts time.Duration) {
	defer func() {
		m.counts.blocks, m.counts.reorgs = m.chain.made, m.chain.reorgs
		m.counts.deepest, m.counts.below = m.chain.deepest, m.chain.below
		m.counts.duplicates = int(m.duplicates.Load())
		m.t.Log(&m.counts)
	}()
	for _, s := range m.slots {
		s.proc = m.start(s.name, s.stage)
	}
	defer func() {
		for _, s := range m.slots {
			s.cancel(errKilled)
		}
		for _, s := range m.slots {
			<-s.done
		}
	}()

	mining, pause := context.WithCancel(context.Background())
	var miner sync.WaitGroup
	miner.Go(func() { m.chain.mine(mining) })
	m.injectFaults(time.Now().Add(lasts))
	pause()
	miner.Wait()
	m.calm.Store(true)
	close(m.calmed)
	m.afterwards.Wait()
	if m.retries {
		m.retryFailed()
	}
	m.settle()
}

// injectFaults disturbs the pipeline until a time.
func (m *model) injectFaults(until time.Time) {
	const kills = 6 // and the weight of them among the disturbances
	picked := m.disturbances()
	for round := 0; time.Now().Before(until) && !m.t.Failed(); round++ {
		<-time.After(time.Duration(200+m.random.IntN(1400)) * time.Millisecond)
		m.revive()
		if round%4 == 0 {
			m.backUp()
		}
		if i := m.random.IntN(kills + len(picked)); i < len(picked) && m.disturb(picked[i]) {
			continue
		}
		s := m.slots[m.random.IntN(len(m.slots))]
		m.counts.kills++
		if s.name == "extractor" {
			m.counts.holders++
		}
		s.kill()
		s.proc = m.start(s.name, s.stage)
	}
}

// retryFailed starts the planners again as an operator does who has mended the cause of
// failures.
func (m *model) retryFailed() {
	m.retry = true
	for _, s := range m.slots {
		if s.name == "planner" {
			s.kill()
			s.proc = m.start(s.name, s.stage)
		}
	}
}

// with uses a connection of the test's own.
func (m *model) with(do func(context.Context, *queue.Conn) error) error {
	ctx, cancel := context.WithTimeout(m.t.Context(), time.Minute)
	defer cancel()
	c, err := queue.Open(ctx, queue.Config{URL: m.nats.URL()})
	if err != nil {
		return err
	}
	defer c.Close()
	return do(ctx, c)
}

// revive starts again what has ended by itself, if a disturbance explains that.
func (m *model) revive() {
	for _, s := range m.slots {
		select {
		case <-s.done:
		default:
			continue
		}
		if !m.expectedEnd(s.err) {
			m.t.Errorf("%s ended by itself: %v", s.name, s.err)
		}
		s.proc = m.start(s.name, s.stage)
	}
}

// settle waits until every destination is at the head, and compares.
func (m *model) settle() {
	ctx, cancel := context.WithTimeout(m.t.Context(), 2*time.Minute)
	defer cancel()
	var table sink.Table
	err := m.with(func(_ context.Context, c *queue.Conn) error {
		state, err := c.State(ctx, m.config.Name)
		if err == nil {
			_, table, err = m.plan(ctx, state)
		}
		return err
	})
	if err != nil {
		m.t.Fatalf("read the plan: %v", err)
	}
	for _, d := range m.destinations {
		if err := m.compared(ctx, d, table); err != nil {
			m.t.Errorf("%s: %v", d.name(), err)
		}
	}
}

// compared compares a destination when it has settled. One that has moved meanwhile,
// because an epoch began, has to settle again.
func (m *model) compared(ctx context.Context, d destination, table sink.Table) error {
	table.Sink = d.name()
	w := d.writer()
	defer func() { _ = w.Close() }() // it only looked
	if err := fault.Retry(ctx, quickly, func(ctx context.Context) error { return w.Open(ctx, table) }, nil); err != nil {
		return err
	}
	for {
		before, err := m.settled(ctx, w)
		if err != nil {
			return err
		}
		got, err := d.rows(ctx)
		if err != nil {
			return err
		}
		after, err := w.State(ctx)
		if err != nil {
			return err
		}
		if before.Live == after.Live {
			m.compare(d.name(), got)
			return nil
		}
	}
}

// settled waits until a destination holds everything up to the head.
func (m *model) settled(ctx context.Context, w sink.Writer) (sink.State, error) {
	head := m.chain.Head()
	var known sink.State
	for {
		s, err := w.State(ctx)
		if err == nil {
			known = s
		}
		if err == nil && s.Live.Cursor == head && s.Coverage.Covers(block.Closed(0, head.Number)) {
			return s, nil
		}
		if ctx.Err() != nil {
			return s, fmt.Errorf("not at the head %v, but at %+v (%v)", head, known, err)
		}
		m.revive()
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// compare holds the rows of a destination against the canonical chain.
func (m *model) compare(name string, got []modelRow) {
	want := m.chain.rows()
	slices.SortFunc(got, modelRow.compare)
	if len(want) == 0 {
		m.t.Fatal("the chain has no rows")
	}
	for i, told := 0, 0; i < max(len(got), len(want)) && told < 5; i++ {
		switch {
		case i >= len(got):
			m.t.Errorf("%s lacks %v", name, want[i])
			told++
		case i >= len(want):
			m.t.Errorf("%s has %v, which the chain has not", name, got[i])
			told++
		case got[i] != want[i]:
			m.t.Errorf("%s has %v, want %v", name, got[i], want[i])
			told++
		}
	}
	if len(got) != len(want) {
		m.t.Errorf("%s has %d rows, want %d", name, len(got), len(want))
	}
}

// unruly delivers entries late, in another order, and more than once.
type unruly struct {
	apply.Source
	model  *model
	random *rand.Rand
	late   []*queue.Message
	given  []*queue.Message // the last ones
}

// Next returns the next entry, whichever that is.
func (u *unruly) Next(ctx context.Context) (*queue.Message, error) {
	for {
		calm := u.model.calm.Load()
		if len(u.given) > 0 && !calm && u.random.IntN(12) == 0 {
			m := *u.given[u.random.IntN(len(u.given))]
			m.Reply = noAcker{}
			u.model.duplicates.Add(1)
			return &m, nil
		}
		if len(u.late) > 0 && (calm || u.random.IntN(4) == 0) {
			return u.belated(), nil
		}
		wait, cancel := ctx, context.CancelFunc(func() {})
		if len(u.late) > 0 {
			wait, cancel = context.WithTimeout(ctx, 40*time.Millisecond)
		}
		m, err := u.Source.Next(wait)
		cancel()
		switch {
		case err != nil && len(u.late) > 0 && ctx.Err() == nil:
			return u.belated(), nil
		case err != nil:
			return m, err
		case !calm && len(u.late) < 8 && u.random.IntN(5) == 0:
			u.late = append(u.late, m)
		default:
			return u.remember(m), nil
		}
	}
}

func (u *unruly) belated() *queue.Message {
	i := u.random.IntN(len(u.late))
	m := u.late[i]
	u.late = slices.Delete(u.late, i, i+1)
	return u.remember(m)
}

func (u *unruly) remember(m *queue.Message) *queue.Message {
	const most = 40
	if u.given = append(u.given, m); len(u.given) > most {
		u.given = slices.Delete(u.given, 0, 1)
	}
	return m
}

// noAcker takes the answer to an entry that was delivered twice.
type noAcker struct{}

func (noAcker) Ack() error              { return nil }
func (noAcker) Nak(time.Duration) error { return nil }
func (noAcker) Term(string) error       { return nil }
func (noAcker) Release()                {}
