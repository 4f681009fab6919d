package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
)

// Writer is a table in a file of SQLite. It implements [sink.Writer].
type Writer struct {
	cfg   Config
	table *table  // nil until it is open or checked
	db    *sql.DB // nil unless it is open
}

var (
	_ sink.Writer = (*Writer)(nil)

	errNotOpen = fault.Permanent(errors.New("the writer is not open"))
)

// New makes a Writer. It allocates only.
func New(c Config) *Writer { return &Writer{cfg: c} }

// State reads what is committed.
func (w *Writer) State(ctx context.Context) (sink.State, error) {
	if w.db == nil {
		return sink.State{}, errNotOpen
	}
	l, err := w.readLedger(ctx, w.db)
	if err != nil {
		return sink.State{}, classed("read the state", err)
	}
	return l.State, nil
}

// Apply makes the changes in one transaction. It reads the ledger, does what the ledger
// says of each change, and writes the ledger back. Transactions are immediate: from its
// first statement on each is the only one that writes, so what it reads stays true.
func (w *Writer) Apply(ctx context.Context, changes []sink.Change) (sink.Applied, error) {
	if w.db == nil {
		return sink.Applied{}, errNotOpen
	}
	var applied sink.Applied
	err := inTx(ctx, w.db, func(tx *sql.Tx) error {
		ledger, err := w.readLedger(ctx, tx)
		if err != nil {
			return err
		}
		for _, c := range changes {
			step, err := ledger.Take(c, w.table.BlockColumn)
			if err != nil {
				return err
			}
			err = w.do(ctx, tx, step, &applied)
			if err != nil {
				return err
			}
		}
		return w.writeLedger(ctx, tx, ledger)
	})
	if err != nil {
		return sink.Applied{}, classed("apply changes", err)
	}
	return applied, nil
}

// do makes one step: first what is deleted, then what is written.
func (w *Writer) do(ctx context.Context, tx *sql.Tx, step sink.Step, applied *sink.Applied) error {
	applied.Skipped += step.Skipped
	for _, r := range step.Delete {
		from, to := between(r)
		var shown uint64
		err := tx.QueryRowContext(ctx, w.table.count(), from, to).Scan(&shown)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, w.table.remove(), from, to)
		if err != nil {
			return err
		}
		applied.Deleted += shown
	}
	if len(step.Write) == 0 {
		return nil
	}
	insert, err := tx.PrepareContext(ctx, w.table.insert())
	if err != nil {
		return err
	}
	defer func() { _ = insert.Close() }() // the transaction ends it as well
	for _, run := range step.Write {
		err := w.write(ctx, insert, run)
		if err != nil {
			return err
		}
		applied.Rows += uint64(run.Len())
	}
	return nil
}

// write inserts some rows of a record.
func (w *Writer) write(ctx context.Context, insert *sql.Stmt, run sink.Run) error {
	rows, err := w.table.reader(run.Record)
	if err != nil {
		return err
	}
	for i := run.From; i < run.To; i++ {
		at := run.Entry + i - run.From
		values, err := rows.row(i, at)
		if err != nil {
			return err
		}
		_, err = insert.ExecContext(ctx, values...)
		if codeOf(err) == sqlite3.SQLITE_CONSTRAINT { // one that somebody has added, or a trigger
			return fault.Permanent(&sink.BadRowError{Block: rows.blocks.At(i), Row: at, Reason: err.Error()})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readLedger reads what the table holds. The ledger is JSON, a form that package sink keeps.
func (w *Writer) readLedger(ctx context.Context, db interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}) (*sink.Ledger, error) {
	var text []byte
	err := db.QueryRowContext(ctx, "SELECT ledger FROM "+stateTable+" WHERE name = ?", w.table.name).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fault.Permanent(fmt.Errorf("the row of table %q in %s is gone: drop the table, and load it anew", w.table.name, stateTable))
	}
	if err != nil {
		return nil, err
	}
	ledger := new(sink.Ledger)
	err = json.Unmarshal(text, ledger)
	if err != nil {
		return nil, fault.Permanent(fmt.Errorf("what %s says of table %q is damaged: %w; drop the table and its row, and load it anew",
			stateTable, w.table.name, err))
	}
	return ledger, nil
}

func (w *Writer) writeLedger(ctx context.Context, tx *sql.Tx, l *sink.Ledger) error {
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "UPDATE "+stateTable+" SET ledger = ? WHERE name = ?", string(text), w.table.name)
	return err
}

// inTx runs f in a transaction, and commits it unless f fails.
func inTx(ctx context.Context, db *sql.DB, f func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	err = f(tx)
	if err != nil {
		_ = tx.Rollback() // what f met says more
		return err
	}
	return tx.Commit()
}

// codeOf returns the primary result code of SQLite's error; 0 if err is none of its.
func codeOf(err error) int {
	if e, is := errors.AsType[*sqlite.Error](err); is {
		return e.Code() & 0xff
	}
	return 0
}

// classed says what was done, and what to do about an error of SQLite: what passes by itself
// is waited for, the rest is for a person to mend. Other errors know that themselves.
func classed(doing string, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s: %w", doing, err)
	switch codeOf(err) {
	case 0, sqlite3.SQLITE_INTERRUPT: // an interruption is a cancelled context
		return err
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM:
		return fault.Later(err, 0)
	default:
		return fault.Permanent(err)
	}
}

// between is the closed range of blocks that BETWEEN takes.
func between(r block.Range) (from, to int64) { return int64(r.Start), int64(r.Last()) }
