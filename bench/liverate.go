package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// A chain whose blocks have 0 to 3 rows: two fifths of them two or three, of the others one
// in six has one. Each block comes by itself, as from a server that lags nowhere: the
// development server would else answer with a thousand at once.
var smallBlocks = []string{"--logs-per-block", "1", "--skew", "0.9/0.4", "--window", "1"}

// liveRateDemand is how many live blocks a second each destination has to take.
const liveRateDemand = 1000

// soon has Delta commit every second: by default it gathers the blocks of ten, which would be
// what is measured.
const soon = ", max_commit_delay: 1s"

// measureLiveRate lets a chain grow by many blocks at once and follows it into each
// destination alone. It measures from there to their being in the destination.
func measureLiveRate(ctx context.Context, e *env, r *report) error {
	for _, d := range e.destinations(soon) {
		var rates []float64
		for range e.scale.rateTurns {
			took, err := e.catchUp(ctx, d)
			if err != nil {
				return fmt.Errorf("%s: %w", d.name, err)
			}
			rates = append(rates, float64(e.scale.liveBlocks)/took.Seconds())
		}
		r.live(limit{
			what:  fmt.Sprintf("%s: %s blocks of 0 to 3 rows at full speed", d.name, thousands(float64(e.scale.liveBlocks))),
			value: median(rates), unit: "blocks/s", least: liveRateDemand,
		})
	}
	return nil
}

// catchUp returns how long the blocks took into one destination.
func (e *env) catchUp(ctx context.Context, d destination) (took time.Duration, err error) {
	const before = 100
	chain, err := e.startChain(ctx, append([]string{"--blocks", strconv.Itoa(before)}, smallBlocks...)...)
	if err != nil {
		return 0, err
	}
	defer chain.stop()
	f, err := e.startFollower(ctx, chain.amp, d)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	head, err := mine(ctx, chain.control, 1) // that is followed when it has come
	if err == nil {
		err = f.await(ctx, head)
	}
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if head, err = mine(ctx, chain.control, e.scale.liveBlocks); err != nil {
		return 0, err
	}
	err = f.await(ctx, head)
	return time.Since(began), err
}
