package pipeline

import (
	"context"
	"errors"
	"fmt"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/sink"
)

// compareEarlier compares blocks that differ with the earlier queries that may have
// loaded them, and returns those that differ from these, too.
func (v *verification) compareEarlier(ctx context.Context, d sink.Digester, differ []Difference) ([]Difference, error) {
	if !d.Windowed() {
		return differ, nil
	}
	for _, e := range v.earlier {
		var left []Difference
		for _, difference := range differ {
			r := block.Closed(difference.Block, difference.Block)
			if !e.any.Covers(r) {
				left = append(left, difference)
				continue
			}
			found, err := v.piecewise(ctx, e.checked, d, r)
			if err != nil {
				return nil, err
			}
			if len(found.Differences) > 0 {
				left = append(left, difference)
				continue
			}
			if v.older == nil {
				v.older = make(map[int]int)
			}
			v.older[e.number]++
		}
		differ = left
	}
	return differ, nil
}

// compareAttempts is how often blocks are compared that fail with an error that may
// pass. What is merely away is waited for.
const compareAttempts = 3

// mostFailed is how many blocks that cannot be compared are named one by one: with more
// of them something else is wrong.
const mostFailed = 100

// piecewise compares r, and what fails in ever smaller pieces, so that each block that
// cannot be compared is a difference of its own and the others are compared.
func (v *verification) piecewise(ctx context.Context, checked *plan.Checked, d sink.Digester, r block.Range) (Comparison, error) {
	var found Comparison
	err := fault.Retry(ctx, fault.Backoff{GiveUp: commandPatience, Attempts: compareAttempts}, func(ctx context.Context) (err error) {
		found, err = Compare(ctx, v.source, checked, d, r)
		if errors.Is(err, amp.ErrTooMuch) && r.Len() > 1 {
			return fault.Permanent(err) // as it is
		}
		return err
	}, logged(v.log))
	if err == nil {
		return found, nil
	}
	if ctx.Err() != nil {
		return found, context.Cause(ctx)
	}
	if !d.Windowed() {
		return found, err
	}
	if r.Len() < 2 {
		v.failed++
		if v.failed > mostFailed {
			return found, fmt.Errorf("more than %d blocks cannot be compared: %w", mostFailed, err)
		}
		return Comparison{Differences: []Difference{{Block: r.Start, Err: err}}}, nil
	}
	var sum Comparison
	for _, half := range plan.Cut(r, (r.Len()+1)/2) {
		found, err := v.piecewise(ctx, checked, d, half)
		if err != nil {
			return sum, err
		}
		sum.add(found)
	}
	return sum, nil
}
