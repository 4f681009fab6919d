package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
)

// indexLock is the class of the locks of those who build the indexes of a table; their other
// half is the table's id.
const indexLock int32 = 0x616d7078 // "ampx"

// indexLook is how often it is looked how far an index is. A session that holds a lock, and
// does nothing else, has to be heard of more often than [idleLimit].
const indexLook = time.Second

// BuildIndexes builds the indexes that the table lacks; see [sink.Indexer]. A transaction
// holds a lock meanwhile. The statements that build, in a session of their own, wait for the
// end of every transaction that had a snapshot at some moment: that one must never have any, so
// how far the server is, is asked in others. The lock goes with the process, whatever becomes of
// these statements.
func (w *Writer) BuildIndexes(ctx context.Context, tell func(left int, progress string)) error {
	missing, err := w.Unbuilt(ctx)
	if err != nil || missing == 0 {
		return err
	}
	var left atomic.Int64
	left.Store(int64(missing))
	say := func(progress string) { tell(int(left.Load()), progress) }
	building, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	running := false
	var built error
	err = w.pool.inTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, readPatience, func(tx pgx.Tx) error {
		if err := w.lockIndexes(ctx, tx); err != nil {
			return err
		}
		running = true
		go func() { done <- fault.Catch(func() error { return w.buildAll(building, &left) }) }()
		ticker := time.NewTicker(indexLook)
		defer ticker.Stop()
		for {
			select {
			case built = <-done:
				running = false
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-ticker.C:
			}
			// A statement without a command takes no snapshot, in the simple protocol.
			if _, err := tx.Exec(ctx, "-- indexes are being built", pgx.QueryExecModeSimpleProtocol); err != nil {
				return fmt.Errorf("hold the lock of who builds indexes: %w", err)
			}
			if err := w.tellIndexing(ctx, say); err != nil {
				return err
			}
		}
	})
	stop()
	if running {
		<-done // its error is that it was stopped
	}
	if err == nil {
		err = built
	}
	if errors.Is(err, sink.ErrBuiltElsewhere) {
		if failed := w.tellIndexing(ctx, say); failed != nil {
			return w.classed(ctx, "build indexes", failed)
		}
		return err
	}
	return w.classed(ctx, "build indexes", err)
}

// lockIndexes makes this process the one that builds, or returns [sink.ErrBuiltElsewhere].
func (w *Writer) lockIndexes(ctx context.Context, tx pgx.Tx) error {
	var alone bool
	const lock = "SELECT pg_try_advisory_xact_lock($1, $2)"
	err := tx.QueryRow(ctx, lock, pgx.QueryExecModeSimpleProtocol, indexLock, w.id).Scan(&alone)
	if err == nil && !alone {
		return sink.ErrBuiltElsewhere
	}
	return err
}

// tellIndexing tells how far the server is with an index of the table or of a partition.
func (w *Writer) tellIndexing(ctx context.Context, tell func(string)) error {
	var (
		name, phase string
		done        float64
		found       bool
	)
	err := w.inTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) (err error) {
		found, err = maybe(tx.QueryRow(ctx, statement("ask-progress"), w.spec.quoted()).Scan(&name, &phase, &done))
		return err
	})
	switch {
	case err != nil:
		return fmt.Errorf("ask how far an index is: %w", err)
	case found:
		tell(indexingText(name, phase, done))
	}
	return nil
}

// indexingPhases are the phases of building an index that take long, in their order, with
// the share of the work that is done when each begins.
var indexingPhases = []struct {
	phase string
	begin float64
}{
	{"building index: scanning table", 0},
	{"building index: sorting live tuples", 0.5},
	{"building index: loading tuples in tree", 0.6},
	{"index validation: scanning index", 0.8},
	{"index validation: sorting tuples", 0.85},
	{"index validation: scanning table", 0.87},
	{"", 1},
}

// indexingText says how far an index is; done is how much of the phase is.
func indexingText(name, phase string, done float64) string {
	for i, p := range indexingPhases {
		if p.phase == phase && phase != "" {
			share := p.begin + done*(indexingPhases[i+1].begin-p.begin)
			return fmt.Sprintf("building index %s, %.0f %%", name, 100*share)
		}
	}
	return fmt.Sprintf("building index %s (%s)", name, phase) // it waits for others
}

// builder builds indexes of a table.
type builder struct {
	*Writer
	conn *pgx.Conn // no transaction is running in it
}

