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
func measureLibrary(ctx context.Context, e *env, r *report) error {
	p, err := e.pipeline(e.scale.rows, config.Append)
	if err != nil {
		return err
	}
	table, changes, release, err := e.decoded(ctx, p)
	if err != nil {
		return err
	}
	defer release()
	apply := side{"postgres.Writer from memory", func(ctx context.Context) (sample, error) {
		w, err := e.openWriter(ctx, p, table)
		if err != nil {
			return sample{}, err
		}
		s, err := e.applyAll(ctx, "library", w, changes)
		return s, errors.Join(err, e.holds(ctx, e.scale.rows))
	}}
	return r.add(e.compare(ctx, "sink library from memory, append", 0.80, apply, e.copyRaw(e.scale.rows)))
}

// applyAll applies all rows, from memory, by a writer that is open, and closes it.
func (e *env) applyAll(ctx context.Context, profile string, w sink.Writer, changes []sink.Change) (_ sample, err error) {
	defer func() { err = errors.Join(err, w.Close()) }()
	defer e.profiled(profile)()
	began := time.Now()
	var rows uint64
	for i := range changes {
		applied, err := w.Apply(ctx, changes[i:i+1])
		if err != nil {
			return sample{}, err
		}
		rows += applied.Rows
	}
	took := time.Since(began)
	if int(rows) != e.scale.rows {
		err = fmt.Errorf("%d rows were written instead of %d", rows, e.scale.rows)
	}
	return sample{e.scale.rows, took}, err
}

// openWriter opens a writer for the empty table.
func (e *env) openWriter(ctx context.Context, p *config.Pipeline, t sink.Table) (*postgres.Writer, error) {
	if err := e.empty(ctx); err != nil {
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
func (e *env) decoded(ctx context.Context, p *config.Pipeline) (sink.Table, []sink.Change, func(), error) {
	table, checked, err := e.table(ctx, p)
	if err != nil {
		return table, nil, nil, err
	}
	changes, err := e.changes(ctx, checked)
	return table, changes, func() {
		for _, c := range changes {
			for _, rec := range c.Records {
				rec.Release()
			}
		}
	}, err
}

// changes reads the rows into memory, batchRows in a change.
func (e *env) changes(ctx context.Context, checked *plan.Checked) ([]sink.Change, error) {
	var changes []sink.Change
	for _, blocks := range plan.Cut(history(e.scale.rows), batchRows/rowsPerBlock) {
		c, err := e.change(ctx, checked, blocks)
		if err != nil {
			return nil, fmt.Errorf("read blocks %v: %w", blocks, err)
		}
		changes = append(changes, c)
	}
	return changes, nil
}

func (e *env) change(ctx context.Context, checked *plan.Checked, blocks block.Range) (sink.Change, error) {
	var records []arrow.RecordBatch
	rows := 0
	for msg, err := range e.source.Fetch(ctx, checked.Query.Wrap(checked.BlockColumn(), blocks)) {
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
