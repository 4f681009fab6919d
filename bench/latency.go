package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// delay is how long blocks took from being visible in Amp to being committed in one
// destination.
type delay struct {
	sink, beside string
	rows         int              // of a block, in the mean
	hops         [hops]times      // by where the blocks had come, the commit last
	median, p99  time.Duration    // demanded of the commit
	worst        [2]time.Duration // what fails, where that is known to be missed; zero: anything that misses it
}

// What happens to a block, in order: the extractor hears of it, the log stores it, the sink
// gets it from there, its transaction begins, and it is committed.
const (
	heard = iota
	published
	pulled
	begun
	committedHop
	hops
)

// times are durations, ascending.
type times []time.Duration

// at returns the time that a share of the blocks did not exceed.
func (t times) at(share float64) time.Duration {
	return t[min(len(t)-1, int(share*float64(len(t))))]
}

func (d delay) missed() bool { return d.above(d.median, d.p99) }

func (d delay) failed() bool {
	return d.missed() && (d.worst == [2]time.Duration{} || d.above(d.worst[0], d.worst[1]))
}

// above reports whether commits take longer than that, in the median or of 99 %.
func (d delay) above(median, p99 time.Duration) bool {
	commit := d.hops[committedHop]
	return commit.at(0.5) > median || commit.at(0.99) > p99
}

// summary says how long commits take.
func (d delay) summary() string {
	return fmt.Sprintf("%s beside %s, %d rows a block: %s ms", d.sink, d.beside, d.rows, d.hops[committedHop])
}

// String writes what half of them and 99 % did not exceed, in milliseconds.
func (t times) String() string { return inMilliseconds(t.at(0.5), t.at(0.99)) }

func inMilliseconds(median, p99 time.Duration) string {
	return fmt.Sprintf("%.1f / %.1f", milliseconds(median), milliseconds(p99))
}

// betweenBlocks is the block time of the chain that is followed.
const betweenBlocks = time.Second

// The rows of a block of the chain that is followed, in the mean: about those of Ethereum's
// logs, and of a table that a query has filtered.
const (
	fullBlock  = 200
	smallBlock = 20
)

// measureLatency follows a chain with a block every second, alone and while history loads
// beside it.
func measureLatency(ctx context.Context, e *env, r *report) error {
	const ms = time.Millisecond
	for _, c := range []struct {
		beside      string
		blocks      int // of the chain when it is first seen
		rows        int
		median, p99 time.Duration
		worst       [2]time.Duration
	}{
		{"nothing else", 100, smallBlock, 4 * ms, 10 * ms, [2]time.Duration{8 * ms, 20 * ms}},
		{"nothing else", 100, fullBlock, 4 * ms, 10 * ms, [2]time.Duration{8 * ms, 20 * ms}},
		{"history", 1000 * e.scale.followed, fullBlock, 50 * ms, 250 * ms, [2]time.Duration{50 * ms, 600 * ms}},
	} {
		delays, err := e.follow(ctx, c.blocks, c.rows)
		if err != nil {
			return err
		}
		for _, d := range delays {
			d.beside, d.rows, d.median, d.p99, d.worst = c.beside, c.rows, c.median, c.p99, c.worst
			fmt.Fprintln(os.Stderr, "        ", d.summary())
			r.delays = append(r.delays, d)
		}
	}
	return nil
}

