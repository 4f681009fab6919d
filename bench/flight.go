package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/plan"
)

// measureFlight compares reading into the log, every entry synced to the disk,
// with reading the same ranges by as many workers and dropping the rows.
func measureFlight(ctx context.Context, l *lab, r *report) error {
	p, err := l.pipeline(l.size.live, config.Append, "{ embedded: ./nats }")
	if err != nil {
		return err
	}
	_, checked, err := l.table(ctx, p)
	if err != nil {
		return err
	}
	size := plan.Size(history(l.size.live).Len(), workers, rowsPerBlock)
	extract := side{"planner, extractor and log", func(ctx context.Context) (_ sample, err error) {
		b, err := l.openBus(ctx, "", p)
		if err != nil {
			return sample{}, err
		}
		defer func() { err = errors.Join(err, b.close()) }()
		defer l.profiled("flight")()
		took, err := b.fill(ctx, l.source, l.planner(b, p), checked, size)
		return sample{l.size.live, took}, err
	}}
	bare := side{fmt.Sprintf("bare Flight read, %d streams", workers), func(ctx context.Context) (sample, error) {
		return l.readSource(ctx, checked, plan.Cut(history(l.size.live), size))
	}}
	return r.add(l.compare(ctx, "Flight to log, sync always", 0.40, extract, bare))
}

// planner plans a pipeline on a bus.
func (l *lab) planner(b *bus, p *config.Pipeline) *plan.Planner {
	return &plan.Planner{Source: l.source, State: b.state, Tasks: b.tasks, Log: b.log, Config: p, Logger: zerolog.Nop()}
}

// readSource reads ranges, decodes the rows and drops them.
func (l *lab) readSource(ctx context.Context, checked *plan.Checked, ranges []block.Range) (sample, error) {
	var rows atomic.Int64
	began := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(workers)
	for _, blocks := range ranges {
		g.Go(func() error {
			for msg, err := range l.source.Fetch(ctx, checked.Query.Wrap(checked.BlockColumn(), blocks)) {
				if err != nil {
					return fmt.Errorf("read blocks %v: %w", blocks, err)
				}
				rows.Add(msg.Record.NumRows())
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return sample{}, err
	}
	return sample{int(rows.Load()), time.Since(began)}, nil
}
