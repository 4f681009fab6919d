package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
)

const (
	pruneBlocks = 64      // that are deleted in the first transaction
	pruneRows   = 100_000 // that one is to delete, about
)

// keepsPruned is the migration that brought the number below which blocks are pruned.
const keepsPruned = 5

// Prune removes the rows of old blocks; see [sink.Pruner]. First it is recorded which, beside
// no other transaction that writes: what comes of them later is dropped, and nobody misses
// them. Then the partitions that have nothing else go, each in a transaction, and then the
// rows that are left, in portions.
func (w *Writer) Prune(ctx context.Context, o sink.PruneOptions) (sink.Pruned, error) {
	if w.pool == nil {
		return sink.Pruned{}, errNotOpen
	}
	done, err := w.prune(ctx, o)
	if err != nil {
		return done, w.classed(ctx, "prune", err)
	}
	return done, nil
}

func (w *Writer) prune(ctx context.Context, o sink.PruneOptions) (done sink.Pruned, err error) {
	if err := w.prunable(ctx); err != nil {
		return done, err
	}
	done.Before, err = w.recordPruned(ctx, o)
	if err != nil {
		return done, err
	}
	tell := func(format string, args ...any) {
		if o.Tell != nil {
			o.Tell(fmt.Sprintf(format, args...))
		}
	}
	if err := w.prunePartitions(ctx, o, &done, tell); err != nil {
		return done, err
	}
	if o.Dry {
		done.Rows, err = w.countBelow(ctx, done)
		return done, err
	}
	return done, w.pruneRows(ctx, &done, tell)
}

// prunable refuses what cannot be pruned, and brings the schema ampipe up to date.
func (w *Writer) prunable(ctx context.Context) error {
	g := w.spec
	if w.id == 0 {
		return fault.Permanent(fmt.Errorf("table %s: %w; has the pipeline been run?", g, sink.ErrNotLoaded))
	}
	if g.replaces() {
		return fault.Permanent(fmt.Errorf("table %s: its key lacks the block column, so a row of an old block is what its key is today; "+
			"delete the rows that are not wanted yourself, or put %q into the key of another table", g, g.columns[g.block].name))
	}
	var (
		pipeline, name string
		steps          int
	)
	err := w.inTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, statement("ask-owner"), w.id).Scan(&pipeline, &name); err != nil {
			return err
		}
		return tx.QueryRow(ctx, statement("ask-steps")).Scan(&steps)
	})
	switch {
	case err != nil:
		return err
	case pipeline != g.pipeline || name != g.sink:
		return fault.Permanent(fmt.Errorf("table %s: it is loaded by the sink %q of the pipeline %q; prune that", g, name, pipeline))
	case steps < keepsPruned:
		return fault.Permanent(fmt.Errorf("table %s: it was loaded by an older ampipe, and the schema ampipe has no place for what is pruned; "+
			"start the sink once with this version, and prune then", g))
	}
	return nil
}

// recordPruned records below which block nothing is wanted any more, and returns it: that of
// an earlier call may be higher.
func (w *Writer) recordPruned(ctx context.Context, o sink.PruneOptions) (before block.Number, err error) {
	var all pgx.Batch
	record := func(tx *transaction, l *written) error {
		before = max(o.Before, l.Pruned)
		if before == l.Pruned {
			return nil
		}
		l.Prune(before)
		var tell pgx.Batch
		l.queueChanges(&tell, w.id, l.Live)
		tell.Queue(statement("write-pruned"), w.id, int64(before)).Exec(expect(1, "UPDATE", "tables"))
		return tx.SendBatch(ctx, &tell).Close()
	}
	if o.Dry {
		l := queueCommitState(&all, w.id, block.Range{})
		err = w.inTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error { return tx.SendBatch(ctx, &all).Close() })
		return max(o.Before, l.Pruned), err
	}
	return before, w.patiently(ctx, func() error { return w.inWrite(ctx, lockAlone, everything, record) })
}

// patiently repeats what has waited for a lock in vain.
func (w *Writer) patiently(ctx context.Context, f func() error) error {
	return fault.Retry(ctx, fault.Backoff{GiveUp: fault.Forever}, func(context.Context) error {
		err := f()
		if err != nil && sqlState(err) != lockNotAvailable && sqlState(err) != deadlockDetected {
			return fault.Permanent(err)
		}
		return err
	}, nil)
}

