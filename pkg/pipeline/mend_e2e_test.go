package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
	"github.com/ampipe/ampipe/pkg/state"
)

// mending is a pipeline of one process per stage whose query is mended again and again.
// The query of each version writes the number of the version into every row.
type mending struct {
	*growing
	cluster *cluster
	rnd     *rand.Rand
	names   []string // of the processes
	rounds  int
	state   *queue.State
	log     *queue.Log
}

// takeOverSteps are what can be seen of a take-over from outside, in order.
var takeOverSteps = []string{
	"nothing has changed", "the plan is mended", "a partition is ended", "the rest is planned",
	"the live lane may begin", "the live lane has begun",
}

// blocksOfARound is how many blocks of history each round adds: the query is mended
// while those of the round before are loaded.
const blocksOfARound = 200

// TestProcessesTakeOverAMendedQuery mends the query while history and chain are loaded
// by processes of their own, restarts these in any order with the mended configuration,
// stopped or killed, and kills one of them at a step of the take-over, or freezes it for
// a while. At the end every
// block is there once, of the version that the plan names. AMPIPE_MENDS is how often the
// query is mended (each process is killed at each step after 30 times), AMPIPE_MEND_SEED
// repeats a run.
func TestProcessesTakeOverAMendedQuery(t *testing.T) {
	t.Parallel()
	seed, mends := rand.Uint64(), 1
	if n, err := strconv.ParseUint(os.Getenv("AMPIPE_MEND_SEED"), 10, 64); err == nil {
		seed = n
	}
	if n, err := strconv.Atoi(os.Getenv("AMPIPE_MENDS")); err == nil {
		mends = n
	}
	t.Logf("AMPIPE_MEND_SEED=%d AMPIPE_MENDS=%d", seed, mends)
	m := newMending(t, mends, seed)
	type kill struct {
		step   int
		victim string
	}
	var kills []kill
	for step := range takeOverSteps {
		for _, name := range m.names {
			kills = append(kills, kill{step, name})
		}
	}
	m.rnd.Shuffle(len(kills), func(i, j int) { kills[i], kills[j] = kills[j], kills[i] })
	for round := 1; round <= mends; round++ {
		k := kills[round%len(kills)]
		m.mend(round, k.step, k.victim)
	}
	m.finish()
}

