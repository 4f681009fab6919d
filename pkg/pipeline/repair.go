package pipeline

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/state"
)

// Repaired is what became of blocks of a destination that differed. Its JSON form is a part
// of that of [Verified].
type Repaired struct {
	Outcome string        `json:"outcome"` // repaired, asked, left, would or failed
	Blocks  []block.Range `json:"blocks"`  // that are removed, and loaded again
	Equal   uint64        `json:"equal"`   // how many of them are equal now
	Left    []Left        `json:"left"`    // that are not loaded again
	Error   string        `json:"error,omitempty"`
}

// Left are blocks that differ and are not loaded again, and why.
type Left struct {
	Blocks []block.Range `json:"blocks"`
	Reason string        `json:"reason"`
}

// What became of a repair.
const (
	repairDone   = "repaired" // everything that could be repaired is equal
	repairAsked  = "asked"    // it is done when the sink is started
	repairLeft   = "left"     // nothing could be loaded again, or it still differs
	repairWould  = "would"    // of a dry run
	repairFailed = "failed"
)

const (
	// mostAsked is how many ranges of blocks are asked for at a time: a request is one
	// document of NATS.
	mostAsked = 4000
	// mostRounds is how often blocks are asked for.
	mostRounds = 100
	// repairLook is how often it is looked how far a repair is.
	repairLook = 500 * time.Millisecond
	// repairPatience is how long a repair may stand still, beside the time that the sink may
	// gather entries.
	repairPatience = 3 * time.Minute
)

// repair has blocks that differ removed and loaded again, exactly these, and compares them
// again. Blocks that still differ then are read from Amp instead of the log: what the log
// has may not be what the source has by now. The error says why it was not done; blocks
// that differ at the end are in v.found.
func (v *verification) repair(ctx context.Context, w *withoutLetters) error {
	v.repaired = &Repaired{Outcome: repairDone, Blocks: []block.Range{}, Left: []Left{}}
	if len(v.found.Differences) == 0 {
		return nil
	}
	err := v.repairAll(ctx, w)
	if err != nil {
		v.repaired.Outcome, v.repaired.Error = repairFailed, brief(err).Error()
		return fault.Later(fmt.Errorf("sink %q was not repaired: %w", v.sink.Name, brief(err)), 0)
	}
	return nil
}

func (v *verification) repairAll(ctx context.Context, w *withoutLetters) error {
	var done, fromAmp block.Set // that were loaded again; of them, those that were not read from the log
	for range mostRounds {
		holds, err := w.State(ctx)
		if err != nil {
			return fmt.Errorf("read how far the destination is: %w", err)
		}
		blocks, early, left := v.repairable(holds)
		fresh, still := without(blocks, done), without(blocks, fromAmp)
		var request state.Replay
		switch {
		case fresh.Len() > 0:
			request = replayOf(atMost(fresh, mostAsked), holds.Live, time.Now().UTC())
		case still.Len() > 0:
			request = replayOf(atMost(still, mostAsked), holds.Live, time.Now().UTC())
			request.FromLog = block.Set{}
			fromAmp.AddAll(request.Blocks)
		default:
			again, err := v.awaitFinal(ctx, w, early)
			if err != nil {
				return err
			}
			if !again {
				v.sayRepaired(done, blocks, left)
				return nil
			}
			if err := v.compareAll(ctx, w, early); err != nil {
				return err
			}
			continue
		}
		loads, err := v.replay(ctx, w, request)
		if err != nil || !loads {
			v.sayLeft(left)
			return err
		}
		done.AddAll(request.Blocks)
		if err := v.compareAll(ctx, w, request.Blocks); err != nil {
			return err
		}
	}
	return fmt.Errorf("other blocks differ each time that blocks were loaded again, %d times: "+
		"another program writes to the destination", mostRounds)
}

// compareAll compares blocks again, and looks for rows of blocks that have not come yet.
func (v *verification) compareAll(ctx context.Context, w *withoutLetters, blocks block.Set) error {
	err := v.compareAgain(ctx, w, blocks)
	if err == nil {
		err = v.compareLetters(ctx, w)
	}
	if err != nil {
		return err
	}
	return v.beyondAgain(ctx, w)
}

// awaitFinal waits until no reorg may replace blocks any more, if it is to. It reports whether
// that is so: not if the chain stands still, or the sink.
func (v *verification) awaitFinal(ctx context.Context, w sink.Writer, blocks block.Set) (final bool, err error) {
	if blocks.Len() == 0 || !v.options.Wait || v.options.DryRun {
		return false, nil
	}
	end := blocks.Ranges()[len(blocks.Ranges())-1].End
	v.say("waiting until no reorg may replace blocks %s any more, to repair them, too", shortened(blocks))
	var last block.Number
	moved := time.Now()
	for {
		holds, err := w.State(ctx)
		if err != nil {
			return false, fmt.Errorf("read how far the destination is: %w", err)
		}
		at := finalBlock(v.config, v.checked.Network, holds.Live)
		if at >= end {
			return true, nil
		}
		if at > last {
			last, moved = at, time.Now()
		}
		if patience := repairPatience + v.sink.CommitDelay(); time.Since(moved) > patience {
			v.say("waited in vain: the sink has got no further block of the chain for %v", patience)
			return false, nil
		}
		err = fault.Sleep(ctx, repairLook)
		if err != nil {
			return false, err
		}
	}
}

// beyondAgain looks for rows of blocks beyond those that the destination holds, again.
func (v *verification) beyondAgain(ctx context.Context, w sink.Writer) error {
	v.found.Differences = slices.DeleteFunc(v.found.Differences, func(d Difference) bool { return d.Beyond })
	if !v.checked.Follow {
		return nil
	}
	return v.findBeyond(ctx, w)
}

// without returns the blocks of a set that are not in another one.
func without(s, other block.Set) block.Set {
	left := s.Clone()
	for _, r := range other.Ranges() {
		left.Remove(r)
	}
	return left
}

// atMost returns the first ranges of a set.
func atMost(s block.Set, ranges int) block.Set {
	return block.NewSet(s.Ranges()[:min(len(s.Ranges()), ranges)]...)
}

// repairable returns which of the blocks that differ can be removed and loaded again, which
// can be once the chain is further, and why those and others cannot now.
func (v *verification) repairable(holds sink.State) (blocks, early block.Set, left []Left) {
	final := finalBlock(v.config, v.checked.Network, holds.Live)
	reasons := map[string]*block.Set{}
	var order []string
	leave := func(r block.Range, reason string) {
		if r.Empty() {
			return
		}
		if reasons[reason] == nil {
			reasons[reason] = &block.Set{}
			order = append(order, reason)
		}
		reasons[reason].Add(r)
	}
	reorg := func(r block.Range) { early.Add(r) }
	if end := v.config.Range.MaxBlock; end != nil && holds.Coverage.Covers(block.Range{Start: final, End: *end}) {
		reorg = func(r block.Range) {
			leave(r, fmt.Sprintf("a reorg may still replace blocks from %d on, and the pipeline ends there: "+
				"raise max_block and start it again", final))
		}
	}
	for _, d := range v.found.Differences {
		switch {
		case d.Reason != nil && !replaceable(d.Reason):
			leave(d.Blocks, "they could not be loaded again: see why they cannot be compared")
		case d.Beyond:
			blocks.Add(d.Blocks)
		case d.Reason != nil && d.Blocks.End > final: // what is damaged is removed as a whole
			reorg(d.Blocks)
		case d.Reason == nil && d.Destination.Rows == 0:
			lacks := block.NewSet(holds.Coverage.Missing(d.Blocks)...)
			for _, gap := range lacks.Ranges() {
				leave(gap, "they are not loaded yet, and come by themselves while the pipeline runs")
			}
			for _, have := range lacks.Missing(d.Blocks) {
				blocks.Add(have.Intersect(block.Range{End: final}))
				reorg(have.Intersect(block.Range{Start: final, End: block.Max + 1}))
			}
		default:
			blocks.Add(d.Blocks.Intersect(block.Range{End: final}))
			reorg(d.Blocks.Intersect(block.Range{Start: final, End: block.Max + 1}))
		}
	}
	for _, reason := range order {
		left = append(left, Left{reasons[reason].Ranges(), reason})
	}
	if all := early.Ranges(); len(all) > 0 {
		further := counted(uint64(all[len(all)-1].End-final), "block")
		left = append(left, Left{all, fmt.Sprintf("a reorg may still replace blocks from %d on: they can be repaired when the chain is "+
			"%s further, by the same command; --repair --wait waits for that", final, further)})
	}
	return blocks, early, left
}

// sayRepaired says what was repaired, and what was not: blocks are those of the loaded ones
// that differ nevertheless.
func (v *verification) sayRepaired(loaded, blocks block.Set, left []Left) {
	equal := without(loaded, blocks).Len()
	v.repaired.Equal = equal
	if equal > 0 {
		v.say("%s %s repaired, and equal in source and destination now", counted(equal, "block"), are(equal))
	}
	if blocks.Len() > 0 {
		left = append(left, Left{blocks.Ranges(), "they still differ after they were read from Amp again: something changes rows in the " +
			"destination, such as a trigger or another program, or the query does not yield the same twice"})
	}
	if len(left) > 0 {
		v.repaired.Outcome = repairLeft
		v.sayLeft(left)
	}
}

// sayLeft says which blocks were not loaded again, and why.
func (v *verification) sayLeft(left []Left) {
	v.repaired.Left = append([]Left{}, left...)
	if v.options.JSON {
		return
	}
	for _, l := range left {
		v.say("not repaired: blocks %s: %s", shortened(block.NewSet(l.Blocks...)), l.Reason)
	}
}