// follow returns how long blocks of a chain took into PostgreSQL and Redis. The clock starts
// when the server answers that the block is there. Another connection to PostgreSQL sees
// each committed before the next comes.
func (e *env) follow(ctx context.Context, blocks, rows int) (delays []delay, err error) {
	dir, err := os.MkdirTemp(e.dir, "latency")
	if err != nil {
		return nil, err
	}
	server, addresses, err := startListening(ctx, e.command(ctx, "devserver", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0",
		"--chain", "eth_rpc", "--blocks", strconv.Itoa(blocks), "--logs-per-block", strconv.Itoa(rows)), "listening", "control")
	if err != nil {
		return nil, err
	}
	defer server.stop()
	name := filepath.Base(dir) // of the pipeline and its table, which no other has had
	file := filepath.Join(dir, "pipeline.yaml")
	text := fmt.Sprintf(`pipeline: %s
source: { amp: %q, query: SELECT * FROM eth_rpc.logs }
range: { min_block: 0 }
nats: { embedded: ./nats }
page: off
sinks:
  - { name: warehouse, postgres: { dsn: %q, table: %s } }
`, name, addresses[0], e.dsn, name)
	if e.redis != "" {
		text += fmt.Sprintf("  - { name: cache, redis: { url: %q, structure: hash, key: %q } }\n", e.redis, name+":{_block_num}:{log_index}")
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	follower, err := start(ctx, e.command(ctx, "ampipe", "run", "-c", file, "--log-level", "debug", "--log-format", "json"))
	if err != nil {
		return nil, err
	}
	visible, err := e.mineWhileFollowed(ctx, addresses[1], name, follower)
	follower.stop()
	if err == nil {
		err = e.discard(ctx, dir, name)
	}
	if err != nil {
		return nil, err
	}
	return readHops(follower.text.Bytes(), visible)
}

// discard removes what a run has written, which may be twenty million rows in each destination:
// what is measured next needs the room.
func (e *env) discard(ctx context.Context, dir, table string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	for _, statement := range []string{"DROP TABLE " + table, "CHECKPOINT"} { // that lets go of the files
		if _, err := e.db.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return e.emptyRedis(ctx)
}

// mineWhileFollowed appends blocks, one a second, and returns when each was there.
func (e *env) mineWhileFollowed(ctx context.Context, control, table string, follower *process) (visible map[uint64]time.Time, err error) {
	db, err := pgx.Connect(ctx, e.dsn)
	if err != nil {
		return nil, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close(context.WithoutCancel(ctx))) }()
	visible = make(map[uint64]time.Time)
	tick := time.NewTicker(betweenBlocks)
	defer tick.Stop()
	for i := range e.scale.followed + warmUp {
		head, err := mine(ctx, control, 1)
		if err != nil {
			return nil, err
		}
		if i >= warmUp {
			visible[head] = time.Now()
		}
		if err := committed(ctx, db, table, head, follower); err != nil {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-tick.C:
		}
	}
	return visible, nil
}

// readHops reads what a run has logged about blocks that became visible at these times.
func readHops(log []byte, visible map[uint64]time.Time) ([]delay, error) {
	sinks := map[string]*delay{}
	for line := range bytes.Lines(log) {
		var l struct {
			Message, Sink string
			Block         uint64
			Heard         int64   `json:"heard_us"`
			Published     float64 `json:"published_ms"`
			Pulled        float64 `json:"pulled_ms"`
			Begun         float64 `json:"begun_ms"`
			Committed     float64 `json:"committed_ms"`
		}
		if json.Unmarshal(line, &l) != nil || l.Message != "live block committed" {
			continue
		}
		at, measured := visible[l.Block]
		if !measured {
			continue
		}
		d := sinks[l.Sink]
		if d == nil {
			d = &delay{sink: l.Sink}
			sinks[l.Sink] = d
		}
		wait := max(0, time.UnixMicro(l.Heard).Sub(at)) // the answer may come after the block
		for hop, ms := range []float64{0, l.Published, l.Pulled, l.Begun, l.Committed} {
			d.hops[hop] = append(d.hops[hop], wait+time.Duration(ms*float64(time.Millisecond)))
		}
	}
	var delays []delay
	for _, name := range slices.Sorted(maps.Keys(sinks)) {
		d := sinks[name]
		if got := len(d.hops[heard]); got < len(visible) {
			return nil, fmt.Errorf("the log of the run has %d of %d blocks into %s", got, len(visible), name)
		}
		for _, t := range d.hops {
			slices.Sort(t)
		}
		delays = append(delays, *d)
	}
	if len(delays) == 0 {
		return nil, errors.New("the log of the run has no live block")
	}
	return delays, nil
}

// warmUp is how many blocks are not counted: among them are the start of the
// pipeline and its history.
const warmUp = 5

// betweenLooks is how long the database is left alone between two looks, and before the
// first: to ask all the time would take a processor from what is measured.
const betweenLooks = 50 * time.Millisecond

// committed waits until the database shows the block: its watermark is committed
// with its rows or after them.
func committed(ctx context.Context, db *pgx.Conn, table string, block uint64, follower *process) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	looks := time.NewTicker(betweenLooks)
	defer looks.Stop()
	for {
		select {
		case <-follower.done:
			return follower.wait()
		case <-looks.C:
		}
		var known bool
		err := db.QueryRow(ctx, `SELECT to_regclass('ampipe.tables') IS NOT NULL`).Scan(&known)
		var at int64
		if err == nil && known {
			err = db.QueryRow(ctx, `SELECT coalesce(max(cursor_block), -1) FROM ampipe.tables WHERE table_name = $1`, table).Scan(&at)
		}
		switch {
		case err != nil:
			return fmt.Errorf("wait for block %d: %w", block, err)
		case known && at >= int64(block):
			return nil
		}
	}
}
