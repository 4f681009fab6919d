package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/postgres"
)

// measureLibrary compares the writer, fed from memory, with raw COPY.
func measureLibrary(ctx context.Context, l *lab, r *report) error {
	p, err := l.pipeline(l.size.rows, config.Append, "{ embedded: ./nats }")
	if err != nil {
		return err
	}
	table, changes, release, err := l.decoded(ctx, p)
	if err != nil {
		return err
	}
	defer release()
	apply := side{"postgres.Writer from memory", func(ctx context.Context) (_ sample, err error) {
		w, err := l.openWriter(ctx, p, table)
		if err != nil {
			return sample{}, err
		}
		defer func() { err = errors.Join(err, w.Close()) }()
		defer l.profiled("library")()
		began := time.Now()
		for i := range changes {
			if _, err := w.Apply(ctx, changes[i:i+1]); err != nil {
				return sample{}, err
			}
		}
		took := time.Since(began)
		return sample{l.size.rows, took}, l.holds(ctx, l.size.rows)
	}}
	return r.add(l.compare(ctx, "sink library from memory, append", 0.80, apply, l.copyRaw(l.size.rows)))
}

// openWriter opens a writer for the empty table.
func (l *lab) openWriter(ctx context.Context, p *config.Pipeline, t sink.Table) (*postgres.Writer, error) {
	if err := l.empty(ctx); err != nil {
		return nil, err
	}
	w := postgres.New(*p.Sinks[0].Postgres)
	if err := w.Open(ctx, t); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// decoded returns the table of a pipeline and all rows in memory, until they are
// released.
func (l *lab) decoded(ctx context.Context, p *config.Pipeline) (sink.Table, []sink.Change, func(), error) {
	table, checked, err := l.table(ctx, p)
	if err != nil {
		return table, nil, nil, err
	}
	changes, err := l.changes(ctx, checked)
	return table, changes, func() {
		for _, c := range changes {
			for _, rec := range c.Records {
				rec.Release()
			}
		}
	}, err
}

// changes reads the rows into memory, batchRows in a change.
func (l *lab) changes(ctx context.Context, checked *plan.Checked) ([]sink.Change, error) {
	var changes []sink.Change
	for _, blocks := range plan.Cut(history(l.size.rows), batchRows/rowsPerBlock) {
		c, err := l.change(ctx, checked, blocks)
		if err != nil {
			return nil, fmt.Errorf("read blocks %v: %w", blocks, err)
		}
		changes = append(changes, c)
	}
	return changes, nil
}

func (l *lab) change(ctx context.Context, checked *plan.Checked, blocks block.Range) (sink.Change, error) {
	var records []arrow.RecordBatch
	rows := 0
	for msg, err := range l.source.Fetch(ctx, checked.Query.Wrap(checked.BlockColumn(), blocks)) {
		if err != nil {
			return sink.Change{}, err
		}
		if msg.Record.NumRows() > 0 {
			msg.Record.Retain()
			records, rows = append(records, msg.Record), rows+int(msg.Record.NumRows())
		}
	}
	return sink.Change{
		Header:  entry.Header{Kind: entry.Data, Epoch: 1, Network: checked.Network, Range: blocks, Rows: rows, End: blocks.End},
		Records: records,
	}, nil
}
