package main

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
)

// Describe returns the statements that make the table.
func (w *Writer) Describe(t sink.Table) (string, error) {
	g, err := newTable(w.cfg, t)
	if err != nil {
		return "", err
	}
	return g.definition(), nil
}

// Reach checks that the folder can be written: SQLite keeps files beside the database.
func (w *Writer) Reach(context.Context) error {
	f, err := os.CreateTemp(filepath.Dir(w.cfg.Path), ".sqlite-sink-*")
	if err != nil {
		return fault.Permanent(fmt.Errorf("the folder of the database cannot be written: %w; make it, or change path", err))
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// errTried ends a transaction that was only to be tried.
var errTried = errors.New("only a trial")

// Check makes the table in a transaction that is rolled back.
func (w *Writer) Check(ctx context.Context, t sink.Table) error {
	path := w.cfg.Path
	if !w.exists() {
		path = ":memory:" // a check must not make the file
	}
	err := w.open(ctx, t, path, "?mode=rw", func(ctx context.Context, tx *sql.Tx) error {
		return cmp.Or(w.create(ctx, tx), errTried)
	})
	if errors.Is(err, errTried) {
		return nil
	}
	return err
}

// Open makes the table if it is not there, and the database with it. Others can read it
// while it is written.
func (w *Writer) Open(ctx context.Context, t sink.Table) error {
	return w.open(ctx, t, w.cfg.Path, "?mode=rwc&_pragma=journal_mode(WAL)", w.create)
}

// OpenStored opens a table that is there.
func (w *Writer) OpenStored(ctx context.Context, t sink.Table) error {
	if !w.exists() {
		return fault.Permanent(fmt.Errorf("%s is not there: load it first", w.cfg.Path))
	}
	return w.open(ctx, t, w.cfg.Path, "?mode=rw", func(ctx context.Context, tx *sql.Tx) error {
		_, err := readCommitState(tx.QueryRowContext(ctx, selectCommitState, w.name))
		return err
	})
}

// Warnings returns nothing: what may become trouble is refused.
func (w *Writer) Warnings(sink.Table) []string { return nil }

// Close closes the database.
func (w *Writer) Close() error {
	if w.db == nil {
		return nil
	}
	return w.db.Close()
}

func (w *Writer) exists() bool {
	_, err := os.Stat(w.cfg.Path)
	return !errors.Is(err, os.ErrNotExist)
}

func (w *Writer) open(ctx context.Context, t sink.Table, path, mode string, prepare func(context.Context, *sql.Tx) error) error {
	if err := w.Reach(ctx); err != nil {
		return err
	}
	g, err := newTable(w.cfg, t)
	if err != nil {
		return err
	}
	db, err := connect(path, mode)
	if err != nil {
		return classed("open "+path, err)
	}
	w.table = g
	err = inTx(ctx, db, func(tx *sql.Tx) error { return prepare(ctx, tx) })
	if err != nil {
		return classed("open "+path, errors.Join(err, db.Close()))
	}
	w.db = db
	return nil
}

// connect opens a database so that every transaction is from its beginning the only one
// that writes, and waits a while for the one before it.
func connect(path, mode string) (*sql.DB, error) {
	return sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+mode+"&_txlock=immediate&_pragma=busy_timeout(5000)")
}

// create makes the table and the row of its state. It refuses a table that is there and was
// made for another sink, or for other columns, and one that another program has made.
func (w *Writer) create(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS ampipe_state "+
		"(name TEXT PRIMARY KEY, owner TEXT, definition TEXT, commit_state TEXT) STRICT")
	if err != nil {
		return err
	}
	var owner, definition string
	err = tx.QueryRowContext(ctx, "SELECT owner, definition FROM ampipe_state WHERE name = ?", w.name).Scan(&owner, &definition)
	switch {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return err
	case owner != w.owner:
		return fault.Permanent(fmt.Errorf("table %s is loaded by sink %s: give each sink a table of its own", w.name, owner))
	case definition != w.definition():
		return fault.Permanent(fmt.Errorf("table %s was made for other columns or another key: "+
			"change them back, or name another table", w.name))
	default:
		return nil
	}
	_, err = tx.ExecContext(ctx, w.definition())
	if err != nil {
		return fmt.Errorf("make the table: %w; if it is another program's, choose another name", err)
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO ampipe_state VALUES (?, ?, ?, '{}')", w.name, w.owner, w.definition())
	return err
}