func newMending(t *testing.T, rounds int, seed uint64) *mending {
	e := newCommandEnv(t)
	blocks := (rounds+1)*blocksOfARound + 100
	g := e.grow("--blocks", strconv.Itoa(blocks), "--logs-per-block", "20", "--live", "--block-time", "50ms",
		"--reorg-every", "20", "--reorg-depth", "1-30/4", "--bandwidth", "60000", "--seed", strconv.FormatUint(seed%1000, 10))
	c := &cluster{commandEnv: e, port: sinktest.FreePort(t), procs: map[string]*process{}}
	c.nats = e.startNATS(c.port)
	m := &mending{
		growing: g, cluster: c, rounds: rounds, rnd: rand.New(rand.NewPCG(seed, 2)),
		names: []string{"planner", "extractor 1", "extractor 2", "sink-postgres", "sink-delta"},
	}
	m.configure(0)
	for _, name := range m.names {
		m.cluster.up(name)
	}
	conn, err := queue.Open(t.Context(), queue.Config{URL: fmt.Sprintf("nats://127.0.0.1:%d", c.port)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	m.until("the planner has planned", func(ctx context.Context) (bool, error) {
		if m.state == nil {
			m.state, err = conn.State(ctx, "mended")
			return false, err
		}
		_, _, err := m.state.LoadSpec(ctx)
		return err == nil, ignore(err, queue.ErrNotFound)
	})
	if m.log, err = conn.Log(t.Context(), "mended", queue.LogConfig{MaxBytes: 1 << 30}); err != nil {
		t.Fatal(err)
	}
	return m
}

func ignore(err, unless error) error {
	if errors.Is(err, unless) {
		return nil
	}
	return err
}

// configure writes the configuration of a version: its query, and blocksOfARound blocks
// of history more than the one before.
func (m *mending) configure(version int) {
	c := m.cluster
	c.file = c.commandEnv.file("pipeline.yaml", fmt.Sprintf(`pipeline: mended
source:
  amp: %s
  query: SELECT block_num, log_index, topic0, CAST(%d AS INTEGER) AS made FROM eth_rpc.logs
range: { min_block: %d, reorg_buffer: 40, partition_size: 100 }
nats: { url: "nats://127.0.0.1:%d" }
extract: { workers: 1 }
log: { max_bytes: 1GiB, entry_bytes: 64KiB }
sinks:
  - name: warehouse
    postgres: { dsn: "${DATABASE_URL}", schema: %s, table: rows }
  - name: lake
    delta: { path: ./lake, max_commit_delay: 200ms }
`, m.amp, version, (m.rounds-version)*blocksOfARound, c.port, c.schema))
}

// until polls until something is so.
func (m *mending) until(what string, is func(context.Context) (bool, error)) {
	t := m.t
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		so, err := is(t.Context())
		if so {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("it was waited for in vain that %s: %v\n%s", what, err, m.said())
		}
		<-time.After(3 * time.Millisecond)
	}
}

// said returns the end of what each process has said.
func (m *mending) said() (all string) {
	for _, name := range m.names {
		out := m.cluster.procs[name].out.String()
		all += name + ":\n" + out[max(0, len(out)-3000):] + "\n"
	}
	return all
}

// mend changes the query, restarts every process, and kills one of them at a step.
func (m *mending) mend(version, step int, victim string) {
	t := m.t
	t.Helper()
	before, _, err := m.state.LoadSpec(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m.until("history of the version before is loaded", func(ctx context.Context) (bool, error) {
		parts, err := m.state.Partitions(ctx)
		for _, p := range parts {
			if tail, err := m.log.Tail(ctx, p.Value.Lane()); p.Value.Version == version-1 && p.Value.State == state.PartitionOpen && err == nil && tail.Found {
				return true, nil
			}
		}
		return err == nil && len(parts) > 0 && m.rnd.IntN(50) == 0, err
	})
	m.configure(version)
	frozen := strings.HasPrefix(victim, "extractor") && m.rnd.IntN(2) == 0
	order := m.rnd.Perm(len(m.names))
	t.Logf("version %d: restarts %v, %s is killed (frozen: %v) when %s", version, order, victim, frozen, takeOverSteps[step])
	for _, i := range order {
		name := m.names[i]
		if frozen && name == victim {
			continue // it is neither stopped nor started again
		}
		if m.rnd.IntN(2) == 0 {
			m.cluster.procs[name].kill()
		} else {
			m.cluster.procs[name].interrupt(t)
		}
		m.cluster.up(name)
		if name != "planner" {
			continue
		}
		m.atStep(before, step)
		if frozen {
			m.cluster.procs[victim].freeze(time.Duration(500+m.rnd.IntN(12_000)) * time.Millisecond)
			continue
		}
		m.cluster.procs[victim].kill()
		m.cluster.up(victim)
	}
	m.until("the plan is mended", func(ctx context.Context) (bool, error) {
		spec, _, err := m.state.LoadSpec(ctx)
		return err == nil && spec.Version == version, err
	})
}

// atStep waits until a take-over is at a step. Not every one takes every step.
func (m *mending) atStep(before state.Spec, step int) {
	deadline := time.Now().Add(3 * time.Second)
	for time.Now().Before(deadline) && m.t.Context().Err() == nil && !m.at(m.t.Context(), before, step) {
		<-time.After(time.Millisecond)
	}
}

func (m *mending) at(ctx context.Context, before state.Spec, step int) bool {
	spec, _, err := m.state.LoadSpec(ctx)
	if step == 0 {
		return true
	}
	if err != nil || spec.Version == before.Version {
		return false
	}
	parts, err := m.state.Partitions(ctx)
	if err != nil {
		return false
	}
	switch step {
	case 2:
		for _, p := range parts {
			if p.Value.Version < spec.Version && p.Value.State == state.PartitionOpen {
				return false
			}
		}
	case 3:
		for _, p := range parts {
			if p.Value.Version == spec.Version {
				return true
			}
		}
		return false
	case 4:
		return spec.Live != nil && !spec.Live.Tentative
	case 5:
		tail, err := m.log.Tail(ctx, queue.LiveLane)
		return err == nil && tail.Found && tail.Entry.Epoch == spec.Epoch
	}
	return true
}

// finish stops the chain, waits until everything is loaded, and compares.
func (m *mending) finish() {
	t := m.t
	t.Helper()
	var switches any
	m.post("/faults", `{"bandwidth": 0}`, &switches)
	head := m.tell("pause", "")
	m.until("everything is loaded", func(ctx context.Context) (bool, error) {
		for _, sink := range []string{"warehouse", "lake"} {
			report, _, err := m.state.Report(ctx, sink)
			if err != nil || !report.Coverage.Covers(block.Range{End: head.Number + 1}) || report.Live.Cursor.Hash != head.Hash {
				return false, err
			}
		}
		return true, nil
	})
	m.checkVersions(head.Number)
	out := m.must("ampipe", "verify", "-c", m.cluster.file)
	if !strings.Contains(out, "warehouse: ") || strings.Count(out, "are equal in source and destination") != 2 {
		t.Errorf("verify prints\n%s", out)
	}
	t.Log(out)
}

// checkVersions compares the version in the rows with what the plan says of their block.
func (m *mending) checkVersions(head block.Number) {
	t := m.t
	t.Helper()
	named := m.namedVersions(m.must("ampipe", "plan", "-c", m.cluster.file))
	wrong := map[int]*block.Set{}
	m.withDB(func(ctx context.Context, c *pgx.Conn) error {
		rows, err := c.Query(ctx, "SELECT block_num::bigint, count(*), count(DISTINCT log_index), min(made), max(made) FROM "+
			m.schema+".rows GROUP BY 1 ORDER BY 1")
		if err != nil {
			return err
		}
		var n, all, different int64
		var least, most int
		blocks := block.Number(0)
		_, err = pgx.ForEachRow(rows, []any{&n, &all, &different, &least, &most}, func() error {
			blocks++
			at := block.Closed(block.Number(n), block.Number(n))
			switch {
			case all != different:
				t.Errorf("block %d: %d rows, %d of them different", n, all, different)
			case least != most:
				t.Errorf("block %d was made by the versions %d and %d", n, least, most)
			case !named[least].Covers(at):
				if wrong[least] == nil {
					wrong[least] = new(block.Set)
				}
				wrong[least].Add(at)
			}
			return nil
		})
		if blocks == 0 || blocks > head+1 {
			t.Errorf("%d blocks have rows, and the chain has %d", blocks, head+1)
		}
		for version, blocks := range wrong {
			t.Errorf("version %d made blocks %v, and the plan names it for %v", version, blocks, named[version])
		}
		return err
	})
}

// namedVersions reads which blocks `plan` says that each version has loaded.
func (m *mending) namedVersions(out string) map[int]block.Set {
	t := m.t
	t.Helper()
	line := regexp.MustCompile(`version (\d+) of the query: blocks (.*)`)
	live := regexp.MustCompile(`live chain from block (\d+) on`)
	span := regexp.MustCompile(`\[(\d+), (\d+)\)`)
	named := map[int]block.Set{}
	for _, l := range line.FindAllStringSubmatch(out, -1) {
		version, _ := strconv.Atoi(l[1]) // digits
		var blocks block.Set
		for _, s := range span.FindAllStringSubmatch(l[2], -1) {
			start, _ := strconv.ParseUint(s[1], 10, 64)
			end, _ := strconv.ParseUint(s[2], 10, 64)
			blocks.Add(block.Range{Start: block.Number(start), End: block.Number(end)})
		}
		if l := live.FindStringSubmatch(l[2]); l != nil {
			start, _ := strconv.ParseUint(l[1], 10, 64)
			blocks.Add(block.Range{Start: block.Number(start), End: block.Max + 1})
		}
		named[version] = blocks
	}
	if len(named) < 2 {
		t.Fatalf("plan names no versions\n%s", out)
	}
	return named
}
