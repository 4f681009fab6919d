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

// Writer is a table in a file of SQLite, a [sink.Writer].
type Writer struct {
	cfg    Config
	*table         // since it was opened or checked; it checks and digests the rows of the source
	db     *sql.DB // since it was opened
}

// New makes a Writer. It allocates only.
func New(c Config) *Writer { return &Writer{cfg: c} }

// State reads what is committed.
func (w *Writer) State(ctx context.Context) (sink.State, error) {
	committed, err := readCommitState(w.db.QueryRowContext(ctx, selectCommitState, w.name))
	return committed.State, classed("read the state", err)
}

// Apply makes the changes in one transaction. It reads the commit state, does what that
// says of each change, and writes it back.
func (w *Writer) Apply(ctx context.Context, changes []sink.Change) (sink.Applied, error) {
	var applied sink.Applied
	err := inTx(ctx, w.db, func(tx *sql.Tx) error {
		committed, err := readCommitState(tx.QueryRowContext(ctx, selectCommitState, w.name))
		if err != nil {
			return err
		}
		for _, c := range changes {
			step, err := committed.Take(c, w.Table.BlockColumn)
			if err != nil {
				return err
			}
			if err := w.do(ctx, tx, step, &applied); err != nil {
				return err
			}
		}
		return w.writeCommitState(ctx, tx, committed)
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
		var shown uint64
		err := tx.QueryRowContext(ctx, w.ofBlocks("SELECT count(*) FROM "+w.name), int64(r.Start), int64(r.Last())).Scan(&shown)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, w.ofBlocks("DELETE FROM "+w.rows), int64(r.Start), int64(r.Last()))
		if err != nil {
			return err
		}
		applied.Deleted += shown
	}
	insert, err := tx.PrepareContext(ctx, w.insert())
	if err != nil {
		return err
	}
	defer func() { _ = insert.Close() }() // the transaction ends it as well
	for _, run := range step.Write {
		err := w.Each(run, func(n block.Number, at int, values []any) error {
			_, err := insert.ExecContext(ctx, values...)
			if codeOf(err) == sqlite3.SQLITE_CONSTRAINT { // one that somebody has added, or a trigger
				return fault.Permanent(&sink.BadRowError{Block: n, Row: at, Reason: err.Error()})
			}
			return err
		})
		if err != nil {
			return err
		}
		applied.Rows += uint64(run.Len())
	}
	return nil
}

const selectCommitState = "SELECT commit_state FROM ampipe_state WHERE name = ?"

// readCommitState reads what the table holds. Its JSON is a form that package sink keeps.
func readCommitState(row *sql.Row) (l sink.CommitState, err error) {
	var text []byte
	if err = row.Scan(&text); err == nil {
		err = json.Unmarshal(text, &l)
	}
	if err != nil {
		err = fmt.Errorf("read what is loaded, in table ampipe_state: %w", err)
	}
	return l, err
}

func (w *Writer) writeCommitState(ctx context.Context, tx *sql.Tx, l sink.CommitState) error {
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "UPDATE ampipe_state SET commit_state = ? WHERE name = ?", string(text), w.name)
	return err
}

// DigestStored adds the rows that the table shows for the blocks of r.
func (w *Writer) DigestStored(ctx context.Context, r block.Range, into sink.Digests) error {
	rows, err := w.db.QueryContext(ctx, w.ofBlocks("SELECT * FROM "+w.name), int64(r.Start), int64(r.Last()))
	if err != nil {
		return classed("read rows", err)
	}
	defer func() { _ = rows.Close() }() // its error is that of rows.Err
	values, places := make([]any, len(w.columns)), make([]any, len(w.columns))
	for i := range values {
		places[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(places...); err != nil {
			return classed("read rows", err)
		}
		n, _ := values[w.Table.BlockColumn].(int64) // the table is STRICT
		into.Add(block.Number(n), sink.HashValues(values))
	}
	return classed("read rows", rows.Err())
}

// inTx runs f in a transaction, and commits it unless f fails.
func inTx(ctx context.Context, db *sql.DB, f func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		_ = tx.Rollback() // what f met says more
		return err
	}
	return tx.Commit()
}

// codeOf returns the primary result code of an error of SQLite; 0 if err is none.
func codeOf(err error) int {
	if e, is := errors.AsType[*sqlite.Error](err); is {
		return e.Code() & 0xff
	}
	return 0
}

// classed says what was done, and what to do about an error of SQLite: what passes by itself
// is waited for, the rest is for a person to mend. Other errors say it themselves.
func classed(doing string, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s: %w", doing, err)
	switch codeOf(err) {
	case 0, sqlite3.SQLITE_INTERRUPT: // an interruption is a context that has ended
		return err
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM:
		return fault.Later(err, 0)
	default:
		return fault.Permanent(err)
	}
}
