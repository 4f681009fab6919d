package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ampipe/ampipe/pkg/config"
)

// existingDemand is twice what ampipe had at revision b06883b, whose median of five pairs on a
// quiet machine was 0.86. `bench -bin DIR -only existing` measures the commands of another
// revision.
const existingDemand = 1.7

// existingFloor is what fails: the demand is met by a hundredth or two.
const existingFloor = 1.55

// measureExisting loads rows by key that are all in the table already, since ampipe has
// forgotten that it had loaded them, and compares it with how a plain client does that: COPY
// of rows that were encoded before into a staging table, and one statement that moves them,
// in transactions of as many rows.
func measureExisting(ctx context.Context, e *env, r *report) error {
	ours := side{"ampipe run, " + string(config.Upsert), func(ctx context.Context) (sample, error) {
		if err := e.fillTable(ctx, e.scale.rows); err != nil {
			return sample{}, err
		}
		file, err := e.file(e.scale.rows, config.Upsert, embedded)
		if err == nil {
			err = e.remove("nats")
		}
		if err != nil {
			return sample{}, err
		}
		_, took, err := finish(ctx, e.command(ctx, "ampipe", "run", "-c", file))
		if err != nil {
			return sample{}, err
		}
		return sample{e.scale.rows, took}, e.holds(ctx, e.scale.rows)
	}}
	plain := side{"COPY into a staging table, ON CONFLICT DO UPDATE", func(ctx context.Context) (sample, error) {
		if err := e.fillTable(ctx, e.scale.rows); err != nil {
			return sample{}, err
		}
		s, err := e.mergeRaw(ctx, e.scale.rows)
		return s, errors.Join(err, e.holds(ctx, e.scale.rows))
	}}
	c, err := e.compare(ctx, "end to end, upsert of rows that are there", existingDemand, ours, plain)
	return r.addKnown(existingFloor, c, err)
}

// fillTable leaves the first rows in a table that ampipe knows nothing of.
func (e *env) fillTable(ctx context.Context, rows int) error {
	if err := e.empty(ctx); err != nil {
		return err
	}
	if _, err := e.sendRaw(ctx, rows); err != nil {
		return err
	}
	if _, err := e.db.Exec(ctx, "VACUUM ANALYZE logs"); err != nil {
		return fmt.Errorf("vacuum the table: %w", err)
	}
	if _, err := e.db.Exec(ctx, "CHECKPOINT"); err != nil {
		return fmt.Errorf("write a checkpoint: %w", err)
	}
	return nil
}

// mergeRaw sends the first rows into a staging table and moves them into the table by key.
func (e *env) mergeRaw(ctx context.Context, rows int) (sample, error) {
	var columns []string
	const others = `SELECT array_agg(attname::text) FROM pg_attribute WHERE attrelid = 'logs'::regclass AND attnum > 0
		AND attname NOT IN ('block_num', 'log_index')`
	if err := e.db.QueryRow(ctx, others).Scan(&columns); err != nil {
		return sample{}, fmt.Errorf("read the columns of the table: %w", err)
	}
	for i, c := range columns {
		columns[i] = fmt.Sprintf("%s = excluded.%[1]s", c)
	}
	merge := "INSERT INTO logs SELECT * FROM staging ON CONFLICT (block_num, log_index) DO UPDATE SET " + strings.Join(columns, ", ")
	if _, err := e.db.Exec(ctx, "CREATE TEMPORARY TABLE IF NOT EXISTS staging (LIKE logs)"); err != nil {
		return sample{}, fmt.Errorf("make the staging table: %w", err)
	}
	began := time.Now()
	for _, batch := range e.raw.batches[:rows/batchRows] {
		if err := e.mergeBatch(ctx, batch, merge); err != nil {
			return sample{}, err
		}
	}
	return sample{rows, time.Since(began)}, nil
}

// mergeBatch does so with a batch, in one transaction.
func (e *env) mergeBatch(ctx context.Context, batch []byte, merge string) error {
	tx, err := e.db.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin a transaction: %w", err)
	}
	defer func() { _ = tx.Rollback(ctx) }() // nothing, once it is committed
	if _, err := tx.Exec(ctx, "TRUNCATE staging"); err != nil {
		return fmt.Errorf("empty the staging table: %w", err)
	}
	if _, err := e.db.PgConn().CopyFrom(ctx, bytes.NewReader(batch), "COPY staging FROM STDIN (FORMAT binary)"); err != nil {
		return fmt.Errorf("raw COPY: %w", err)
	}
	if _, err := tx.Exec(ctx, merge); err != nil {
		return fmt.Errorf("move the rows into the table: %w", err)
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}
