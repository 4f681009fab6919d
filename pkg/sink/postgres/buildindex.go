package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
)

// indexLock is the class of the locks of those who build the indexes of a table; their other
// half is the table's id.
const indexLock int32 = 0x616d7078 // "ampx"

// indexLook is how often it is looked how far an index is. A session that holds a lock, and
// does nothing else, has to be heard of more often than [idleLimit].
const indexLook = time.Second

// idleBuilding is how long the server lets the session that builds do nothing. It is idle for
// moments only, unless its process is frozen.
const idleBuilding = time.Minute

// BuildIndexes builds the indexes that the table lacks; see [sink.Indexer]. One session builds,
// and how far it is, is asked in others: a statement that builds waits for the end of every
// transaction that had a snapshot at some moment, of whatever table.
func (w *Writer) BuildIndexes(ctx context.Context, tell func(left int, progress string)) error {
	missing, err := w.Unbuilt(ctx)
	if err != nil || missing == 0 {
		return err
	}
	conn, err := w.pool.Acquire(ctx)
	if err != nil {
		return w.classed(ctx, "build indexes", err)
	}
	b := &builder{Writer: w, conn: conn, own: sessionOf(conn.Conn())}
	b.left.Store(int64(missing))
	say := func(progress string) { tell(int(b.left.Load()), progress) }
	err = b.alone(ctx, say)
	conn.Release()
	if errors.Is(err, sink.ErrBuiltElsewhere) {
		if failed := w.tellIndexing(ctx, 0, say); failed != nil {
			return w.classed(ctx, "build indexes", failed)
		}
		return err
	}
	return w.classed(ctx, "build indexes", err)
}

// builder builds indexes of a table.
type builder struct {
	*Writer
	conn *pgxpool.Conn // no transaction is running in it
	own  *session      // that of conn

	left  atomic.Int64           // how many are missing
	waits atomic.Pointer[string] // who has a lock that is waited for; nil: nobody
}

// settle sets what statements that take long need, in a session that is not another client's
// next.
func (b *builder) settle(ctx context.Context) error {
	for _, set := range []string{
		"statement_timeout = 0", "lock_timeout = 0", "idle_session_timeout = " + milliseconds(idleBuilding),
	} {
		_, err := b.conn.Exec(ctx, "SET "+set)
		if err != nil && sqlState(err) != undefinedSetting {
			return err
		}
	}
	return nil
}

// undefinedSetting is the SQLSTATE of a setting that an older server does not know.
const undefinedSetting = "42704"

// end ends the session: what is set in it is for nobody else. The lock is given back before,
// since the server may take a while to notice.
func (b *builder) end(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTime)
	defer cancel()
	if !b.conn.Conn().IsClosed() {
		_, _ = b.conn.Exec(ctx, "SELECT pg_catalog.pg_advisory_unlock_all()") // else it goes with the session
	}
	_ = b.conn.Conn().Close(ctx) // nothing is in flight
}

// alone builds as the only process, or returns [sink.ErrBuiltElsewhere]. The session that
// builds has the lock. It has no transaction between its statements, so nobody who builds
// indexes of another table waits for it. Of a process that was killed it keeps the lock until
// its statement ends. Behind a pooler, where a session is not one's own, a transaction of its
// own has the lock, in which nothing takes a snapshot once it has it.
func (b *builder) alone(ctx context.Context, say func(string)) error {
	if !b.own.pooled {
		if err := b.lock(ctx, b.conn, "pg_try_advisory_lock"); err != nil {
			return err
		}
		defer b.end(ctx)
		if err := b.settle(ctx); err != nil {
			return err
		}
		return b.build(ctx, say, b.own.pid, func() error { return nil })
	}
	var built error
	err := b.pool.inTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, readPatience, func(tx pgx.Tx) error {
		if err := b.lock(ctx, tx, "pg_try_advisory_xact_lock"); err != nil {
			return err
		}
		built = b.build(ctx, say, 0, func() error {
			// A statement without a command takes no snapshot, in the simple protocol.
			_, err := tx.Exec(ctx, "-- indexes are being built", pgx.QueryExecModeSimpleProtocol)
			return err
		})
		return nil
	})
	if built != nil {
		return built
	}
	return err
}

// lock takes the lock of who builds by a function of the server, or returns
// [sink.ErrBuiltElsewhere].
func (b *builder) lock(ctx context.Context, session interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}, function string) error {
	var alone bool
	err := session.QueryRow(ctx, "SELECT pg_catalog."+function+"($1, $2)", pgx.QueryExecModeSimpleProtocol, indexLock, b.id).Scan(&alone)
	if err == nil && !alone {
		return sink.ErrBuiltElsewhere
	}
	return err
}

