package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/postgres"
)

// workers is how many partitions are read at a time, on either side of a ratio.
const workers = 4

// embedded is the NATS of every load but those of separate processes.
const embedded = "{ embedded: ./nats }"

// write writes the configuration of a load of so many rows.
func (e *env) write(file string, rows int, nats string, sinks ...string) (string, error) {
	path := filepath.Join(e.dir, file)
	return path, os.WriteFile(path, fmt.Appendf(nil, `pipeline: bench
source: { amp: %q, query: SELECT * FROM eth_rpc.logs }
range: { min_block: 0, max_block: %d }
nats: %s
extract: { workers: %d }
sinks: [ %s ]
`, e.amp, history(rows).End, nats, cmp.Or(e.workers, workers), strings.Join(sinks, ", ")), 0o600)
}

// read returns a configuration that was written, for what runs in this process.
func read(path string, err error) (*config.Pipeline, error) {
	if err != nil {
		return nil, err
	}
	all, err := config.Load(path, os.Getenv)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// file writes the configuration of a load into PostgreSQL. The table, its key
// and its types are always the same: bigint is what PostgreSQL takes fastest, so
// it is where ampipe has the most to lose.
func (e *env) file(rows int, mode config.Mode, nats string) (string, error) {
	key := ""
	if mode == config.Upsert {
		key = ", key: [block_num, log_index]"
	}
	return e.write("pipeline.yaml", rows, nats,
		fmt.Sprintf(`{ name: warehouse, postgres: { dsn: %q, table: logs, types: { "*": bigint }, mode: %s%s } }`, e.dsn, mode, key))
}

// pipeline returns the same configuration for what runs in this process.
func (e *env) pipeline(rows int, mode config.Mode) (*config.Pipeline, error) {
	return read(e.file(rows, mode, embedded))
}

// remove removes folders that a load has written.
func (e *env) remove(folders ...string) error {
	var errs []error
	for _, folder := range folders {
		errs = append(errs, os.RemoveAll(filepath.Join(e.dir, folder)))
	}
	return errors.Join(errs...)
}

// table describes the rows to a writer.
func (e *env) table(ctx context.Context, p *config.Pipeline) (sink.Table, *plan.Checked, error) {
	checked, err := plan.Check(ctx, e.source, p)
	if err != nil {
		return sink.Table{}, nil, err
	}
	return sink.Table{
		Pipeline: p.Name, Sink: p.Sinks[0].Name, Schema: checked.Schema, BlockColumn: checked.Column,
		Epoch: 1, Network: checked.Network,
	}, checked, nil
}

// createTable makes the table that every measurement writes to, just as ampipe
// makes it for upsert: with a primary key and its index of block numbers.
func (e *env) createTable(ctx context.Context) error {
	p, err := e.pipeline(e.scale.rows, config.Upsert)
	if err != nil {
		return err
	}
	t, _, err := e.table(ctx, p)
	if err != nil {
		return err
	}
	ddl, err := postgres.New(*p.Sinks[0].Postgres).Describe(t)
	if err != nil {
		return err
	}
	if _, err := e.db.Exec(ctx, ddl); err != nil {
		return fmt.Errorf("create the table: %w", err)
	}
	return nil
}

// empty makes the table empty, ampipe forget that it was ever full, and the
// server begin with nothing left to write.
func (e *env) empty(ctx context.Context) error {
	const forget = `DO $$ BEGIN
		IF to_regclass('ampipe.tables') IS NOT NULL THEN DELETE FROM ampipe.tables; END IF;
	END $$`
	for _, statement := range []string{"TRUNCATE logs", forget, "CHECKPOINT"} {
		if _, err := e.db.Exec(ctx, statement); err != nil {
			return fmt.Errorf("empty the table: %w", err)
		}
	}
	return nil
}

// holds fails unless the table has so many rows.
func (e *env) holds(ctx context.Context, rows int) error {
	var n int
	if err := e.db.QueryRow(ctx, "SELECT count(*) FROM logs").Scan(&n); err != nil {
		return fmt.Errorf("count the rows: %w", err)
	}
	if n != rows {
		return fmt.Errorf("%d rows are in the table instead of %d", n, rows)
	}
	return nil
}
