package main

import (
	"context"
	"time"

	"github.com/ampipe/ampipe/pkg/config"
)

// load loads the first rows with the command itself: planner, extractor, log and
// sink, with everything that is on the disk new. It returns the life of the
// process.
func (e *env) load(ctx context.Context, rows int, mode config.Mode) (time.Duration, error) {
	if err := e.empty(ctx); err != nil {
		return 0, err
	}
	if err := e.remove("nats"); err != nil {
		return 0, err
	}
	file, err := e.file(rows, mode, embedded)
	if err != nil {
		return 0, err
	}
	_, took, err := finish(ctx, e.command(ctx, "ampipe", "run", "-c", file))
	if err != nil {
		return 0, err
	}
	return took, e.holds(ctx, rows)
}

// live returns a run of the command.
func (e *env) live(mode config.Mode) side {
	return side{"ampipe run, " + string(mode), func(ctx context.Context) (sample, error) {
		took, err := e.load(ctx, e.scale.live, mode)
		return sample{e.scale.live, took}, err
	}}
}

// What fails of runs that are about as fast as is demanded: both processors are busy to the end.
const (
	appendFloor = 0.75
	upsertFloor = 0.72
)

// measureAppend compares a whole run with raw COPY, and reports how long a run
// takes that has next to nothing to do.
func measureAppend(ctx context.Context, e *env, r *report) error {
	var around []float64
	for range e.scale.pairs {
		took, err := e.load(ctx, batchRows, config.Append)
		if err != nil {
			return err
		}
		around = append(around, took.Seconds())
	}
	r.note("A run of one transaction (%s rows) takes %.2f s: to start, to plan and to end. It is in the ratios of all runs.",
		thousands(batchRows), median(around))
	c, err := e.compare(ctx, "end to end, append", 0.85, e.live(config.Append), e.copyRaw(e.scale.live))
	return r.addKnown(appendFloor, c, err)
}

// measureUpsert does the same by keys; all rows are fresh.
func measureUpsert(ctx context.Context, e *env, r *report) error {
	c, err := e.compare(ctx, "end to end, upsert of fresh rows", 0.82, e.live(config.Upsert), e.copyRaw(e.scale.live))
	return r.addKnown(upsertFloor, c, err)
}

// measureVerify measures how fast source and destination are compared.
func measureVerify(ctx context.Context, e *env, r *report) error {
	verify := side{"ampipe verify", func(ctx context.Context) (sample, error) {
		file, err := e.file(e.scale.rows, config.Append, embedded)
		if err != nil {
			return sample{}, err
		}
		_, took, err := finish(ctx, e.command(ctx, "ampipe", "verify", "-c", file))
		return sample{e.scale.rows, took}, err
	}}
	if _, err := e.load(ctx, e.scale.rows, config.Append); err != nil {
		return err
	}
	return r.add(e.compare(ctx, "verify", 0, verify, e.readTable()))
}

// readTable reads the table in one stream, as the server encodes it.
func (e *env) readTable() side {
	return side{"COPY logs TO STDOUT", func(ctx context.Context) (sample, error) {
		began := time.Now()
		tag, err := e.db.PgConn().CopyTo(ctx, discard{}, "COPY logs TO STDOUT (FORMAT binary)")
		return sample{int(tag.RowsAffected()), time.Since(began)}, err
	}}
}

// discard is a writer without the shortcut of [io.Discard]: what is measured has
// to hand over every byte.
type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }
