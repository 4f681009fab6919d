package pipeline_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/sinktest/memsink"
	"github.com/ampipe/ampipe/pkg/state"
)

// memoryModel is a destination in memory.
type memoryModel struct {
	*memsink.Store
	called string
}

func (d *memoryModel) name() string                  { return d.called }
func (d *memoryModel) writer() sink.Writer           { return d.Writer() }
func (d *memoryModel) disturb(context.Context) error { return nil }
func (d *memoryModel) proxies() []*proxy             { return nil }

func (d *memoryModel) backup(context.Context) (func(context.Context) error, error) {
	saved := d.Backup()
	return func(context.Context) error {
		d.Restore(saved)
		return nil
	}, nil
}

func (d *memoryModel) rows(context.Context) (rows []modelRow, _ error) {
	for _, r := range d.Rows() {
		row := modelRow{block: int64(r.Block), index: r.Values[1].(int64), hash: fmt.Sprintf("%x", r.Values[2]), note: "-"}
		if note, ok := r.Values[3].(string); ok {
			row.note = note
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func inMemory(names ...string) (all []destination) {
	for _, name := range names {
		all = append(all, &memoryModel{Store: &memsink.Store{}, called: name})
	}
	return all
}

// newCalmModel returns a model in which nothing goes wrong but for what the test does. Its
// chain ends with block 1000, and the live lane begins 50 blocks before the head.
func newCalmModel(t *testing.T, destinations []destination, planners int) *model {
	m := &model{t: t, random: rand.New(rand.NewPCG(1, 0)), destinations: destinations}
	m.calm.Store(true)
	m.chain = &modelChain{Chain: amptest.NewChain(amptest.Network, modelSchema), random: rand.New(rand.NewPCG(1, 1))}
	m.chain.extend(m.chain.build(0, 1001))
	srv := amptest.Start(t, func(q amptest.Query) amptest.Answer {
		if q.Stream() {
			return m.chain.Answer(q)
		}
		return batch(m.chain.Chain, q.SQL)
	})
	m.testPipeline = &testPipeline{stageEnv: newStageEnv(t), size: 200, config: &config.Pipeline{
		Name:    "calm",
		Source:  config.Source{Amp: srv.URL(), Query: "SELECT * FROM model.rows"},
		Range:   config.Range{ReorgBuffer: 50},
		Log:     config.Log{MaxBytes: 256 << 20, Compression: "none", EntryBytes: 8 << 10, Replay: time.Hour},
		Extract: config.Extract{Workers: 2},
	}}
	for range planners {
		m.slots = append(m.slots, &slot{name: "planner", stage: m.planner})
	}
	m.slots = append(m.slots, &slot{name: "extractor", stage: m.extractor})
	for _, d := range destinations {
		m.config.Sinks = append(m.config.Sinks, config.Sink{Name: d.name()})
		m.slots = append(m.slots, &slot{name: "sink " + d.name(), stage: m.sink(d.name(), d.writer, nil)})
	}
	return m
}

func (m *model) up() {
	for _, s := range m.slots {
		s.proc = m.start(s.name, s.stage)
	}
}

func (m *model) down() {
	var all []*proc
	for _, s := range m.slots {
		all = append(all, s.proc)
	}
	stop(all...)
}

// forgetNATS loses everything that NATS holds.
func (m *model) forgetNATS() {
	m.t.Helper()
	if err := m.nats.Close(); err != nil {
		m.t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(m.dir, "nats")); err != nil {
		m.t.Fatal(err)
	}
	m.startNATS()
}

// TestANewPlanTakesBackWhatWasReplaced: a destination ends with a block, NATS loses
// everything, and the block is replaced before the pipeline is planned anew. By the
// head of the chain alone the live lane would begin above it, and the block would stay.
func TestANewPlanTakesBackWhatWasReplaced(t *testing.T) {
	t.Parallel()
	in := func(*testing.T) []destination { return inMemory("warehouse", "cache") }
	takesBack(t, in, replacements())
	takesBack(t, in, map[string]replacement{
		"the last block, of a server that forgets it": {from: 1000, head: 1050, forgets: true},
		"the last block, while the chain stands":      {from: 1000, head: 1000},
		"the last block, long ago":                    {from: 1000, head: 1400},
		"some blocks":                                 {from: 970, head: 1050},
		"some blocks, of a server that forgets them":  {from: 970, head: 1050, forgets: true},
	})
}

// TestANewPlanTakesBackFromEveryDestination is the same with all kinds of them, which
// differ in how they know their last block and take blocks back; what the chain and its
// server did meanwhile makes no difference to them.
func TestANewPlanTakesBackFromEveryDestination(t *testing.T) {
	t.Parallel()
	takesBack(t, func(t *testing.T) (all []destination) {
		e := newCommandEnv(t)
		for _, make := range destinations {
			all = append(all, make(t, e))
		}
		return all
	}, replacements())
}

// replacement is what became of the chain that ended with block 1000.
type replacement struct {
	from, head block.Number // first block that is replaced, and the last of the new chain
	forgets    bool         // the server knows nothing of what it has replaced
}

// replacements replace a block of the live lane, more than is in it, and nothing.
func replacements() map[string]replacement {
	return map[string]replacement{
		"the last block":     {from: 1000, head: 1050},
		"more than was live": {from: 900, head: 1100},
		"none":               {from: 1001, head: 1050},
	}
}

func takesBack(t *testing.T, make func(*testing.T) []destination, all map[string]replacement) {
	for name, c := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newCalmModel(t, make(t), 1)
			m.up()
			m.settle()
			m.down()
			m.forgetNATS()
			m.chain.extend(m.chain.build(c.from, int(c.head+1-c.from)))
			if c.forgets {
				m.chain.Forget()
			}
			m.up()
			defer m.down()
			m.settle()
			m.chain.extend(m.chain.build(m.chain.head()+1, 3))
			m.settle()
		})
	}
}

// TestThreePlanners of one pipeline agree: they begin one epoch for each loss, and none
// when they are restarted with other configurations, or come back after a while without
// NATS.
func TestThreePlanners(t *testing.T) {
	t.Parallel()
	m := newCalmModel(t, inMemory("warehouse", "cache"), 3)
	m.up()
	defer m.down()
	var began epochs
	watching, enough := context.WithCancel(t.Context())
	var watcher sync.WaitGroup
	defer watcher.Wait()
	defer enough()
	watcher.Go(func() { began.watch(watching, m) })
	goesOn := func(what string, epochs int) {
		t.Helper()
		for range 3 {
			for range 10 {
				m.chain.extend(m.chain.build(m.chain.head()+1, 1))
				<-time.After(20 * time.Millisecond) // a look of each planner
			}
			m.chain.reorg(2)
			m.settle()
		}
		if n := began.count(); n != epochs {
			t.Fatalf("%s: %d epochs have begun, want %d", what, n, epochs)
		}
	}
	goesOn("at first", 1)
	m.lose()
	goesOn("a lost log", 2)

	for i, change := range []func(*config.Pipeline){
		func(c *config.Pipeline) { c.Range.ReorgBuffer = 10 },
		func(c *config.Pipeline) { c.Sinks = c.Sinks[:1] },
		func(*config.Pipeline) {}, // as before: also what is waited for is agreed on
	} {
		other := *m.config
		change(&other)
		works := *m.testPipeline
		works.config = &other
		m.slots[i].kill()
		m.slots[i].stage = works.planner
		m.slots[i].proc = m.start("planner", works.planner)
		goesOn("a rolling restart", 2)
	}

	cut := m.slots[1]
	cut.proxy.refuse()
	m.lose()
	goesOn("a loss that one planner does not see", 3)
	cut.proxy.allow()
	goesOn("when it is back", 3)
}

// lose removes the live lane from the log.
func (m *model) lose() {
	m.t.Helper()
	err := m.with(func(ctx context.Context, c *queue.Conn) error {
		log, err := c.Log(ctx, m.config.Name, queue.LogConfig{MaxBytes: m.config.Log.MaxBytes})
		if err != nil {
			return err
		}
		tail, err := log.Tail(ctx, queue.LiveLane)
		if err != nil {
			return err
		}
		return log.TrimLanes(ctx, queue.Live, tail.Seq)
	})
	if err != nil {
		m.t.Fatal(err)
	}
}

// epochs counts those that a plan has had.
type epochs struct {
	mu   sync.Mutex
	seen map[uint64]bool
}

func (e *epochs) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.seen)
}

func (e *epochs) watch(ctx context.Context, m *model) {
	c, err := queue.Open(ctx, queue.Config{URL: m.nats.URL()})
	if err != nil {
		m.t.Errorf("watch the plan: %v", err)
		return
	}
	defer c.Close()
	kv, err := c.State(ctx, m.config.Name)
	if err != nil {
		m.t.Errorf("watch the plan: %v", err)
		return
	}
	_ = kv.WatchSpec(ctx, func(spec state.Spec, _ uint64) error { // it ends with ctx
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.seen == nil {
			e.seen = map[uint64]bool{}
		}
		e.seen[spec.Epoch] = true
		return nil
	})
}
