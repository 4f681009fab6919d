package pipeline

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/progress"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
	"github.com/ampipe/ampipe/pkg/status"
)

// Results prints what became of each partition that has ended. With [Options.Failed] it
// prints only those whose blocks could not be read and have not come otherwise since.
func Results(ctx context.Context, p *config.Pipeline, o Options) error {
	return readParts(ctx, p, asOperator, o.Logger, func(_ context.Context, _ *queue.State, f status.Facts) error {
		parts, err := state.Separate(f.Parts)
		if err != nil {
			return err
		}
		if o.Failed {
			parts = nil
			for _, failed := range status.FailedPartitions(f.Parts) {
				parts = append(parts, failed.Partition)
			}
		}
		return printResults(o, p.Name, parts)
	})
}

func printResults(o Options, name string, parts []state.Partition) error {
	all := resultsOf(name, parts)
	if o.JSON {
		encoder := json.NewEncoder(o.out())
		for _, r := range all {
			if err := encoder.Encode(r); err != nil {
				return err
			}
		}
		return nil
	}
	if len(all) == 0 {
		say(o.out(), "%s: no partition has %s", name, map[bool]string{true: "failed", false: "ended yet"}[o.Failed])
		return nil
	}
	l := listing{pipeline: name, headings: []string{"PARTITION", "BLOCKS", "ROWS", "SECONDS", "ROWS/S", "TRIES", "RESULT"}, text: "ERROR"}
	for _, r := range all {
		l.add(r.Error, r.Partition, r.Blocks().String(), strconv.FormatUint(r.Rows, 10), strconv.FormatFloat(r.Seconds, 'f', 1, 64),
			progress.Count(uint64(r.RowsPerSec)), strconv.Itoa(r.Tries), string(r.State))
	}
	l.print(o)
	return nil
}

// Failed prints which blocks could not be read, and why. If there are some the error is
// [ops.Incomplete].
func Failed(ctx context.Context, p *config.Pipeline, o Options) error {
	return readParts(ctx, p, asOperator, o.Logger, func(_ context.Context, _ *queue.State, f status.Facts) error {
		failed := status.FailedPartitions(f.Parts)
		if o.JSON {
			var parts []state.Partition
			for _, one := range failed {
				parts = append(parts, one.Partition)
			}
			if err := printResults(o, p.Name, parts); err != nil {
				return err
			}
		}
		if len(failed) == 0 {
			if !o.JSON {
				say(o.out(), "%s: no block has failed", p.Name)
			}
			return nil
		}
		if !o.JSON {
			sayFailures(o, p.Name, failed)
		}
		return ops.Incomplete(ops.ErrSaid)
	})
}

// sayFailures prints failed blocks. Neighbours that have failed with the same error are one.
func sayFailures(o Options, name string, failed []status.FailedPartition) {
	for i := 0; i < len(failed); {
		first := failed[i]
		set, parts, tries := first.Blocks.Clone(), 0, 0
		for ; i < len(failed) && failed[i].Error == first.Error; i++ {
			set.AddAll(failed[i].Blocks)
			parts++
			tries = max(tries, failed[i].Attempts)
		}
		sayWrapped(o, "%s: %s of %s, %v, %s: %s", name, counted(set.Len(), "block"), counted(parts, "partition"), set,
			counted(tries, "try"), progress.Printable(first.Error))
	}
	sayWrapped(o, "%s: mend the cause, then: ampipe retry %s --all", name, name)
}

// counted writes a number of things for people, as [progress.Counted] does.
func counted[N ~int | ~int64 | ~uint64](n N, what string) string { return progress.Counted(n, what) }

// are returns the verb of so many things.
func are[N ~int | ~int64 | ~uint64](n N) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// Retry queues blocks again that could not be read: of the ranges, written as of
// [block.ParseRange], or all. A planner that runs has them loaded at once, else the next
// one does.
func Retry(ctx context.Context, p *config.Pipeline, o Options, ranges []string) error {
	return readParts(ctx, p, steerNATS, o.Logger, func(ctx context.Context, state *queue.State, f status.Facts) error {
		wanted := block.NewSet(block.Range{End: block.Max})
		if len(ranges) > 0 {
			wanted = block.Set{}
		}
		for _, text := range ranges {
			r, err := block.ParseRange(text, f.Spec.History)
			if err != nil {
				return ops.Config(err)
			}
			wanted.Add(r)
		}
		var again []block.Range
		for _, failed := range status.FailedPartitions(f.Parts) {
			for _, r := range failed.Blocks.Ranges() {
				for _, w := range wanted.Ranges() {
					if both := r.Intersect(w); !both.Empty() {
						again = append(again, both)
					}
				}
			}
		}
		if len(again) == 0 {
			say(o.out(), "%s: none of these blocks has failed", p.Name)
			return nil
		}
		queued, err := requeue(ctx, state, f, again)
		if err != nil {
			return err
		}
		when := "they are loaded now"
		if !plannerRuns(f) {
			when = "they are loaded when the planner is started (`ampipe run`, or `planner`)"
		}
		say(o.out(), "%s: blocks %v are queued again; %s", p.Name, queued, when)
		return nil
	})
}

// requeue writes a new partition for each range and returns their blocks. The planner
// queues partitions that are open.
func requeue(ctx context.Context, state *queue.State, f status.Facts, ranges []block.Range) (queued block.Set, err error) {
	slices.SortFunc(ranges, func(a, b block.Range) int { return cmp.Compare(a.Start, b.Start) })
	for _, part := range plan.Fresh(ranges, f.Parts) {
		part.Version = f.Spec.Version
		_, err := state.CreatePartition(ctx, part)
		if errors.Is(err, queue.ErrConflict) {
			continue // another command, or the planner, was faster
		}
		if err != nil {
			return queued, fmt.Errorf("record partition %s: %w", part.ID(), err)
		}
		queued.Add(part.Range())
	}
	return queued, nil
}

func plannerRuns(f status.Facts) bool {
	return slices.ContainsFunc(f.Processes, func(p state.Process) bool {
		return p.Runs(f.Now) && slices.Contains(p.Stages, stagePlanner)
	})
}
