package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
)

// Reach opens the database, if it is there.
func (w *Writer) Reach(ctx context.Context) error {
	err := w.checkFolder()
	if err != nil || !w.there() {
		return err
	}
	return w.try(ctx, w.cfg.Path, func(*sql.Tx) error { return nil })
}

// Describe returns the statements that make the table.
func (w *Writer) Describe(t sink.Table) (string, error) {
	g, err := newTable(w.cfg, t)
	if err != nil {
		return "", err
	}
	return g.definition() + ";", nil
}

// Check makes the table in a transaction that is rolled back.
func (w *Writer) Check(ctx context.Context, t sink.Table) error {
	g, err := newTable(w.cfg, t)
	if err != nil {
		return err
	}
	err = w.checkFolder()
	if err != nil {
		return err
	}
	path := ":memory:" // a check must not make the file
	if w.there() {
		path = w.cfg.Path
	}
	w.table = g
	return w.try(ctx, path, func(tx *sql.Tx) error { return w.make(ctx, tx) })
}

// Open makes the table if it is not there, and the database with it.
func (w *Writer) Open(ctx context.Context, t sink.Table) error {
	err := w.checkFolder()
	if err != nil {
		return err
	}
	return w.open(ctx, t, "rwc", func(db *sql.DB) error {
		_, err := db.ExecContext(ctx, "PRAGMA journal_mode = WAL") // others can read while it is written
		if err != nil {
			return err
		}
		return inTx(ctx, db, func(tx *sql.Tx) error { return w.make(ctx, tx) })
	})
}

// OpenStored opens a table that is there.
func (w *Writer) OpenStored(ctx context.Context, t sink.Table) error {
	if !w.there() {
		return fault.Permanent(fmt.Errorf("%s is not there: load it first", w.cfg.Path))
	}
	return w.open(ctx, t, "rw", func(db *sql.DB) error {
		return inTx(ctx, db, func(tx *sql.Tx) error {
			made, err := w.isMade(ctx, tx)
			if err == nil && !made {
				err = fault.Permanent(fmt.Errorf("%s has no table %q of ampipe: load it first", w.cfg.Path, w.table.name))
			}
			return err
		})
	})
}

// Warnings returns nothing: what may become trouble is refused.
func (w *Writer) Warnings(sink.Table) []string { return nil }

// Close closes the database.
func (w *Writer) Close() error {
	if w.db == nil {
		return nil
	}
	err := w.db.Close()
	w.db = nil
	return err
}

func (w *Writer) open(ctx context.Context, t sink.Table, mode string, prepare func(*sql.DB) error) error {
	g, err := newTable(w.cfg, t)
	if err != nil {
		return err
	}
	db, err := connect(w.cfg.Path, mode)
	if err != nil {
		return classed("open "+w.cfg.Path, err)
	}
	w.table = g
	err = prepare(db)
	if err != nil {
		return classed("open "+w.cfg.Path, errors.Join(err, db.Close()))
	}
	w.db = db
	return nil
}

// errTried ends a transaction that was only to be tried.
var errTried = errors.New("only a trial")

// try runs f in a transaction that is rolled back.
func (w *Writer) try(ctx context.Context, path string, f func(*sql.Tx) error) error {
	db, err := connect(path, "rw")
	if err != nil {
		return classed("open "+path, err)
	}
	defer func() { _ = db.Close() }() // nothing was written
	err = inTx(ctx, db, func(tx *sql.Tx) error {
		err := f(tx)
		if err != nil {
			return err
		}
		return errTried
	})
	if errors.Is(err, errTried) {
		return nil
	}
	return classed("open "+path, err)
}

// connect opens a database in a mode of SQLite: "rwc" makes it if it is not there, "rw" does
// not. Every transaction is the only one that writes from its beginning, and waits a while
// for the one before it.
func connect(path, mode string) (*sql.DB, error) {
	const settings = "?_txlock=immediate&_pragma=busy_timeout(5000)&mode="
	if path == ":memory:" {
		return sql.Open("sqlite", path)
	}
	return sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+settings+mode)
}

// there reports whether the database is there.
func (w *Writer) there() bool {
	_, err := os.Stat(w.cfg.Path)
	return !errors.Is(err, fs.ErrNotExist)
}

// checkFolder returns why the database cannot be in its folder: SQLite keeps files beside
// it.
func (w *Writer) checkFolder() error {
	f, err := os.CreateTemp(filepath.Dir(w.cfg.Path), ".sqlite-sink-*")
	if err != nil {
		return fault.Permanent(fmt.Errorf("the folder of the database cannot be written: %w; make it, or change path", err))
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// make makes the table and the row of its state, unless both are there.
func (w *Writer) make(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS "+stateTable+
		" (name TEXT PRIMARY KEY, owner TEXT NOT NULL, definition TEXT NOT NULL, ledger TEXT NOT NULL) STRICT")
	if err != nil {
		return err
	}
	made, err := w.isMade(ctx, tx)
	if err != nil || made {
		return err
	}
	for _, statement := range w.table.ddl() {
		_, err := tx.ExecContext(ctx, statement)
		if err != nil {
			return fault.Permanent(fmt.Errorf("make table %q: %w; if it is another program's, choose another name", w.table.name, err))
		}
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO "+stateTable+" VALUES (?, ?, ?, '{}')", w.table.name, w.table.owner(), w.table.definition())
	return err
}

// isMade reports whether the table was made for this sink. It refuses one that was made for
// another, or for other columns.
func (w *Writer) isMade(ctx context.Context, tx *sql.Tx) (bool, error) {
	var owner, definition string
	err := tx.QueryRowContext(ctx, "SELECT owner, definition FROM "+stateTable+" WHERE name = ?", w.table.name).Scan(&owner, &definition)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return false, nil
	case err != nil:
		return false, err
	case owner != w.table.owner():
		return false, fault.Permanent(fmt.Errorf("table %q is loaded by sink %s: give each sink a table of its own", w.table.name, owner))
	case definition != w.table.definition():
		return false, fault.Permanent(fmt.Errorf("table %q was made for other columns or another key: change them back, or name another table", w.table.name))
	}
	return true, nil
}
