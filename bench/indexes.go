package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

// indexing is a way to have a table with two secondary indexes.
type indexing struct{ name, options string }

// indexed is what one load cost, until the indexes were there.
type indexed struct {
	sample
	cpu   time.Duration // of the server and of ampipe
	bytes int64         // of the table and of its indexes
}

// measureIndexes loads a table with two indexes on values in no order: built from the start,
// which is the base, and when the history is loaded, plain and divided.
func measureIndexes(ctx context.Context, e *env, r *report) error {
	const what = "end to end, append, until two secondary indexes are there"
	blocks := history(e.scale.indexed).End
	const both = ", indexes: [[tx_hash], [address, block_num]]"
	ways := []indexing{
		{"plain, indexes from the start", both + ", build_indexes: at_start"},
		{"plain, indexes after the history", both},
		{"divided, indexes after the history", fmt.Sprintf("%s, partition_by: { blocks: %d }", both, max(1000, blocks/10))},
	}
	turns := make([][]indexed, len(ways))
	for range e.scale.indexTurns {
		for i, way := range ways {
			one, err := e.loadIndexed(ctx, way)
			if err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "         %s: %.0f rows/s, %.1f s of CPU, %.0f MiB\n",
				way.name, one.rate(), one.cpu.Seconds(), mib(uint64(one.bytes)))
			turns[i] = append(turns[i], one)
		}
	}
	for i, way := range ways {
		var cpu, bytes []float64
		for _, one := range turns[i] {
			cpu, bytes = append(cpu, one.cpu.Seconds()), append(bytes, float64(one.bytes))
		}
		r.note("%s, %d rows: %.1f CPU seconds of PostgreSQL and ampipe, %.0f MiB with indexes (medians of %d turns).",
			way.name, e.scale.indexed, median(cpu), mib(uint64(median(bytes))), len(cpu))
		if i == 0 {
			continue
		}
		c := comparison{what: what, ours: way.name, base: ways[0].name}
		for turn, one := range turns[i] {
			c.pairs = append(c.pairs, [2]sample{one.sample, turns[0][turn].sample})
		}
		if err := r.add(c, nil); err != nil {
			return err
		}
	}
	return nil
}

// loadIndexed loads a table of its own that way, from nothing.
func (e *env) loadIndexed(ctx context.Context, way indexing) (one indexed, err error) {
	if _, err := e.db.Exec(ctx, "DROP TABLE IF EXISTS indexed_logs"); err != nil {
		return one, fmt.Errorf("drop the table: %w", err)
	}
	if err := e.empty(ctx); err != nil {
		return one, err
	}
	if err := e.remove("nats"); err != nil {
		return one, err
	}
	file, err := e.write("indexed.yaml", e.scale.indexed, embedded,
		fmt.Sprintf(`{ name: warehouse, postgres: { dsn: %q, table: indexed_logs, types: { "*": bigint }%s } }`, e.dsn, way.options))
	if err != nil {
		return one, err
	}
	before, err := e.ofPostgres()
	if err != nil {
		return one, err
	}
	began := time.Now()
	p, err := start(ctx, e.command(ctx, "ampipe", "run", "-c", file))
	if err == nil {
		err = p.wait()
	}
	if err != nil {
		return one, err
	}
	one.rows, one.took = e.scale.indexed, time.Since(began)
	after, err := e.ofPostgres()
	if err != nil {
		return one, err
	}
	one.cpu = after - before + p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
	var rows, indexes int
	const look = `SELECT (SELECT count(*) FROM indexed_logs),
		(SELECT count(*) FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
			WHERE i.indrelid = 'indexed_logs'::regclass AND i.indisvalid AND x.relname LIKE '%idx'),
		(SELECT sum(pg_total_relation_size(c.oid))::bigint FROM pg_class c WHERE c.oid = 'indexed_logs'::regclass
			OR c.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'indexed_logs'::regclass))`
	if err := e.db.QueryRow(ctx, look).Scan(&rows, &indexes, &one.bytes); err != nil {
		return one, fmt.Errorf("look at the table: %w", err)
	}
	if rows != e.scale.indexed || indexes < 2 {
		return one, fmt.Errorf("%d rows and %d indexes are there, of %d rows and 2", rows, indexes, e.scale.indexed)
	}
	return one, nil
}
