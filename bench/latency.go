package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// delay is how long blocks took from being visible in Amp to being committed.
type delay struct {
	blocks      []time.Duration // ascending
	median, p99 time.Duration   // demanded
}

// at returns the time that a share of the blocks did not exceed.
func (d delay) at(share float64) time.Duration {
	return d.blocks[min(len(d.blocks)-1, int(share*float64(len(d.blocks))))]
}

func (d delay) failed() bool { return d.at(0.5) > d.median || d.at(0.99) > d.p99 }

// betweenBlocks is the block time of the chain that is followed.
const betweenBlocks = time.Second

// measureLatency follows a chain with a block every second. The clock starts when
// the server answers that the block is there, and stops when another connection to
// the database sees it committed.
func measureLatency(ctx context.Context, e *env, r *report) (err error) {
	dir := filepath.Join(e.dir, "latency")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	server, addresses, err := startListening(ctx, e.command(ctx, "devserver", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0",
		"--chain", "eth_rpc", "--blocks", "1000"), "listening", "control")
	if err != nil {
		return err
	}
	defer server.stop()
	if _, err := e.db.Exec(ctx, "DROP TABLE IF EXISTS followed"); err != nil {
		return err
	}
	file := filepath.Join(dir, "pipeline.yaml")
	text := fmt.Sprintf(`pipeline: latency
source: { amp: %q, query: SELECT * FROM eth_rpc.logs }
range: { min_block: 0 }
nats: { embedded: ./nats }
sinks: [{ name: warehouse, postgres: { dsn: %q, table: followed } }]
`, addresses[0], e.dsn)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	follower, err := start(ctx, e.command(ctx, "ampipe", "run", "-c", file))
	if err != nil {
		return err
	}
	defer follower.stop()
	db, err := pgx.Connect(ctx, e.dsn)
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close(context.WithoutCancel(ctx))) }()

	d := delay{median: 50 * time.Millisecond, p99: 250 * time.Millisecond}
	tick := time.NewTicker(betweenBlocks)
	defer tick.Stop()
	for i := range e.scale.followed + warmUp {
		head, err := mine(ctx, addresses[1])
		if err != nil {
			return err
		}
		visible := time.Now()
		if err := committed(ctx, db, head, follower); err != nil {
			return err
		}
		if i >= warmUp {
			d.blocks = append(d.blocks, time.Since(visible))
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	slices.Sort(d.blocks)
	r.delays = append(r.delays, d)
	return nil
}

// warmUp is how many blocks are not counted: among them are the start of the
// pipeline and its history.
const warmUp = 5

// mine appends a block and returns its number.
func mine(ctx context.Context, control string) (uint64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, control+"/chains/anvil/mine", bytes.NewReader([]byte(`{"blocks":1}`)))
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, fmt.Errorf("mine a block: %w", err)
	}
	defer func() { _ = response.Body.Close() }() // it is read
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("mine a block: %s %s: %w", response.Status, text, err)
	}
	var head struct {
		Number uint64 `json:"number"`
	}
	return head.Number, json.Unmarshal(text, &head)
}

// committed waits until the database shows the block: its watermark is committed
// with its rows or after them.
func committed(ctx context.Context, db *pgx.Conn, block uint64, follower *process) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		var known bool
		err := db.QueryRow(ctx, `SELECT to_regclass('ampipe.tables') IS NOT NULL`).Scan(&known)
		var at int64
		if err == nil && known {
			err = db.QueryRow(ctx, `SELECT coalesce(max(cursor_block), -1) FROM ampipe.tables WHERE table_name = 'followed'`).Scan(&at)
		}
		switch {
		case err != nil:
			return fmt.Errorf("wait for block %d: %w", block, err)
		case known && at >= int64(block):
			return nil
		}
		select {
		case <-follower.done:
			return follower.wait()
		case <-time.After(time.Millisecond):
		}
	}
}
