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
func measureFlight(ctx context.Context, e *env, r *report) error {
	p, err := e.pipeline(e.scale.live, config.Append)
	if err != nil {
		return err
	}
	_, checked, err := e.table(ctx, p)
	if err != nil {
		return err
	}
	size := plan.Size(history(e.scale.live).Len(), workers, rowsPerBlock)
	extract := side{"planner, extractor and log", func(ctx context.Context) (_ sample, err error) {
		n, err := e.startNATS(ctx, "", p)
		if err != nil {
			return sample{}, err
		}
		defer func() { err = errors.Join(err, n.close()) }()
		defer e.profiled("flight")()
		took, err := n.fill(ctx, e.source, e.planner(n, p), checked, size)
		return sample{e.scale.live, took}, err
	}}
	bare := side{fmt.Sprintf("bare Flight read, %d streams", workers), func(ctx context.Context) (sample, error) {
		return e.readSource(ctx, checked, plan.Cut(history(e.scale.live), size))
	}}
	return r.add(e.compare(ctx, "Flight to log, sync always", 0.65, extract, bare))
}

// planner plans a pipeline on a NATS server.
func (e *env) planner(n *natsServer, p *config.Pipeline) *plan.Planner {
	return &plan.Planner{Source: e.source, State: n.state, Tasks: n.tasks, Log: n.log, Config: p, Logger: zerolog.Nop()}
}

// readSource reads ranges, decodes the rows and drops them.
func (e *env) readSource(ctx context.Context, checked *plan.Checked, ranges []block.Range) (sample, error) {
	var rows atomic.Int64
	began := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(workers)
	for _, blocks := range ranges {
		g.Go(func() error {
			for msg, err := range e.source.Fetch(ctx, checked.Query.Wrap(checked.BlockColumn(), blocks)) {
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
