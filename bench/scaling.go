package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ampipe/ampipe/pkg/config"
)

// What a source that answers after a while and limits each stream lets through, so that
// the streams decide how long a load takes, and not this machine.
const (
	slowLatency   = "50ms"
	slowBandwidth = 1_000_000 // bytes per second and stream
	slowLogs      = 300       // in a block
	slowUnread    = 400       // blocks above those that are loaded
)

// scaling is how much faster a load is with more of something.
type scaling struct {
	what    string
	entries []scaled
}

// scaled is a load with so many of it.
type scaled struct {
	n      int
	took   time.Duration
	demand float64 // of the speed-up; 0: none
	floor  float64 // what fails, where the demand is known to be missed; 0: less than the demand
	claim  string  // of amp-python's guide
}

// speedUp returns how often the first load's speed the load has.
func (s scaling) speedUp(i int) float64 {
	return s.entries[0].took.Seconds() / s.entries[i].took.Seconds()
}

// judge returns the speed-up of a load and what is demanded of it.
func (s scaling) judge(i int) limit {
	return limit{value: s.speedUp(i), least: s.entries[i].demand, worst: s.entries[i].floor}
}

func (s scaling) missed() bool { return s.some(limit.missed) }
func (s scaling) failed() bool { return s.some(limit.failed) }

func (s scaling) summary() string {
	text := s.what
	for i, entry := range s.entries {
		text += fmt.Sprintf(", %d: %s", entry.n, number(s.speedUp(i)))
	}
	return text
}

// some reports whether that is so of some of the loads.
func (s scaling) some(is func(limit) bool) bool {
	for i := range s.entries {
		if is(s.judge(i)) {
			return true
		}
	}
	return false
}

// slowLoad is a load from the slow source.
type slowLoad struct {
	first, end         int // blocks
	skew               string
	workers, processes int // processes: 0 is one command that does everything
}

// measureScaling loads the same blocks with more and more workers and processes.
func measureScaling(ctx context.Context, e *env, r *report) error {
	blocks := e.scale.slowBlocks
	series := []struct {
		what  string
		load  slowLoad
		vary  func(*slowLoad, int)
		steps []scaled
	}{
		{"workers", slowLoad{end: blocks}, byWorkers, []scaled{
			{n: 1}, {n: 2, demand: 1.95, claim: "1.8-1.9"}, {n: 4, demand: 3.85, claim: "3.5-3.8"},
			{n: 8, demand: 7.5, claim: "6-7"}, {n: 16, demand: 14, floor: 12.5, claim: "8-12"},
		}},
		{"workers, the range ends at the head", slowLoad{first: slowUnread, end: blocks + slowUnread}, byWorkers, []scaled{
			{n: 1}, {n: 4}, {n: 16},
		}},
		{"extractors of 4 workers", slowLoad{end: blocks, workers: 4}, byProcesses, []scaled{
			{n: 1}, {n: 2, demand: 1.95, floor: 1.85}, {n: 4, demand: 3.85, floor: 3.2},
		}},
		{"8 workers; 2: with 90 % of the rows in 10 % of the blocks", slowLoad{end: blocks, workers: 8}, bySkew, []scaled{
			{n: 1}, {n: 2, demand: 0.9},
		}},
	}
	for _, s := range series {
		result := scaling{what: s.what}
		for _, step := range s.steps[:min(len(s.steps), e.scale.slowSteps)] {
			load := s.load
			s.vary(&load, step.n)
			took, err := e.loadSlowly(ctx, load)
			if err != nil {
				return fmt.Errorf("%s, %d: %w", s.what, step.n, err)
			}
			step.took = took
			fmt.Fprintf(os.Stderr, "         %s, %d: %.1f s\n", s.what, step.n, took.Seconds())
			result.entries = append(result.entries, step)
		}
		r.scalings = append(r.scalings, result)
	}
	return nil
}

func byWorkers(l *slowLoad, n int)   { l.workers = n }
func byProcesses(l *slowLoad, n int) { l.processes = n }

