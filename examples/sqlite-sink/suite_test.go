package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/layout"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// destination is a table for the suite that every destination has to pass.
type destination struct{ cfg Config }

func newDestination(t testing.TB, s sinktest.Setup) sinktest.Destination {
	return &destination{Config{Path: filepath.Join(t.TempDir(), "suite%20?.db"), Table: "t", Mode: s.Mode, Key: s.Key}}
}

func (d *destination) Writer(testing.TB) sink.Writer { return New(d.cfg) }

// Rows reads the table as its users do.
func (d *destination) Rows(ctx context.Context) ([]sinktest.Row, error) {
	db, err := connect(d.cfg.Path, "?mode=rw")
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }() // it was only read
	rows, err := db.QueryContext(ctx, "SELECT key, block_num, log_index, value FROM t")
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // its error is that of rows.Err
	var all []sinktest.Row
	for rows.Next() {
		var r sinktest.Row
		err := rows.Scan(&r.Key, &r.Block, &r.Index, &r.Value)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

// Obstruct has a trigger refuse a row, as a constraint of a user's own does.
func (d *destination) Obstruct(t testing.TB, row sinktest.Row) (lift func()) {
	into := "t"
	if len(d.cfg.Key) > 0 {
		into = "t_versions"
	}
	execute(t, d.cfg.Path, fmt.Sprintf("CREATE TRIGGER obstruct BEFORE INSERT ON %s WHEN NEW.log_index = %d BEGIN SELECT RAISE(ABORT, 'obstructed'); END",
		into, row.Index))
	return func() { execute(t, d.cfg.Path, "DROP TRIGGER obstruct") }
}

// execute runs a statement in a database, which it makes if it is not there.
func execute(t testing.TB, path, statement string) {
	t.Helper()
	db, err := connect(path, "?mode=rwc")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }() // the statement is done
	_, err = db.ExecContext(t.Context(), statement)
	if err != nil {
		t.Fatal(err)
	}
}

func TestSuite(t *testing.T) {
	t.Parallel()
	sinktest.Run(t, newDestination)
}

// TestLayouts loads and verifies columns of every type, however they lie in memory. What
// SQLite cannot hold is not among them.
func TestLayouts(t *testing.T) {
	t.Parallel()
	sinktest.RunLayouts(t, layout.Columns(), func(t testing.TB, table sink.Table) sink.Writer {
		w := New(Config{Path: filepath.Join(t.TempDir(), "l.db"), Table: strings.ToLower(table.Pipeline)})
		err := w.Open(t.Context(), table)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = w.Close() })
		return w
	})
}
