package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/apply"
	"github.com/ampipe/ampipe/pkg/sink/postgres"
)

// measureReplay drains a full log into the table, and then drains the same log
// again, of which the table has everything.
func measureReplay(ctx context.Context, e *env, r *report) (err error) {
	p, err := e.pipeline(e.scale.live, config.Append)
	if err != nil {
		return err
	}
	table, checked, err := e.table(ctx, p)
	if err != nil {
		return err
	}
	n, err := e.filledNATS(ctx, p, checked, e.scale.live)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close()) }()

	drain := func(ctx context.Context, w *postgres.Writer) (_ sample, err error) {
		defer func() { err = errors.Join(err, w.Close()) }()
		if err := n.log.RemoveConsumer(ctx, table.Sink); err != nil {
			return sample{}, err
		}
		took, err := n.drain(ctx, p.Sinks[0], w, table, e.scale.live)
		return sample{e.scale.live, took}, errors.Join(err, e.holds(ctx, e.scale.live))
	}
	first := side{"sink, from a full log", func(ctx context.Context) (sample, error) {
		w, err := e.openWriter(ctx, p, table)
		if err != nil {
			return sample{}, err
		}
		return drain(ctx, w)
	}}
	again := side{"sink, the same log again", func(ctx context.Context) (sample, error) {
		w := postgres.New(*p.Sinks[0].Postgres)
		if err := w.Open(ctx, table); err != nil {
			return sample{}, errors.Join(err, w.Close())
		}
		return drain(ctx, w)
	}}
	if err := r.add(e.compare(ctx, "replay of what is there already", 0, again, first)); err != nil {
		return err
	}
	return r.add(e.compare(ctx, "sink from a full log, append", 0.85, first, e.copyRaw(e.scale.live)))
}

// staged is how many entries a sink may hold that commits many together, as in ampipe.
const staged = 20_000

// drain runs a sink as configured until it has seen so many rows, from the log's beginning.
func (n *natsServer) drain(ctx context.Context, c config.Sink, w sink.Writer, t sink.Table, rows int) (_ time.Duration, err error) {
	work, stop := context.WithCancel(ctx)
	defer stop()
	began := time.Now()
	o := queue.ConsumeOptions{Lanes: queue.History}
	if c.CommitDelay() > 0 {
		o.MaxAckPending = staged
	}
	consumer, err := n.log.Consume(ctx, t.Sink, o)
	if err != nil {
		return 0, err
	}
	defer consumer.Close()
	seen := &seen{want: int64(rows), stop: stop}
	loop := &apply.Loop{
		Writer: w, Table: t, Source: consumer, Reports: n.state,
		Writers: c.Writers(), StageTime: c.CommitDelay(),
		Ended:    func(ctx context.Context) bool { return n.empty(ctx, t.Sink) },
		Observer: seen, Logger: zerolog.Nop(),
	}
	if err := loop.Run(work); err != nil {
		return 0, err
	}
	end := seen.end.Load()
	if end == nil {
		return 0, errors.Join(ctx.Err(), fmt.Errorf("the sink ended after %d of %d rows", seen.rows.Load(), rows))
	}
	return end.Sub(began), nil
}

// empty reports whether the log, which is full, has no entry for a sink any more. The last
// rows are committed at once then. Otherwise they wait for more, unless they happen to fill a
// transaction: a fifth of a second of the two that a measurement takes.
func (n *natsServer) empty(ctx context.Context, sink string) bool {
	at, err := n.log.Position(ctx, sink, queue.History)
	return err == nil && at.Exists && at.Pending == 0
}

// seen watches for the last row.
type seen struct {
	want int64
	rows atomic.Int64
	end  atomic.Pointer[time.Time]
	stop context.CancelFunc
}

// OnApplied implements [apply.Observer].
func (s *seen) OnApplied(c apply.Commit) {
	if s.rows.Add(int64(c.Rows+c.Skipped)) == s.want {
		now := time.Now()
		s.end.Store(&now)
		s.stop()
	}
}

// OnPause implements [apply.Observer].
func (s *seen) OnPause(error) {}

// OnResume implements [apply.Observer].
func (s *seen) OnResume() {}
