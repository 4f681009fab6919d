package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/ampipe/ampipe/pkg/config"
)

// What docs/operations.md states about the most memory of a process, in bytes,
// and how much more a load of four times the rows may take before it counts as
// growing: the collector's timing alone moves a peak by a tenth or two.
const (
	extractorStated = (64 + 32*workers) << 20
	sinkStated      = (64 + 64 + 128*sinkWriters) << 20
	growth          = 1.25
	sinkWriters     = 2 // the default
)

// peaks is the most memory that a process had, for either load and in each turn.
type peaks struct {
	process string
	stated  uint64
	loads   [2][]float64
}

func (p peaks) medians() (small, large float64) { return median(p.loads[0]), median(p.loads[1]) }

// failed reports whether the peak grows with the load or is above what is stated.
func (p peaks) failed() bool {
	small, large := p.medians()
	return large > growth*small || large > float64(p.stated)
}

// measureMemory loads with separate processes, few rows and many in turns, and
// asks the system for their peaks just before they are asked to stop.
func measureMemory(ctx context.Context, e *env, r *report) error {
	extractor := peaks{process: fmt.Sprintf("extractor, %d workers", workers), stated: extractorStated}
	writer := peaks{process: fmt.Sprintf("sink-postgres, %d writers", sinkWriters), stated: sinkStated}
	for range e.scale.memoryTurns {
		for i, rows := range e.scale.memory {
			e, w, err := e.peaks(ctx, rows)
			if err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "         %d rows: extractor %.0f MiB, sink %.0f MiB\n", rows, mib(e), mib(w))
			extractor.loads[i] = append(extractor.loads[i], float64(e))
			writer.loads[i] = append(writer.loads[i], float64(w))
		}
	}
	r.peaks = append(r.peaks, extractor, writer)
	return nil
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
