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

// lab is what all measurements share: a development Amp server, a database with
// the tables, and the rows as the server encodes them.
type lab struct {
	options
	size   size
	dir    string // for everything that is written
	server *process
	amp    string // address of server
	source *amp.Client
	db     *pgx.Conn
	raw    raw

	copyRow, arrowRow float64 // bytes of a row
}

// unread is how many blocks the source has above those that are loaded: more than
// the reorg buffer, below which blocks are history and can be read in parallel.
const unread = 1000

// openLab starts what has to be started, makes the tables and loads all rows
// once, which warms the server and returns the rows to copy.
func openLab(ctx context.Context, o options, s size) (_ *lab, err error) {
	if o.dsn == "" {
		return nil, errors.New("-dsn is empty: name a PostgreSQL that nobody else uses, or run scripts/bench, which starts one")
	}
	if o.bin, err = filepath.Abs(o.bin); err != nil {
		return nil, err
	}
	l := &lab{options: o, size: s}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	if l.dir, err = os.MkdirTemp("", "ampipe-bench-"); err != nil {
		return nil, err
	}
	l.server, l.amp, err = startListening(ctx, l.command(ctx, "devserver", "--listen", "127.0.0.1:0", "--chain", "eth_rpc",
		"--blocks", strconv.Itoa(s.most()/rowsPerBlock+unread), "--logs-per-block", strconv.Itoa(rowsPerBlock)))
	if err != nil {
		return nil, err
	}
	if l.source, err = amp.Open(ctx, amp.Config{URL: l.amp}); err != nil {
		return nil, err
	}
	if l.db, err = pgx.Connect(ctx, o.dsn); err != nil {
		return nil, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	if err := l.createTable(ctx); err != nil {
		return nil, err
	}
	if _, err := l.load(ctx, s.most(), config.Append); err != nil {
		return nil, fmt.Errorf("load all rows once: %w", err)
	}
	if err := l.measureRows(ctx); err != nil {
		return nil, err
	}
	if l.raw, err = l.readRaw(ctx, max(s.rows, s.live)); err != nil {
		return nil, fmt.Errorf("read the rows back: %w", err)
	}
	l.copyRow = float64(l.raw.bytes) / float64(l.raw.rows)
	return l, nil
}

// measureRows asks for the Arrow size of a row.
func (l *lab) measureRows(ctx context.Context) error {
	p, err := l.pipeline(l.size.rows, config.Append, "{ embedded: ./nats }")
	if err != nil {
		return err
	}
	checked, err := plan.Check(ctx, l.source, p)
	if err != nil {
		return err
	}
	sample, err := checked.TakeSample(ctx, l.source, history(l.size.rows))
	l.arrowRow = sample.BytesPerRow()
	return err
}

// close stops what was started and removes what was written.
func (l *lab) close() error {
	var errs []error
	if l.db != nil {
		errs = append(errs, l.db.Close(context.Background()))
	}
	if l.source != nil {
		errs = append(errs, l.source.Close())
	}
	if l.server != nil {
		l.server.stop()
	}
	if l.dir != "" {
		errs = append(errs, os.RemoveAll(l.dir))
	}
	return errors.Join(errs...)
}

// history is the blocks that hold so many rows.
func history(rows int) block.Range {
	return block.Range{Start: 0, End: block.Number(rows / rowsPerBlock)}
}
