package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// What `ampipe run` with default settings may take of the processor while it follows a chain
// whose blocks have 20 rows.
const (
	liveCostDemand = 4 // ms a block, at four blocks a second
	restCostDemand = 1 // % of a core, at a block every 12 s

	// liveCostWorst is what fails of PostgreSQL, whose live blocks still miss the demand.
	liveCostWorst = 5
)

// measureLiveCost measures what pipelines cost that follow a chain, and that nearly rest.
// Those of all destinations run at the same time: together they take a tenth of a core.
func measureLiveCost(ctx context.Context, e *env, r *report) error {
	live, blocks, err := e.observe(ctx, 250*time.Millisecond)
	if err != nil {
		return err
	}
	for _, o := range live {
		worst := 0.0
		if o.destination == "PostgreSQL" {
			worst = liveCostWorst
		}
		r.live(limit{
			what:  o.destination + ": CPU of a block of 20 rows, four blocks a second",
			value: milliseconds(o.cpu) / float64(blocks), unit: "ms", most: liveCostDemand, worst: worst,
		})
	}
	rest, _, err := e.observe(ctx, 12*time.Second)
	if err != nil {
		return err
	}
	for _, o := range rest {
		r.live(limit{
			what:  o.destination + ": CPU at rest, a block every 12 s",
			value: 100 * o.cpu.Seconds() / e.scale.observed.Seconds(), unit: "% of a core", most: restCostDemand,
		})
	}
	return nil
}

// observe follows a chain into every destination and returns what that took, and how many
// blocks came meanwhile.
func (e *env) observe(ctx context.Context, blockTime time.Duration) (all []*observation, blocks uint64, err error) {
	chain, err := e.startChain(ctx, "--blocks", "1000", "--logs-per-block", "20", "--txs", "5", "--live", "--block-time", blockTime.String())
	if err != nil {
		return nil, 0, err
	}
	defer chain.stop()
	all, end, err := e.followAll(ctx, chain.amp)
	defer func() { err = errors.Join(err, end()) }()
	if err != nil {
		return nil, 0, err
	}
	for _, o := range all {
		if err := o.awaitHistory(ctx); err != nil {
			return nil, 0, fmt.Errorf("%s: %w", o.destination, err)
		}
	}
	if err := all[0].pause(ctx, e.scale.settle); err != nil {
		return nil, 0, err
	}
	first, err := chain.head(ctx)
	if err == nil {
		err = readCPU(all)
	}
	if err == nil {
		err = all[0].pause(ctx, e.scale.observed)
	}
	if err == nil {
		err = readCPU(all)
	}
	if err != nil {
		return nil, 0, err
	}
	last, err := chain.head(ctx)
	return all, last - first, err
}

// readCPU reads what each has taken since it was read last.
func readCPU(all []*observation) error {
	for _, o := range all {
		cpu, err := o.ofProcess()
		if err != nil {
			return fmt.Errorf("%s: %w", o.destination, err)
		}
		o.cpu = cpu - o.cpu
	}
	return nil
}
