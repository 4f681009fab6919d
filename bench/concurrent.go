package main

import (
	"context"
	"fmt"
	"strings"
)

// measureConcurrent compares a run into three destinations at once with a run into the
// one that is slowest alone. On two cores all of them wait for the processor, so the
// ratio is for information.
func measureConcurrent(ctx context.Context, e *env, r *report) error {
	if e.redis == "" {
		r.note("Three destinations at once are not measured: REDIS_URL is not set.")
		return nil
	}
	sinks := map[string]string{
		"PostgreSQL": fmt.Sprintf(`{ name: warehouse, postgres: { dsn: %q, table: logs, types: { block_num: bigint } } }`, e.dsn),
		"Redis":      fmt.Sprintf(`{ name: cache, redis: { url: %q, key: "log:{_block_num}:{log_index}" } }`, e.redis),
		"Delta":      `{ name: lake, delta: { path: ./lake } }`,
	}
	names := []string{"PostgreSQL", "Redis", "Delta"}
	slowest, least := "", 0.0
	var rates []string
	for _, name := range names {
		s, err := e.loadInto(ctx, sinks[name])
		if err != nil {
			return fmt.Errorf("%s alone: %w", name, err)
		}
		if slowest == "" || s.rate() < least {
			slowest, least = name, s.rate()
		}
		rates = append(rates, fmt.Sprintf("%s %s", name, thousands(s.rate())))
	}
	r.note("Each destination alone, one run, rows/s: %s. "+
		"All of them, and the source, share the cores of this machine and wait for the processor.", strings.Join(rates, ", "))
	run := func(into ...string) func(context.Context) (sample, error) {
		return func(ctx context.Context) (sample, error) { return e.loadInto(ctx, into...) }
	}
	return r.add(e.compare(ctx, "three destinations at once", 0,
		side{"ampipe run, three destinations", run(sinks["PostgreSQL"], sinks["Redis"], sinks["Delta"])},
		side{slowest + " alone", run(sinks[slowest])}))
}

// loadInto runs the command with these sinks, everything new.
func (e *env) loadInto(ctx context.Context, sinks ...string) (sample, error) {
	if err := e.empty(ctx); err != nil {
		return sample{}, err
	}
	if err := e.flush(ctx); err != nil {
		return sample{}, err
	}
	if err := e.remove("nats", "lake"); err != nil {
		return sample{}, err
	}
	path, err := e.write("concurrent.yaml", e.scale.rows, embedded, sinks...)
	if err != nil {
		return sample{}, err
	}
	_, took, err := finish(ctx, e.command(ctx, "ampipe", "run", "-c", path))
	return sample{e.scale.rows, took}, err
}