func bySkew(l *slowLoad, n int) {
	if n == 2 {
		l.skew = "0.9/0.1"
	}
}

// loadSlowly starts a slow source and loads from it, and returns how long the load took.
func (e *env) loadSlowly(ctx context.Context, l slowLoad) (took time.Duration, err error) {
	args := []string{
		"--listen", "127.0.0.1:0", "--chain", "eth_rpc", "--blocks", strconv.Itoa(e.scale.slowBlocks + slowUnread),
		"--logs-per-block", strconv.Itoa(slowLogs), "--latency", slowLatency, "--bandwidth", strconv.Itoa(slowBandwidth),
	}
	if l.skew != "" {
		args = append(args, "--skew", l.skew)
	}
	server, addresses, err := startListening(ctx, e.command(ctx, "devserver", args...), "listening")
	if err != nil {
		return 0, err
	}
	defer server.stop()
	if _, err := e.db.Exec(ctx, "DROP TABLE IF EXISTS scaled"); err != nil {
		return 0, err
	}
	if err := e.remove("slow-nats"); err != nil {
		return 0, err
	}
	if l.processes == 0 {
		file, err := e.slowFile(addresses[0], "{ embedded: ./slow-nats }", l)
		if err != nil {
			return 0, err
		}
		_, took, err = finish(ctx, e.command(ctx, "ampipe", "run", "-c", file))
		return took, err
	}
	p, err := e.pipeline(rowsPerBlock, config.Append)
	if err != nil {
		return 0, err
	}
	nats, err := e.startNATS(ctx, "127.0.0.1:0", p)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, nats.close()) }()
	file, err := e.slowFile(addresses[0], fmt.Sprintf("{ url: %q }", nats.server.URL()), l)
	if err != nil {
		return 0, err
	}
	commands := append([]string{"sink-postgres"}, strings.Fields(strings.Repeat("extractor ", l.processes))...)
	for _, name := range commands {
		stage, err := start(ctx, e.command(ctx, name, "-c", file))
		if err != nil {
			return 0, err
		}
		defer stage.stop()
	}
	_, took, err = finish(ctx, e.command(ctx, "planner", "-c", file))
	return took, err
}

// slowFile writes the configuration of a slow load and returns its path.
func (e *env) slowFile(amp, nats string, l slowLoad) (string, error) {
	text := fmt.Sprintf(`pipeline: scaling
source: { amp: %q, query: SELECT * FROM eth_rpc.logs }
range: { min_block: %d, max_block: %d }
nats: %s
log: { max_bytes: 2GiB } # the default may be more than the disk has to spare
extract: { workers: %d }
page: off
sinks: [{ name: warehouse, postgres: { dsn: %q, table: scaled } }]
`, amp, l.first, l.end, nats, l.workers, e.dsn)
	file := filepath.Join(e.dir, "scaling.yaml")
	return file, os.WriteFile(file, []byte(text), 0o600)
}

func (r *report) writeScalings(b *strings.Builder) {
	if len(r.scalings) == 0 {
		return
	}
	fmt.Fprintf(b, "## Scaling\n\nFrom a source that answers after %s and sends %s bytes a second on each stream, into PostgreSQL; "+
		"from the start of the command to its end.\n\n"+
		"| %s blocks of %d logs | | time | speed-up | demand | amp-python claims | |\n|---|--:|--:|--:|--:|--:|---|\n",
		slowLatency, thousands(slowBandwidth), thousands(float64(r.scale.slowBlocks)), slowLogs)
	for _, s := range r.scalings {
		for i, entry := range s.entries {
			demand, verdict := "", ""
			if entry.demand > 0 {
				demand, verdict = s.judge(i).demand(), r.verdict(s.judge(i))
			}
			fmt.Fprintf(b, "| %s | %d | %.1f s | **%s** | %s | %s | %s |\n",
				s.what, entry.n, entry.took.Seconds(), number(s.speedUp(i)), demand, entry.claim, verdict)
		}
	}
	b.WriteString("\n")
}
