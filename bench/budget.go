package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ampipe/ampipe/pkg/config"
)

// stage is a line of the budget: what a part of the work costs, and what it stands on.
type stage struct {
	name   string
	copies float64 // of each byte of the rows (Arrow), counted in the code; 0: not counted
	run    func(context.Context, *meter) error
	other  func() (time.Duration, error) // CPU time of the server at the other end; nil: there is none

	floor string // what it stands on; empty: nothing was measured
	least func(context.Context, *meter) error
}

// budget is a stage with what was measured: the medians of its turns.
type budget struct {
	stage
	rows, rowBytes float64
	ours, base     spent
}

// measureBudget measures stages one by one with the same rows, each in turns with what it
// stands on. All figures are CPU time and bytes, so that they depend little on what else
// the machine does.
func measureBudget(ctx context.Context, e *env, r *report) (err error) {
	p, err := e.pipeline(e.scale.rows, config.Append)
	if err != nil {
		return err
	}
	table, checked, err := e.table(ctx, p)
	if err != nil {
		return err
	}
	changes, err := e.changes(ctx, checked)
	if err != nil {
		return err
	}
	l, err := e.newBudgetLog(ctx, p, checked, changes)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	stages := append([]stage{e.readingStage(checked)}, l.stages()...)
	stages = append(stages, e.postgresStage(p, table, changes))
	if e.redis != "" {
		redis, err := e.redisStage(ctx)
		if err != nil {
			return err
		}
		stages = append(stages, redis)
	}
	delta, err := e.deltaStage(ctx)
	if err != nil {
		return err
	}
	stages = append(stages, delta, e.wholeRun("ampipe run into PostgreSQL, append", e.ofPostgres, func() (string, error) {
		return e.file(e.scale.rows, config.Append, embedded)
	}), e.wholeRun("ampipe run into Delta Lake", nil, func() (string, error) { return e.lakeFile(e.scale.rows) }))
	for _, s := range stages {
		b, err := e.measureStage(ctx, s)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Fprintf(os.Stderr, "         %s: %.2f CPU seconds per million rows\n", s.name, b.perMillion(b.ours.self))
		r.budget = append(r.budget, b)
	}
	return nil
}

// measureStage lets a stage and its floor take turns.
func (e *env) measureStage(ctx context.Context, s stage) (budget, error) {
	b := budget{stage: s, rows: float64(e.scale.rows), rowBytes: e.arrowRow}
	var ours, base []spent
	for range e.scale.stageTurns {
		if s.least != nil {
			m := &meter{other: s.other}
			if err := s.least(ctx, m); err != nil {
				return b, fmt.Errorf("%s: %w", s.floor, err)
			}
			base = append(base, m.total)
		}
		m := &meter{other: s.other}
		if err := s.run(ctx, m); err != nil {
			return b, err
		}
		ours = append(ours, m.total)
	}
	b.ours, b.base = medianSpent(ours), medianSpent(base)
	return b, nil
}

// medianSpent returns the median of each figure; of nothing, nothing.
func medianSpent(turns []spent) spent {
	if len(turns) == 0 {
		return spent{}
	}
	of := func(figure func(spent) float64) float64 {
		values := make([]float64, len(turns))
		for i, t := range turns {
			values[i] = figure(t)
		}
		return median(values)
	}
	return spent{
		self:      time.Duration(of(func(s spent) float64 { return float64(s.self) })),
		other:     time.Duration(of(func(s spent) float64 { return float64(s.other) })),
		allocated: uint64(of(func(s spent) float64 { return float64(s.allocated) })),
	}
}

// perMillion returns CPU seconds per million rows.
func (b budget) perMillion(d time.Duration) float64 { return d.Seconds() * 1e6 / b.rows }

// perByte returns bytes for each byte of the rows.
func (b budget) perByte(bytes uint64) float64 { return float64(bytes) / (b.rows * b.rowBytes) }

// wholeRun is the command from start to exit: its own CPU time counts as this process's.
func (e *env) wholeRun(name string, other func() (time.Duration, error), file func() (string, error)) stage {
	return stage{name: name, other: other, run: func(ctx context.Context, m *meter) error {
		path, err := file()
		if err != nil {
			return err
		}
		if err := errors.Join(e.empty(ctx), e.remove("nats", "lake")); err != nil {
			return err
		}
		if err := m.start(); err != nil {
			return err
		}
		cmd := e.command(ctx, "ampipe", "run", "-c", filepath.Base(path))
		if _, _, err := finish(ctx, cmd); err != nil {
			return err
		}
		if err := m.stop(); err != nil {
			return err
		}
		m.total.self = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		m.total.allocated = 0 // of another process
		return nil
	}}
}
