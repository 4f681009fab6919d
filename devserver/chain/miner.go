package chain

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Growth is how a chain grows by itself. With the zero value it does not: it changes
// only on request.
type Growth struct {
	// Every is the time from one block to the next; 0 means never.
	Every time.Duration
	// ReorgEvery is how many blocks there are from one reorg to the next, on
	// average; 0 means no reorgs. One replaces blocks and appends another.
	ReorgEvery uint64
	Depth      Depth
}

// Validate joins every complaint about g.
func (g Growth) Validate() error {
	var errs []error
	if g.Every < 0 {
		errs = append(errs, errors.New("the time between blocks cannot be negative"))
	}
	if g.ReorgEvery > 0 && (g.Depth.Least == 0 || g.Depth.Most < g.Depth.Least || g.Depth.Mean < 0) {
		errs = append(errs, errors.New("reorgs need a depth of at least one block"))
	}
	return errors.Join(errs...)
}

// Depth is how many blocks reorgs replace: between Least and Most, all of them
// as likely; or, if there is a Mean, deep ones the rarer the deeper they are.
type Depth struct {
	Least, Most uint64
	Mean        float64 // of a geometric distribution, before it is cut to the bounds
}

// ParseDepth reads N, LEAST-MOST or LEAST-MOST/MEAN, such as 1-300/4.
func ParseDepth(text string) (Depth, error) {
	bad := fmt.Errorf("reorg depth %q is not N, LEAST-MOST or LEAST-MOST/MEAN, such as 1-300/4", text)
	bounds, mean, hasMean := strings.Cut(text, "/")
	least, most, hasMost := strings.Cut(bounds, "-")
	if !hasMost {
		most = least
	}
	var d Depth
	var errs [3]error
	d.Least, errs[0] = strconv.ParseUint(least, 10, 32)
	d.Most, errs[1] = strconv.ParseUint(most, 10, 32)
	if hasMean {
		d.Mean, errs[2] = strconv.ParseFloat(mean, 64)
	}
	if errors.Join(errs[:]...) != nil || d.Least == 0 || d.Most < d.Least || (hasMean && !(d.Mean >= 1)) {
		return Depth{}, bad
	}
	return d, nil
}

// pick returns the depth of the next reorg.
func (d Depth) pick(rnd *rand.Rand) uint64 {
	if d.Mean == 0 {
		return d.Least + rnd.Uint64N(d.Most-d.Least+1)
	}
	if d.Mean <= 1 {
		return d.Least
	}
	drawn := 1 + math.Log(1-rnd.Float64())/math.Log(1-1/d.Mean)
	return max(d.Least, uint64(min(drawn, float64(d.Most))))
}

// Miner lets a chain live. It is safe for concurrent use, also beside others who
// grow or fork the chain.
type Miner struct {
	// Chain is the chain that lives.
	Chain *Chain

	growth Growth
	paused atomic.Bool
}

// NewMiner makes a miner; it does nothing before it runs.
func NewMiner(c *Chain, g Growth) (*Miner, error) {
	if err := g.Validate(); err != nil {
		return nil, err
	}
	return &Miner{Chain: c, growth: g}, nil
}

// Pause stops growth until [Miner.Resume]. Commands to the chain still work.
func (m *Miner) Pause() { m.paused.Store(true) }

// Resume lets the chain grow again.
func (m *Miner) Resume() { m.paused.Store(false) }

// Paused reports whether growth is stopped.
func (m *Miner) Paused() bool { return m.paused.Load() }

// Run grows and forks the chain until ctx ends, which is no error. What it does
// follows from the chain's seed, apart from when.
func (m *Miner) Run(ctx context.Context) error {
	if m.growth.Every <= 0 {
		return nil
	}
	const reorgs = 2
	rnd := rand.New(rand.NewPCG(m.Chain.config.Seed, reorgs))
	tick := time.NewTicker(m.growth.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if m.Paused() {
			continue
		}
		if m.growth.ReorgEvery > 0 && rnd.Uint64N(m.growth.ReorgEvery) == 0 {
			// A chain that is too short for the depth grows instead.
			if m.Chain.Fork(m.growth.Depth.pick(rnd), 1) == nil {
				continue
			}
		}
		m.Chain.Grow(1)
	}
}
