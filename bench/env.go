package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/plan"
)

// env is what all measurements share: a development Amp server, a database with
// the tables, and the rows as the server encodes them.
type env struct {
	options
	scale  scale
	dir    string // for everything that is written
	server *process
	amp    string // address of server
	source *amp.Client
	db     *pgx.Conn
	raw    raw

	workers int // of the configurations that are written; 0: the constant

	copyRow, arrowRow float64 // bytes of a row
}

// unread is how many blocks the source has above those that are loaded: more than
// the reorg buffer, below which blocks are history and can be read in parallel.
const unread = 1000

// openEnv starts what has to be started, makes the tables and loads all rows
// once, which warms the server and returns the rows to copy.
func openEnv(ctx context.Context, o options, s scale) (_ *env, err error) {
	if o.dsn == "" {
		return nil, errors.New("-dsn is empty: name a PostgreSQL that nobody else uses, or run scripts/bench, which starts one")
	}
	if o.bin, err = filepath.Abs(o.bin); err != nil {
		return nil, err
	}
	e := &env{options: o, scale: s}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.close())
		}
	}()
	if e.dir, err = os.MkdirTemp("", "ampipe-bench-"); err != nil {
		return nil, err
	}
	server, addresses, err := startListening(ctx, e.command(ctx, "devserver", "--listen", "127.0.0.1:0", "--chain", "eth_rpc",
		"--blocks", strconv.Itoa(s.most()/rowsPerBlock+unread), "--logs-per-block", strconv.Itoa(rowsPerBlock)), "listening")
	if err != nil {
		return nil, err
	}
	e.server, e.amp = server, addresses[0]
	if e.source, err = amp.Open(ctx, amp.Config{URL: e.amp, Recycle: true}); err != nil {
		return nil, err
	}
	if e.db, err = pgx.Connect(ctx, o.dsn); err != nil {
		return nil, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	if err := e.createTable(ctx); err != nil {
		return nil, err
	}
	if _, err := e.load(ctx, max(s.rows, s.live), config.Append); err != nil {
		return nil, fmt.Errorf("load all rows once: %w", err)
	}
	if err := e.measureRows(ctx); err != nil {
		return nil, err
	}
	if e.raw, err = e.readRaw(ctx, max(s.rows, s.live)); err != nil {
		return nil, fmt.Errorf("read the rows back: %w", err)
	}
	e.copyRow = float64(e.raw.bytes) / float64(e.raw.rows)
	return e, nil
}

// measureRows asks for the Arrow size of a row.
func (e *env) measureRows(ctx context.Context) error {
	p, err := e.pipeline(e.scale.rows, config.Append)
	if err != nil {
		return err
	}
	checked, err := plan.Check(ctx, e.source, p)
	if err != nil {
		return err
	}
	sample, err := checked.TakeSample(ctx, e.source, history(e.scale.rows), nil)
	e.arrowRow = sample.BytesPerRow()
	return err
}

// close stops what was started and removes what was written.
func (e *env) close() error {
	var errs []error
	if e.db != nil {
		errs = append(errs, e.db.Close(context.Background()))
	}
	if e.source != nil {
		errs = append(errs, e.source.Close())
	}
	if e.server != nil {
		e.server.stop()
	}
	if e.dir != "" {
		errs = append(errs, os.RemoveAll(e.dir))
	}
	return errors.Join(errs...)
}

// history returns the blocks that hold so many rows.
func history(rows int) block.Range {
	return block.Range{Start: 0, End: block.Number(rows / rowsPerBlock)}
}
