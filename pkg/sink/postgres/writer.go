package postgres

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
)

// Writer is a table in PostgreSQL. It implements [sink.Writer] and
// [sink.Digester]; docs/postgres.md is its manual.
type Writer struct {
	cfg    config.Postgres
	target *target
	pool   *pgxpool.Pool
	id     int32 // of the table in ampipe.tables
	past   bool  // ampipe.replaced is there and may be read

	scratch  sync.Pool // *scratch, one for each Apply that is running
	detour   detour
	altering atomic.Bool // the table has triggers that may change rows of an upsert
	warnings []string
}

var (
	_ sink.Writer   = (*Writer)(nil)
	_ sink.Digester = (*Writer)(nil)

	errNotOpen = fault.Permanent(errors.New("the writer is not open"))
)

// New makes a Writer for a sink of the configuration. It allocates only;
// [Writer.Open] connects.
func New(cfg config.Postgres) *Writer { return &Writer{cfg: cfg} }

// Warnings returns what Open or Check found of the table that may become trouble.
// Before them it returns none.
func (w *Writer) Warnings(sink.Table) []string { return w.warnings }

// Close waits for the calls that are running and closes the connections.
func (w *Writer) Close() error {
	if w.pool != nil {
		w.pool.Close()
		w.pool = nil
	}
	return nil
}

// rollbackTime bounds how long a rollback waits for a server that does not
// answer; after it the connection is dropped, which has the same effect.
const rollbackTime = 5 * time.Second

// inTx runs f in a transaction and commits it unless f fails.
func (w *Writer) inTx(ctx context.Context, options pgx.TxOptions, f func(pgx.Tx) error) error {
	return inTx(ctx, w.pool, options, f)
}

func inTx(ctx context.Context, pool *pgxpool.Pool, options pgx.TxOptions, f func(pgx.Tx) error) error {
	tx, err := pool.BeginTx(ctx, options)
	if err != nil {
		return err
	}
	err = fault.Catch(func() error { return f(tx) }) // what panics is rolled back, too
	if err == nil {
		return tx.Commit(ctx)
	}
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTime)
	defer cancel()
	_ = tx.Rollback(after) // the error that matters is f's
	return err
}