// prunePartitions drops or detaches the partitions that have no block that stays. The table
// is locked for that: readers are waited for a second at a time, since new ones wait behind.
func (w *Writer) prunePartitions(ctx context.Context, o sink.PruneOptions, done *sink.Pruned, tell func(string, ...any)) error {
	g := w.spec
	var whole []partition
	sizes := make(map[uint32]int64)
	err := w.inTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		var byBlock, rest, deep bool
		_, err := maybe(tx.QueryRow(ctx, statement("ask-partitioning"), g.quoted(), g.columns[g.block].name).Scan(&byBlock, &rest, &deep))
		if err != nil || !byBlock {
			return err
		}
		all, err := partitionsOf(ctx, tx, g)
		for _, p := range all {
			if err != nil || p.blocks.End > done.Before {
				continue
			}
			var size int64
			err = tx.QueryRow(ctx, "SELECT pg_total_relation_size($1::oid)", p.oid).Scan(&size)
			whole, sizes[p.oid] = append(whole, p), size
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("read the partitions: %w", err)
	}
	for _, p := range whole {
		done.Partitions, done.Bytes = append(done.Partitions, p.name), done.Bytes+uint64(sizes[p.oid])
		if o.Dry {
			continue
		}
		sql, verb := "DROP TABLE IF EXISTS "+p.name, "drops"
		if o.Detach {
			sql, verb = fmt.Sprintf("ALTER TABLE %s DETACH PARTITION %s", g.quoted(), p.name), "detaches"
		}
		tell("%s %s, blocks %v", verb, p.name, p.blocks)
		err := w.patiently(ctx, func() error {
			return w.pool.inTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, openPatience, func(tx pgx.Tx) error {
				_, err := tx.Exec(ctx, sql)
				return err
			})
		})
		if err != nil && sqlState(err) != undefinedTable { // another process did it
			return fmt.Errorf("run %s: %w", sql, err)
		}
	}
	return nil
}

// below returns the condition for rows of blocks from a number on, up to those that stay.
func (g *tableSpec) below() string {
	column := quoted(g.columns[g.block].name)
	return fmt.Sprintf("FROM %s WHERE %s >= $1::bigint AND %[2]s < $2::bigint", g.quoted(), column)
}

// countBelow counts the rows of blocks that do not stay, in partitions of which some do.
func (w *Writer) countBelow(ctx context.Context, done sink.Pruned) (uint64, error) {
	var rows int64
	first, err := w.firstLeft(ctx, done.Before)
	if err == nil {
		err = w.inTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
			return tx.QueryRow(ctx, "SELECT count(*) "+w.spec.below(), int64(first), int64(done.Before)).Scan(&rows)
		})
	}
	return uint64(rows), err
}

// firstLeft returns the first block whose rows are not removed with their partition.
func (w *Writer) firstLeft(ctx context.Context, before block.Number) (block.Number, error) {
	var first block.Number
	err := w.inTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		all, err := partitionsOf(ctx, tx, w.spec)
		for _, p := range all {
			if p.blocks.End <= before {
				first = max(first, p.blocks.End)
			}
		}
		return err
	})
	return first, err
}

// pruneRows deletes the rows that are left of blocks that do not stay. Each transaction is to
// delete about as many; no lock but those of the rows is held.
func (w *Writer) pruneRows(ctx context.Context, done *sink.Pruned, tell func(string, ...any)) error {
	var lowest *int64
	column := quoted(w.spec.columns[w.spec.block].name)
	err := w.inTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, fmt.Sprintf("SELECT min(%s)::bigint %s", column, w.spec.below()), int64(0), int64(done.Before)).Scan(&lowest)
	})
	if err != nil || lowest == nil {
		return err
	}
	size := block.Number(pruneBlocks)
	for from := block.Number(*lowest); from < done.Before; {
		to := from + min(size, done.Before-from)
		var deleted uint64
		err := w.patiently(ctx, func() error {
			return w.pool.inTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, lockPatience, func(tx pgx.Tx) (err error) {
				deleted, err = w.deleteRows(ctx, tx, "prune", block.Range{Start: from, End: to},
					"DELETE "+w.spec.below(), "SELECT count(*) "+w.spec.below(), int64(from), int64(to))
				return err
			})
		})
		if err != nil {
			return err
		}
		done.Rows += deleted
		if deleted > 0 {
			tell("has deleted %d rows, up to block %d", done.Rows, to-1)
		}
		switch {
		case deleted < pruneRows/2:
			size *= 2
		case deleted > pruneRows && size > 1:
			size /= 2
		}
		from = to
	}
	return nil
}
