package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
)

// recheckTries and recheckPause are how often, and after what pause, blocks are compared again
// that differ at the head of a chain: a reorg is on its way to the destination.
const (
	recheckTries = 5
	recheckPause = 2 * time.Second
)

// recheck compares blocks that differ again, as long as they may be on their way, and drops
// those that the destination does not claim any longer. Blocks that cannot be compared stay
// so.
func (v *verification) recheck(ctx context.Context, w sink.Writer) error {
	for range recheckTries {
		var blocks block.Set
		for _, d := range v.found.Differences {
			if d.Reason == nil {
				blocks.Add(d.Blocks)
			}
		}
		settled, err := v.settled(ctx, w, blocks)
		if settled || err != nil {
			return err
		}
		if err := fault.Sleep(ctx, recheckPause); err != nil {
			return err
		}
		if err := v.compareAgain(ctx, w, blocks); err != nil {
			return err
		}
	}
	return nil
}

// settled reports whether the destination holds blocks, and no reorg can reach them.
func (v *verification) settled(ctx context.Context, w sink.Writer, blocks block.Set) (bool, error) {
	if blocks.Len() == 0 {
		return true, nil
	}
	holds, err := w.State(ctx)
	if err != nil {
		return false, fmt.Errorf("read how far the destination is: %w", err)
	}
	final := finalBlock(v.config, v.checked.Network, holds.Live)
	return !slices.ContainsFunc(blocks.Ranges(), func(r block.Range) bool {
		return r.End > final || !holds.Coverage.Covers(r)
	}), nil
}

// finalBlock returns the first block that a reorg may still replace in a destination.
// Blocks below are compared with the chain by nobody any more.
func finalBlock(p *config.Pipeline, network string, live sink.LiveState) block.Number {
	if !live.Started {
		return block.Max
	}
	buffer := block.Number(p.Range.ReorgBuffer)
	if own, ok := p.Range.ReorgBuffers[network]; ok {
		buffer = block.Number(own)
	}
	confirmed := live.After()
	return max(min(live.Start, confirmed), confirmed-min(confirmed, buffer))
}

// compareAgain compares blocks again of which some differed, as far as the destination
// claims them by now. With a key that lacks the block column all are compared.
func (v *verification) compareAgain(ctx context.Context, w sink.Writer, blocks block.Set) error {
	claimed, err := v.claimedRange(ctx, w)
	if err != nil {
		return err
	}
	all := v.all.Intersect(claimed)
	if !w.Windowed() {
		all = claimed
	}
	var kept []Difference
	var again block.Set
	v.named = 0
	for _, d := range v.found.Differences {
		d.Blocks = d.Blocks.Intersect(all)
		switch {
		case d.Blocks.Empty():
		case !slices.Equal(blocks.Missing(d.Blocks), []block.Range{d.Blocks}):
			again.Add(d.Blocks)
		default:
			kept = append(kept, d)
			if d.Reason != nil {
				v.named++
			}
		}
	}
	if !w.Windowed() {
		again, kept, v.named = block.NewSet(all), nil, 0
	}
	v.found.Differences = kept
	for _, r := range again.Ranges() {
		once, err := v.compare(ctx, w, r)
		v.found.Differences = append(v.found.Differences, once.Differences...)
		if err != nil {
			return err
		}
	}
	v.found.sort()
	return v.compareEarlier(ctx, w)
}

// findBeyond looks for rows of blocks beyond those that the destination claims to hold, and
// adds them to the differences. Blocks that come and go meanwhile are looked at again.
func (v *verification) findBeyond(ctx context.Context, w sink.Writer) error {
	beyond := block.Range{Start: v.all.End, End: block.Max + 1}
	if end := v.config.Range.MaxBlock; end != nil {
		beyond.End = *end
	}
	if beyond.Empty() {
		return nil
	}
	var before []Difference
	for i := 0; ; i++ {
		var found []Difference
		err := fault.Retry(ctx, v.backoff(), v.limited(func(ctx context.Context) (err error) {
			found, err = beyondCoverage(ctx, w, beyond)
			return err
		}), logged(v.log))
		if err != nil {
			return err
		}
		same := slices.EqualFunc(found, before, func(a, b Difference) bool { return a.Blocks == b.Blocks && a.Destination == b.Destination })
		if len(found) == 0 || same || i == recheckTries {
			v.found.Differences = append(v.found.Differences, found...)
			return nil
		}
		before = found
		if err := fault.Sleep(ctx, recheckPause); err != nil {
			return err
		}
	}
}

// beyondCoverage returns the blocks of r of which a destination has rows but that it does
// not hold. The first block that it does not hold may have come in part, and is left out.
func beyondCoverage(ctx context.Context, w sink.Writer, r block.Range) ([]Difference, error) {
	rows := sink.Digests{}
	err := w.DigestStored(ctx, r, rows)
	unreadable, others := unreadableBy(err)
	if err != nil && !others {
		return nil, err
	}
	holds, err := w.State(ctx) // after the rows: what has come meanwhile is covered
	if err != nil {
		return nil, fmt.Errorf("read how far the destination is: %w", err)
	}
	var lacks block.Set
	for i, gap := range holds.Coverage.Missing(r) {
		if i == 0 {
			gap.Start++
		}
		lacks.Add(gap)
	}
	var found []Difference
	for n, d := range rows {
		if lacks.Has(n) {
			found = append(found, Difference{Blocks: block.Closed(n, n), Destination: d, Beyond: true})
		}
	}
	for _, u := range unreadable {
		for _, part := range lacks.Ranges() {
			if both := part.Intersect(u.Blocks); !both.Empty() {
				found = append(found, Difference{Blocks: both, Reason: u.Err, Beyond: true})
			}
		}
	}
	slices.SortFunc(found, func(a, b Difference) int { return cmp.Compare(a.Blocks.Start, b.Blocks.Start) })
	return found, nil
}
