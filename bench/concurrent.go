package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	driver "github.com/redis/go-redis/v9"
)

// concurrentDemand is the share of what the processor allows. A row into three destinations
// takes what it takes into each alone, of ampipe, of the server that it is read from and of
// the one that it is written to: N cores give N seconds of that a second. A run into all
// reads from Amp and writes the log once for three, so that the share may be above 1.
const concurrentDemand = 0.90

// concurrentFloor is what fails: Redis has one thread, and shares its processor with the others.
const concurrentFloor = 0.75

// concurrentTurn is a run into each destination alone and one into all.
type concurrentTurn struct {
	alone []costly
	all   costly
}

// costly is a run and the CPU time that it took of everything.
type costly struct {
	sample
	cpu time.Duration
}

func (c costly) perMillion() float64 { return c.cpu.Seconds() * 1e6 / float64(c.rows) }

// allowed is what the processor allows of all: as many rows, in the CPU time that they take
// alone, on all cores.
func (t concurrentTurn) allowed() sample {
	s := sample{rows: t.all.rows}
	for _, one := range t.alone {
		s.took += one.cpu
	}
	s.took /= time.Duration(runtime.NumCPU())
	return s
}

// slowest is the run that took longest alone.
func (t concurrentTurn) slowest() sample {
	return slices.MaxFunc(t.alone, func(a, b costly) int { return int(a.took - b.took) }).sample
}

// measureConcurrent compares a run into three destinations at once with what the processor
// allows, and with the slowest of the destinations alone.
func measureConcurrent(ctx context.Context, e *env, r *report) error {
	if e.redis == "" {
		r.note("Three destinations at once are not measured: REDIS_URL is not set.")
		return nil
	}
	client, err := e.measuredRedis(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }() // nothing is in flight
	names := []string{"PostgreSQL", "Redis", "Delta"}
	sinks := []string{
		fmt.Sprintf(`{ name: warehouse, postgres: { dsn: %q, table: logs, types: { block_num: bigint } } }`, e.dsn),
		fmt.Sprintf(`{ name: cache, redis: { url: %q, key: "log:{_block_num}:{log_index}" } }`, e.redis),
		`{ name: lake, delta: { path: ./lake } }`,
	}
	var turns []concurrentTurn
	for range e.scale.pairs {
		var t concurrentTurn
		for i := range sinks {
			one, err := e.loadInto(ctx, client, sinks[i])
			if err != nil {
				return fmt.Errorf("%s alone: %w", names[i], err)
			}
			t.alone = append(t.alone, one)
		}
		if t.all, err = e.loadInto(ctx, client, sinks...); err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "         all: %.0f rows/s, %.2f of what the processor allows, %.2f of the slowest alone\n",
			t.all.rate(), t.all.rate()/t.allowed().rate(), t.all.rate()/t.slowest().rate())
		turns = append(turns, t)
	}
	r.addConcurrent(names, turns)
	return nil
}

func (r *report) addConcurrent(names []string, turns []concurrentTurn) {
	ours := "ampipe run, three destinations"
	allowed := comparison{
		what: "three destinations at once", ours: ours, demand: concurrentDemand, floor: concurrentFloor,
		base: fmt.Sprintf("what %d cores allow: the CPU time of each alone", runtime.NumCPU()),
	}
	slowest := comparison{what: "three destinations at once", ours: ours, base: "the slowest alone"}
	cpu := make([][]float64, len(names)+1)
	var busy []float64
	for _, t := range turns {
		allowed.pairs = append(allowed.pairs, [2]sample{t.all.sample, t.allowed()})
		slowest.pairs = append(slowest.pairs, [2]sample{t.all.sample, t.slowest()})
		for i, one := range t.alone {
			cpu[i] = append(cpu[i], one.perMillion())
		}
		cpu[len(names)] = append(cpu[len(names)], t.all.perMillion())
		busy = append(busy, t.all.cpu.Seconds()/t.all.took.Seconds())
	}
	r.comparisons = append(r.comparisons, allowed, slowest)
	text, sum := "", 0.0
	for i, name := range names {
		text += fmt.Sprintf("%s %s, ", name, number(median(cpu[i])))
		sum += median(cpu[i])
	}
	r.note("CPU seconds of a million rows into each destination alone, with its server and the source: %ssum %s. "+
		"Into all at once: %s, with %s cores busy.", text, number(sum), number(median(cpu[len(names)])), number(median(busy)))
}

// loadInto runs the command with these sinks, everything new.
func (e *env) loadInto(ctx context.Context, client *driver.Client, sinks ...string) (c costly, err error) {
	if err := errors.Join(e.empty(ctx), client.FlushDB(ctx).Err(), e.remove("nats", "lake")); err != nil {
		return c, err
	}
	path, err := e.write("concurrent.yaml", e.scale.cached, embedded, sinks...)
	if err != nil {
		return c, err
	}
	before, err := e.ofServers(ctx, client)
	if err != nil {
		return c, err
	}
	cmd := e.command(ctx, "ampipe", "run", "-c", path)
	if _, c.took, err = finish(ctx, cmd); err != nil {
		return c, err
	}
	after, err := e.ofServers(ctx, client)
	c.rows, c.cpu = e.scale.cached, after-before+cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime()
	return c, err
}

// ofServers returns the CPU time of all servers so far.
func (e *env) ofServers(ctx context.Context, client *driver.Client) (total time.Duration, err error) {
	for _, of := range []func() (time.Duration, error){e.ofSource, e.ofPostgres, ofRedis(ctx, client)} {
		one, err := of()
		if err != nil {
			return 0, err
		}
		total += one
	}
	return total, nil
}
