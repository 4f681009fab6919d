package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/progress"
	"github.com/ampipe/ampipe/pkg/sink"
)

// PruneOptions is what is to be pruned.
type PruneOptions struct {
	Sink   string
	Before block.Number // the first block that stays
	Detach bool         // partitions are left as tables of their own
	DryRun bool         // only say what would be done
}

// PrunedSink is what was pruned of a sink, or would be, as `ampipe prune --json` prints it.
type PrunedSink struct {
	Pipeline   string       `json:"pipeline"`
	Sink       string       `json:"sink"`
	Before     block.Number `json:"before"` // the first block that stays
	DryRun     bool         `json:"dry_run"`
	Partitions []string     `json:"partitions"` // that were dropped, or detached
	Detached   bool         `json:"detached"`
	Bytes      uint64       `json:"bytes"`      // of these
	Rows       uint64       `json:"rows"`       // deleted from what stays
	NotLoaded  uint64       `json:"not_loaded"` // blocks that had not come, and will not
}

// Prune drops the rows of old blocks of a destination for good, while the pipeline runs or
// not. It knows from then on that these blocks were loaded and are pruned.
func Prune(ctx context.Context, p *config.Pipeline, o Options, r PruneOptions) (err error) {
	c, err := sinkNamed(p, r.Sink)
	if err != nil {
		return ops.Config(err)
	}
	if o.destinationOf(c) < 0 {
		return fault.Permanent(fmt.Errorf("sink %q: %w; prune it with the program that has it", c.Name, notBuilt(c)))
	}
	w, err := newWriter(o, c)
	if err != nil {
		return err
	}
	pruner, can := w.(sink.Pruner)
	if !can {
		return fault.Permanent(fmt.Errorf("sink %q: only tables of PostgreSQL can be pruned; keys of Redis expire with ttl, "+
			"and a table of Delta Lake keeps what was loaded", c.Name))
	}
	source, checked, err := openChecked(ctx, p)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()                // nothing is in flight
	defer func() { err = errors.Join(err, w.Close()) }() // also if it could not be opened
	if err := w.OpenStored(ctx, tableFor(p, c, checked)); err != nil {
		return fmt.Errorf("sink %q: %w", c.Name, err)
	}
	done, err := prune(ctx, p, o, r, checked, pruner)
	if err != nil {
		return fmt.Errorf("sink %q: %w", c.Name, err)
	}
	if o.JSON {
		return json.NewEncoder(o.out()).Encode(done)
	}
	sayPruned(o, done)
	return nil
}

// prune refuses blocks that a reorg may still replace, and prunes the others.
func prune(ctx context.Context, p *config.Pipeline, o Options, r PruneOptions, checked *plan.Checked, w sink.Pruner) (PrunedSink, error) {
	found := PrunedSink{Pipeline: p.Name, Sink: r.Sink, DryRun: r.DryRun, Detached: r.Detach, Partitions: []string{}}
	holds, err := w.State(ctx)
	if err != nil {
		return found, err
	}
	final := finalBlock(p, checked.Network, holds.Live)
	if ranges := holds.Coverage.Ranges(); len(ranges) > 0 {
		final = min(final, ranges[len(ranges)-1].End)
	} else {
		final = 0
	}
	if r.Before > final {
		return found, ops.Config(fmt.Errorf("blocks from %d on are not loaded yet, or may still be replaced by a reorg: "+
			"prune those below", final))
	}
	wanted := block.Range{Start: checked.History(p.Range).Start, End: r.Before}
	for _, gap := range holds.Coverage.Missing(wanted) {
		found.NotLoaded += gap.Len()
	}
	options := sink.PruneOptions{Before: r.Before, Detach: r.Detach, Dry: r.DryRun}
	if !o.JSON {
		options.Tell = func(text string) { say(o.out(), "%s: sink %s %s", p.Name, r.Sink, text) }
	}
	done, err := w.Prune(ctx, options)
	found.Before, found.Bytes, found.Rows = done.Before, done.Bytes, done.Rows
	found.Partitions = append(found.Partitions, done.Partitions...)
	return found, err
}

// sayPruned says what was pruned, for people.
func sayPruned(o Options, p PrunedSink) {
	verb, gone := "is", "dropped"
	if p.DryRun {
		verb = "would be"
	}
	if p.Detached {
		gone = "detached"
	}
	say(o.out(), "%s: what sink %s has of blocks below %d %s pruned: %s %s (%s), and %s rows deleted from what stays",
		p.Pipeline, p.Sink, p.Before, verb, counted(len(p.Partitions), "partition"), gone, Bytes(float64(p.Bytes)), progress.Grouped(p.Rows))
	if p.NotLoaded > 0 {
		say(o.out(), "%s: %s of these blocks had not been loaded, and will not be", p.Pipeline, progress.Grouped(p.NotLoaded))
	}
}

// sinkNamed returns the sink of a pipeline with a name.
func sinkNamed(p *config.Pipeline, name string) (config.Sink, error) {
	for _, c := range p.Sinks {
		if c.Name == name {
			return c, nil
		}
	}
	return config.Sink{}, fmt.Errorf("pipeline %q has no sink %q; it has %v", p.Name, name, sinkNames(p))
}