// build builds the indexes, and says how far they are. keep has to be called now and then so
// that the lock is kept; pid is the process of the server that builds, 0: it is not known. That
// the server does not answer how far it is ends nothing.
func (b *builder) build(ctx context.Context, say func(string), pid uint32, keep func() error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- fault.Catch(func() error { return b.buildAll(ctx) }) }()
	ticker := time.NewTicker(indexLook)
	defer ticker.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-ticker.C:
		}
		if err := keep(); err != nil {
			stop()
			<-done // its error is that it was stopped
			return fmt.Errorf("hold the lock of who builds indexes: %w", err)
		}
		if waits := b.waits.Load(); waits != nil {
			say(*waits)
			continue
		}
		if err := b.tellIndexing(ctx, pid, say); err != nil && ctx.Err() == nil {
			say(fmt.Sprintf("building indexes (%v)", err))
		}
	}
}

// buildAll builds the indexes that are missing, one after the other, and stores how many are
// left.
func (b *builder) buildAll(ctx context.Context) error {
	for {
		var t indexed
		var missing [][]string
		err := b.inTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) (err error) {
			t, missing, err = b.spec.missingIndexes(ctx, tx)
			return err
		})
		if err != nil || len(missing) == 0 {
			return err
		}
		b.left.Store(int64(len(missing)))
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

// whole builds an index of a table that is not divided, unless it is there. What is left of one
// is removed when it was looked at twice: the server lets the table go a moment before the index
// that somebody has built is valid.
func (b *builder) whole(ctx context.Context, t indexed, columns []string) (index, error) {
	name := indexName(t.name, columns)
	var leftOver uint32 // the index that was begun and not finished
	for {
		if found, ok := validIndex(t.indexes, columns); ok {
			return found, nil
		}
		err := b.untilFree(ctx, t)
		if err == nil {
			t.indexes, err = b.indexesOf(ctx, t)
		}
		if err != nil {
			return index{}, err
		}
		if found, ok := validIndex(t.indexes, columns); ok { // by a session whose process is gone, or by others
			return found, nil
		}
		at := slices.IndexFunc(t.indexes, func(i index) bool { return i.name == name && slices.Equal(i.columns, columns) })
		switch {
		case at < 0:
			err = b.run(ctx, fmt.Sprintf("CREATE INDEX CONCURRENTLY %s ON %s (%s)", quoted(name), t.quoted(), quotedList(columns)))
		case t.indexes[at].oid != leftOver:
			leftOver = t.indexes[at].oid
			err = fault.Sleep(ctx, indexLook)
		default: // the process that began it did not end it
			err = b.run(ctx, "DROP INDEX CONCURRENTLY IF EXISTS "+t.indexes[at].quoted())
		}
		if err == nil {
			t.indexes, err = b.indexesOf(ctx, t)
		}
		if err != nil {
			return index{}, err
		}
	}
}

func (b *builder) indexesOf(ctx context.Context, t indexed) (found []index, err error) {
	err = b.inTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		found, err = indexesOf(ctx, tx, t.oid)
		return err
	})
	return found, err
}

// untilFree waits until nobody else builds an index of a table, vacuums or changes it. CREATE
// INDEX CONCURRENTLY has a snapshot while it waits for that, which another one that is being
// built would wait for in turn: the server ends one of the two. LOCK has none.
func (b *builder) untilFree(ctx context.Context, t indexed) error {
	for {
		err := b.briefly(ctx, lockPatience, "LOCK TABLE ONLY "+t.quoted()+" IN SHARE UPDATE EXCLUSIVE MODE")
		if sqlState(err) != lockNotAvailable {
			return err
		}
		b.wait(err)
		if err := fault.Sleep(ctx, again); err != nil {
			return err
		}
	}
}

// briefly runs a statement in a transaction of its own, in the session that has the lock.
func (b *builder) briefly(ctx context.Context, patience time.Duration, sql string) error {
	told, returned := sink.WithWaits(ctx, b.wait)
	defer func() {
		returned()
		b.wait(nil) // not before: a look that has begun may find somebody yet
	}()
	waits := b.pool.watch(told, b.own.pid, min(patience/3, time.Second))
	defer waits.stop()
	return waits.explain(b.pool.transact(told, b.conn, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, patience, waits, nil,
		func(tx *transaction) error {
			_, err := tx.Exec(told, sql)
			return err
		}))
}

// wait notes what is waited for; nil: nothing.
func (b *builder) wait(reason error) {
	if reason == nil {
		b.waits.Store(nil)
		return
	}
	text := "building indexes: " + reason.Error()
	b.waits.Store(&text)
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
	err := b.briefly(ctx, b.patience.now(), sql)
	b.patience.note(err)
	if err != nil {
		return fmt.Errorf("run %s: %w", sql, err)
	}
	return nil
}
