package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/ampipe/ampipe/pkg/config"
)

// What is demanded of the most memory of a process, in bytes,
// and how much more a load of four times the rows may take before it counts as
// growing: the collector's timing alone moves a peak by a tenth or two.
const (
	extractorStated = 96 << 20
	sinkStated      = 96 << 20
	runStated       = 400 << 20
	lakeWorst       = 440 << 20 // what fails into Delta Lake
	growth          = 1.25
	memoryWorkers   = 8
	sinkWriters     = 2 // the default
)

// peaks is the most memory that a process had, for either load and in each turn.
type peaks struct {
	process string
	stated  uint64
	worst   uint64 // what fails, where the demand is known to be missed; 0: anything that misses it
	loads   [2][]float64
}

func (p peaks) medians() (small, large float64) { return median(p.loads[0]), median(p.loads[1]) }

func (p peaks) failed() bool {
	_, large := p.medians()
	return p.missed() && large > float64(p.worst)
}

func (p peaks) summary() string {
	small, large := p.medians()
	return fmt.Sprintf("%s: %.0f MiB, and %.0f MiB of more rows", p.process, mib(small), mib(large))
}

// missed reports whether the peak grows with the load or is above what is stated.
func (p peaks) missed() bool {
	small, large := p.medians()
	return large > growth*small || large > float64(p.stated)
}

// measureMemory loads with separate processes, and with all in one, few rows and many in
// turns. It asks the system for the peaks of processes while they run.
func measureMemory(ctx context.Context, e *env, r *report) error {
	many := *e
	many.workers = memoryWorkers
	extractor := peaks{process: fmt.Sprintf("extractor, %d workers", many.workers), stated: extractorStated}
	writer := peaks{process: fmt.Sprintf("sink-postgres, %d writers", sinkWriters), stated: sinkStated}
	run := peaks{process: fmt.Sprintf("ampipe run into PostgreSQL, %d workers, %d writers", many.workers, sinkWriters), stated: runStated}
	lake := peaks{process: fmt.Sprintf("ampipe run into Delta Lake, %d workers", many.workers), stated: runStated, worst: lakeWorst}
	for range e.scale.memoryTurns {
		for i, rows := range e.scale.memory {
			e, w, err := many.peaks(ctx, rows)
			if err != nil {
				return err
			}
			all, err := many.peakOfRun(ctx, func() (string, error) { return many.file(rows, config.Append, embedded) })
			if err == nil {
				err = many.holds(ctx, rows)
			}
			if err != nil {
				return err
			}
			delta, err := many.peakOfRun(ctx, func() (string, error) { return many.lakeFile(rows) })
			if err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "         %d rows: extractor %.0f MiB, sink %.0f MiB, ampipe run %.0f MiB, into Delta %.0f MiB\n",
				rows, mib(e), mib(w), mib(all), mib(delta))
			extractor.loads[i] = append(extractor.loads[i], float64(e))
			writer.loads[i] = append(writer.loads[i], float64(w))
			run.loads[i] = append(run.loads[i], float64(all))
			lake.loads[i] = append(lake.loads[i], float64(delta))
		}
	}
	r.peaks = append(r.peaks, extractor, writer, run, lake)
	return e.measureFollowers(ctx, r)
}

// peakOfRun loads with the command itself, everything new.
func (e *env) peakOfRun(ctx context.Context, write func() (string, error)) (uint64, error) {
	if err := errors.Join(e.empty(ctx), e.remove("nats", "lake")); err != nil {
		return 0, err
	}
	file, err := write()
	if err != nil {
		return 0, err
	}
	p, err := start(ctx, e.command(ctx, "ampipe", "run", "-c", file))
	if err != nil {
		return 0, err
	}
	return p.peakUntilEnd()
}

// peaks loads so many rows with a planner, an extractor and a sink as processes.
func (e *env) peaks(ctx context.Context, rows int) (extractor, writer uint64, err error) {
	if err := e.empty(ctx); err != nil {
		return 0, 0, err
	}
	p, err := e.pipeline(rows, config.Append)
	if err != nil {
		return 0, 0, err
	}
	n, err := e.startNATS(ctx, "127.0.0.1:0", p)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	file, err := e.file(rows, config.Append, fmt.Sprintf("{ url: %q }", n.server.URL()))
	if err != nil {
		return 0, 0, err
	}
	stages := make([]*process, 3)
	for i, name := range []string{"extractor", "sink-postgres", "planner"} {
		if stages[i], err = start(ctx, e.command(ctx, name, "-c", file)); err != nil {
			return 0, 0, err
		}
		defer stages[i].stop()
	}
	if err := stages[2].wait(); err != nil {
		return 0, 0, err
	}
	if extractor, err = stages[0].peak(); err != nil {
		return 0, 0, err
	}
	if writer, err = stages[1].peak(); err != nil {
		return 0, 0, err
	}
	return extractor, writer, e.holds(ctx, rows)
}

func mib[T uint64 | float64](n T) float64 { return float64(n) / (1 << 20) }
