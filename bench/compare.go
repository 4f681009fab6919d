package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"
)

// sample is rows that were moved and the time it took.
type sample struct {
	rows int
	took time.Duration
}

func (s sample) rate() float64 { return float64(s.rows) / s.took.Seconds() }

// side is one of two ways to move rows. What run does before and after the part
// that counts is not in the sample.
type side struct {
	name string
	run  func(context.Context) (sample, error)
}

// comparison is two sides that took turns.
type comparison struct {
	what       string
	ours, base string
	demand     float64 // least ratio; 0: for information
	floor      float64 // what fails, where the demand is known to be missed; 0: less than the demand
	pairs      [][2]sample
}

// compare lets base and ours take turns, so that a machine that changes its
// speed changes it for both.
func (e *env) compare(ctx context.Context, what string, demand float64, ours, base side) (comparison, error) {
	c := comparison{what: what, ours: ours.name, base: base.name, demand: demand}
	for range e.scale.pairs {
		b, err := base.run(ctx)
		if err != nil {
			return c, err
		}
		o, err := ours.run(ctx)
		if err != nil {
			return c, err
		}
		c.pairs = append(c.pairs, [2]sample{o, b})
		fmt.Fprintf(os.Stderr, "         %s: %.0f rows/s, %s: %.0f rows/s, ratio %.2f\n",
			ours.name, o.rate(), base.name, b.rate(), o.rate()/b.rate())
	}
	return c, nil
}

// ratios returns the ratio of each pair, in the order they were taken.
func (c comparison) ratios() []float64 {
	ratios := make([]float64, len(c.pairs))
	for i, p := range c.pairs {
		ratios[i] = p[0].rate() / p[1].rate()
	}
	return ratios
}

// ratio returns the median of the ratios.
func (c comparison) ratio() float64 { return median(c.ratios()) }

// rates returns the median rate of either side, in rows per second.
func (c comparison) rates() (ours, base float64) {
	var all [2][]float64
	for _, p := range c.pairs {
		for i := range p {
			all[i] = append(all[i], p[i].rate())
		}
	}
	return median(all[0]), median(all[1])
}

// judge returns the ratio and what is demanded of it.
func (c comparison) judge() limit { return limit{value: c.ratio(), least: c.demand, worst: c.floor} }

func (c comparison) missed() bool { return c.judge().missed() }
func (c comparison) failed() bool { return c.judge().failed() }

func (c comparison) summary() string { return fmt.Sprintf("%s, ratio %s", c.what, number(c.ratio())) }

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[middle-1] + sorted[middle]) / 2
	}
	return sorted[middle]
}
