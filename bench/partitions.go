package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/metrics"
	"syscall"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
	"github.com/ampipe/ampipe/pkg/status"
)

// cost adds what something takes, and the most that it may; 0: whatever it takes.
func (r *report) cost(what string, value float64, unit string, most float64) {
	l := limit{what: what, value: value, unit: unit, most: most}
	l.print()
	r.costs = append(r.costs, l)
}

// partitions that are planned, and that have finished, where their number must not matter.
const manyPartitions = 1_000_000

// measurePartitions loads few and many partitions of one block, and looks at a pipeline that
// has a million of them.
func measurePartitions(ctx context.Context, e *env, r *report) error {
	var each [2]float64
	for i, n := range e.scale.partitions {
		took, err := e.loadNumbers(ctx, n)
		if err != nil {
			return err
		}
		each[i] = milliseconds(took) / float64(n)
		r.cost(fmt.Sprintf("CPU of one of %s partitions: planned, queued, read, applied, reported", thousands(float64(n))), each[i], "ms", 1)
	}
	r.cost("many against few", each[1]/each[0], "", 1.2)
	if err := e.planMany(ctx, r); err != nil {
		return err
	}
	return e.lookAtMany(ctx, r)
}

// loadNumbers returns the processor time that a load of so many partitions took.
func (e *env) loadNumbers(ctx context.Context, blocks int) (took time.Duration, err error) {
	defer e.profiled(fmt.Sprint("partitions ", blocks))()
	t := numbers{block.Number(blocks)}
	n, err := e.startNATS(ctx, "", t.config())
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	began := cpu()
	err = t.load(ctx, n, nil)
	return cpu() - began, err
}

// planMany measures how long it takes, with an empty state, until so many partitions are
// planned and workers have tasks, and how much memory.
func (e *env) planMany(ctx context.Context, r *report) (err error) {
	t := numbers{manyPartitions}
	n, err := e.startNATS(ctx, "", t.config())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	took := measureHeap()
	began := time.Now()
	_, open, err := t.look(ctx, n, 1)
	seconds, peak := time.Since(began).Seconds(), took()
	if err != nil {
		return err
	}
	if open == 0 {
		return errors.New("no partition is open")
	}
	r.cost(fmt.Sprintf("%s partitions planned", thousands(manyPartitions)), seconds, "s", 10)
	r.cost("memory that this takes, of the planner and of NATS", mib(peak), "MiB", 150)
	return nil
}

// lookAtMany measures what it costs to look at a pipeline that has finished few partitions,
// and many.
func (e *env) lookAtMany(ctx context.Context, r *report) error {
	for _, finished := range []int{10_000, manyPartitions} {
		n, t, err := e.finishedNATS(ctx, finished)
		if err != nil {
			return err
		}
		err = lookAtFinished(ctx, r, n, t, thousands(float64(finished)))
		if err = errors.Join(err, n.close()); err != nil {
			return err
		}
	}
	return nil
}

func lookAtFinished(ctx context.Context, r *report, n *natsServer, t numbers, finished string) error {
	const rounds = 40
	took, _, err := t.look(ctx, n, rounds)
	if err != nil {
		return err
	}
	r.cost(fmt.Sprintf("CPU of a look of the planner when %s have finished", finished), milliseconds(took)/rounds, "ms", 0)
	began := cpu()
	facts, err := status.Read(ctx, n.conn, numbersName)
	if err != nil {
		return err
	}
	status.Build(facts, status.Options{})
	status.NewDetail(facts, 200)
	r.cost(fmt.Sprintf("CPU of a look of the page when %s have finished", finished), milliseconds(cpu()-began), "ms", 250)
	return nil
}

// finishedNATS returns a server with a pipeline of which so many partitions have finished,
// and as many are still to come.
func (e *env) finishedNATS(ctx context.Context, finished int) (*natsServer, numbers, error) {
	t := numbers{block.Number(2 * finished)}
	n, err := e.startNATS(ctx, "", t.config())
	if err != nil {
		return nil, t, err
	}
	const merged = 4000
	var records []state.Partition
	for first := 0; first < finished && err == nil; first += merged {
		parts := make([]state.Partition, min(merged, finished-first))
		for i := range parts {
			at := block.Number(first + i)
			parts[i] = state.Partition{Start: at, End: at + 1, State: state.PartitionDone, Rows: 1000, Seconds: 0.123456, Attempts: 1}
		}
		var whole state.Partition
		whole, err = state.Merge(parts[0], parts)
		records = append(records, whole)
	}
	if err == nil {
		_, err = n.state.CreatePartitions(ctx, records)
	}
	if err != nil {
		return nil, t, errors.Join(err, n.close())
	}
	return n, t, nil
}

// look runs the planner for so many rounds, and returns the processor time of those behind
// the first, or of the first if it is the only one, and how many partitions are open.
func (t numbers) look(ctx context.Context, n *natsServer, rounds int) (took time.Duration, open int, err error) {
	spec, _, err := t.spec()
	if err != nil {
		return 0, 0, err
	}
	if _, err := n.state.SaveSpec(ctx, spec, 0); err != nil {
		return 0, 0, err
	}
	work, stop := context.WithCancel(ctx)
	defer stop()
	planner := t.planner(n)
	planner.Every = 100 * time.Millisecond
	began, done := cpu(), 0
	planner.Notify = func(s plan.Status) {
		switch done++; {
		case done == 1 && rounds > 1:
			began = cpu()
		case done > rounds || rounds == 1:
			took, open = cpu()-began, s.Tasks[queue.PartitionTask].Queued
			stop()
		}
	}
	_, err = planner.Run(work, spec, 1)
	if work.Err() != nil && ctx.Err() == nil {
		err = nil
	}
	return took, open, err
}

// cpu returns how much processor time this process has taken.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0 // it cannot fail with these arguments
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measureHeap watches the heap until the function that it returns is called, which returns by
// how many bytes it has grown at most, with what is not collected yet.
func measureHeap() (peak func() uint64) {
	runtime.GC()
	heap := func() uint64 {
		read := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(read)
		return read[0].Value.Uint64()
	}
	before := heap()
	most, stop, stopped := before, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				most = max(most, heap())
			}
		}
	}()
	return func() uint64 {
		close(stop)
		<-stopped
		return max(most, heap()) - before
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