// buildAll builds the indexes that are missing, one after the other, and stores how many are
// left.
func (w *Writer) buildAll(ctx context.Context, left *atomic.Int64) error {
	pooled, err := w.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	b := &builder{w, pooled.Hijack()} // what is set in it is for nobody else
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTime)
		defer cancel()
		_ = b.conn.Close(closing) // nothing is in flight
	}()
	if !sessionOf(b.conn).pooled { // else another client would have it next
		for _, name := range []string{"statement_timeout", "lock_timeout", "idle_session_timeout"} {
			_, err := b.conn.Exec(ctx, "SET "+name+" = 0")
			if err != nil && sqlState(err) != undefinedSetting {
				return err
			}
		}
	}
	for {
		var t indexed
		var missing [][]string
		err := w.inTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) (err error) {
			t, missing, err = w.spec.missingIndexes(ctx, tx)
			return err
		})
		if err != nil || len(missing) == 0 {
			return err
		}
		left.Store(int64(len(missing)))
		if t.kind == "p" {
			err = b.divided(ctx, t, missing[0])
		} else {
			_, err = b.whole(ctx, t, missing[0])
		}
		if err != nil {
			return err
		}
	}
}

// undefinedSetting is the SQLSTATE of a setting that an older server does not know.
const undefinedSetting = "42704"

// whole builds an index of a table that is not divided, unless it is there.
func (b *builder) whole(ctx context.Context, t indexed, columns []string) (index, error) {
	name := indexName(t.name, columns)
	for {
		if found, ok := validIndex(t.indexes, columns); ok {
			return found, nil
		}
		at := slices.IndexFunc(t.indexes, func(i index) bool { return i.name == name && slices.Equal(i.columns, columns) })
		var err error
		switch {
		case at < 0:
			err = b.run(ctx, fmt.Sprintf("CREATE INDEX CONCURRENTLY %s ON %s (%s)", quoted(name), t.quoted(), quotedList(columns)))
		case t.indexes[at].built: // by a session whose process is gone
			err = fault.Sleep(ctx, indexLook)
		default: // the process that began it did not end it
			err = b.run(ctx, "DROP INDEX CONCURRENTLY IF EXISTS "+t.indexes[at].quoted())
		}
		if err != nil {
			return index{}, err
		}
		err = b.inTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) (err error) {
			t.indexes, err = indexesOf(ctx, tx, t.oid)
			return err
		})
		if err != nil {
			return index{}, err
		}
	}
}

// run runs a statement that must not be in a transaction.
func (b *builder) run(ctx context.Context, sql string) error {
	_, err := b.conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol)
	if sqlState(err) == duplicateTable {
		return fault.Permanent(fmt.Errorf("run %s: something else has the name of the index; rename that: %w", sql, err))
	}
	if err != nil {
		return fmt.Errorf("run %s: %w", sql, err)
	}
	return nil
}

// divided builds an index of a divided table: first, in no time, the one of the table, which
// is not valid yet, and which partitions that are added from then on have a part of; then
// the part of each partition. The last one makes it valid.
func (b *builder) divided(ctx context.Context, t indexed, columns []string) error {
	at := slices.IndexFunc(t.indexes, func(i index) bool { return slices.Equal(i.columns, columns) })
	if at < 0 {
		name := quoted(indexName(t.name, columns))
		return b.alter(ctx, fmt.Sprintf("CREATE INDEX %s ON ONLY %s (%s)", name, t.quoted(), quotedList(columns)))
	}
	whole := t.indexes[at]
	var parts []indexed
	err := b.inTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) (err error) {
		parts, err = collect(ctx, tx, "read the partitions", func(p *indexed) []any {
			return []any{&p.oid, &p.kind, &p.schema, &p.name}
		}, statement("ask-members"), t.oid)
		for i := range parts {
			if err == nil {
				parts[i].indexes, err = indexesOf(ctx, tx, parts[i].oid)
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, p := range parts {
		if slices.ContainsFunc(p.indexes, func(i index) bool { return i.parent == whole.oid }) {
			continue
		}
		part, err := b.whole(ctx, p, columns)
		if err == nil {
			err = b.alter(ctx, fmt.Sprintf("ALTER INDEX %s ATTACH PARTITION %s", whole.quoted(), part.quoted()))
		}
		if sqlState(err) == undefinedTable { // it was pruned meanwhile
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// alter runs a statement that takes no time, and a lock for which others wait.
func (b *builder) alter(ctx context.Context, sql string) error {
	wait := b.patience.now()
	err := b.pool.inTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, wait, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, sql)
		return err
	})
	b.patience.note(err)
	if err != nil {
		return fmt.Errorf("run %s: %w", sql, err)
	}
	return nil
}
