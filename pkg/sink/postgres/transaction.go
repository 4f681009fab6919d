package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ampipe/ampipe/pkg/fault"
)

// rollbackTime bounds how long a rollback waits for a server that does not
// answer; after it the connection is dropped, which has the same effect.
const rollbackTime = 5 * time.Second

// transaction is a transaction of a session.
type transaction struct {
	pgx.Tx
	committed bool // by [transaction.commitWith]
}

// commitWith commits the transaction in the same round trip as the statements of a batch.
// What they are to find out must make one of them fail: when their answers are read, the
// server has committed.
func (t *transaction) commitWith(ctx context.Context, b *pgx.Batch) error {
	b.Queue("commit").Exec(func(tag pgconn.CommandTag) error {
		if tag.String() != "COMMIT" {
			return pgx.ErrTxCommitRollback
		}
		t.committed = true
		return nil
	})
	return t.SendBatch(ctx, b).Close()
}

// inTx runs f in a transaction and commits it unless f fails. A statement that has
// waited for a lock for as long as patience ends the transaction; the error is
// [fault.Later] then and says who holds the lock.
func (s *sessions) inTx(ctx context.Context, o pgx.TxOptions, patience time.Duration, f func(pgx.Tx) error) error {
	return s.inTxAfter(ctx, o, patience, nil, func(t *transaction) error { return f(t) })
}

// inTxAfter is inTx with the statements that the transaction begins with, which take no
// round trip of their own. first queues them, each time that the transaction is begun.
func (s *sessions) inTxAfter(
	ctx context.Context, o pgx.TxOptions, patience time.Duration, first func(*pgx.Batch), f func(*transaction) error,
) error {
	for {
		again, err := s.inTxOnce(ctx, o, patience, first, f)
		if !again {
			return err
		}
	}
}

// inTxOnce is inTxAfter in one connection of the pool. It reports whether that was broken
// before the transaction began, so that another one has to be taken. Asking a connection
// before it is used would take a round trip.
func (s *sessions) inTxOnce(
	ctx context.Context, o pgx.TxOptions, patience time.Duration, first func(*pgx.Batch), f func(*transaction) error,
) (again bool, err error) {
	conn, err := s.Acquire(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Release()
	own := sessionOf(conn.Conn())
	w := s.watch(ctx, own.pid, min(patience/3, time.Second))
	defer w.stop()
	used, begun := own.used, false
	err = w.explain(s.transact(ctx, conn, o, patience, w, first, func(t *transaction) error {
		begun, own.used = true, true
		return f(t)
	}))
	if used && !begun && conn.Conn().IsClosed() && ctx.Err() == nil {
		return true, nil
	}
	if ctx.Err() == nil && refusedBySession(err) {
		s.Reset()
	}
	return false, err
}

// transact runs f in a transaction of a connection, which begins with what first queues,
// and commits it unless f fails. w, if it is not nil, learns which process of the server
// it is in.
func (s *sessions) transact(
	ctx context.Context, conn *pgxpool.Conn, o pgx.TxOptions, patience time.Duration, w *waiting,
	first func(*pgx.Batch), f func(*transaction) error,
) error {
	var t *transaction
	err := fault.Catch(func() (err error) { // what panics is rolled back, too
		t, err = s.begin(ctx, conn.Conn(), o, patience, w, first)
		if err != nil {
			return err
		}
		return f(t)
	})
	switch {
	case t == nil || (err == nil && t.committed):
		return err
	case err == nil:
		return t.Commit(ctx)
	case conn.Conn().PgConn().TxStatus() == noTransaction: // the commit was refused
		return err
	}
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTime)
	defer cancel()
	_ = t.Rollback(after) // the error that matters is the first
	return err
}

// noTransaction is the status of a connection that has none.
const noTransaction = 'I'

// begin begins a transaction, with what first queues. After an error the transaction is
// nil, or has to be rolled back.
//
// One round trip is enough where the server knows all statements already, or reads each
// when its turn comes. Otherwise they are prepared within the transaction, because what
// they mean depends on its settings.
func (s *sessions) begin(
	ctx context.Context, conn *pgx.Conn, o pgx.TxOptions, patience time.Duration, w *waiting, first func(*pgx.Batch),
) (*transaction, error) {
	own := sessionOf(conn)
	o.BeginQuery = own.begin(o)
	var all pgx.Batch
	if first != nil {
		began := false
		all.BeginTx(o)
		all.QueuedQueries[0].Exec(func(pgconn.CommandTag) error { began = true; return nil })
		all.Queue(s.settle(own, "$1"), milliseconds(patience))
		first(&all)
		if own.joins(&all) {
			results := conn.SendBatch(ctx, &all)
			err := results.Close()
			if !began {
				return nil, own.refused(err)
			}
			return &transaction{Tx: results.Tx()}, err
		}
	}
	o.BeginQuery += "; " + unhurried + "; " + s.settle(own, "'"+milliseconds(patience)+"'")
	tx, err := conn.BeginTx(ctx, o)
	if err != nil {
		return nil, own.refused(err)
	}
	t := &transaction{Tx: tx}
	if own.pooled && w != nil { // by now it is known in which process this is
		if err := tx.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&own.pid); err != nil {
			return t, err
		}
		w.pid.Store(own.pid)
	}
	if first == nil {
		return t, nil
	}
	if err := own.prepare(ctx, conn, &all); err != nil {
		return t, err
	}
	var b pgx.Batch
	first(&b)
	return t, tx.SendBatch(ctx, &b).Close()
}
