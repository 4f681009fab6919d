package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/sink"
)

// AdoptOptions select what Adopt does.
type AdoptOptions struct {
	Sink    string        // only this one; empty: every sink that can
	From    *block.Number // first block that is compared; nil: the pipeline's
	To      *block.Number // first block that is not; nil: the first that is not final
	Replace bool          // delete the rows of blocks that differ, so that they are loaded
	DryRun  bool          // change nothing
}

// Adopt takes over the tables that another program has filled: blocks that are equal in
// source and table count as loaded from then on. Blocks that differ are named and left,
// or, with Replace, emptied, so that they are loaded. A table with rows that were not
// adopted stays closed to the pipeline; the error is [ops.Incomplete] then.
func Adopt(ctx context.Context, p *config.Pipeline, o Options, a AdoptOptions) error {
	source, checked, err := openChecked(ctx, p)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }() // nothing is in flight
	final := checked.Final(p.Range)
	asked, err := a.blocks(final)
	if err != nil {
		return err
	}
	sample, err := sampled(ctx, source, checked, asked, o.Logger)
	if err != nil {
		return err
	}
	var errs []error
	adopted := 0
	for _, c := range p.Sinks {
		if a.Sink != "" && a.Sink != c.Name {
			continue
		}
		if a.Sink == "" && o.destinationOf(c) < 0 {
			say(o.out(), "%s: left out, since %v", c.Name, notBuilt(c))
			continue
		}
		w, err := newWriter(o, c)
		if err != nil {
			return err
		}
		adopter, can := w.(sink.Adopter)
		if !can {
			if a.Sink != "" {
				return fault.Permanent(fmt.Errorf("sink %q: only tables of PostgreSQL can be adopted; load it anew with ampipe run", c.Name))
			}
			say(o.out(), "%s: is not PostgreSQL, so there is nothing to adopt", c.Name)
			continue
		}
		adopted++
		ad := &adoption{
			AdoptOptions: a, writer: adopter, source: source, checked: checked, final: final, asked: asked,
			window: windowBlocks(sample), sink: c.Name, pipeline: p, out: o.out(), log: o.Logger.With().Str("sink", c.Name).Logger(),
		}
		if err := errors.Join(ad.run(ctx, tableFor(p, c, checked)), w.Close()); err != nil {
			errs = append(errs, fmt.Errorf("sink %q: %w", c.Name, err))
		}
	}
	switch {
	case adopted == 0 && a.Sink != "":
		return fault.Permanent(fmt.Errorf("pipeline %q has no sink %q", p.Name, a.Sink))
	case adopted == 0:
		return fault.Permanent(fmt.Errorf("pipeline %q has no PostgreSQL sink whose table could be adopted", p.Name))
	}
	return errors.Join(errs...)
}

// blocks returns the blocks that are compared: those that were asked for, as far as they
// are final.
func (a AdoptOptions) blocks(final block.Range) (block.Range, error) {
	asked := final
	if a.From != nil {
		asked.Start = max(asked.Start, *a.From)
	}
	if a.To != nil {
		asked.End = min(asked.End, *a.To)
	}
	if asked.Empty() {
		return asked, fault.Permanent(fmt.Errorf("there are no blocks to compare: those of the pipeline that the server has, "+
			"and that are at least reorg_buffer blocks below the head, are %v", final))
	}
	return asked, nil
}

// adoption adopts one table.
type adoption struct {
	AdoptOptions
	writer   sink.Adopter
	source   plan.Source
	checked  *plan.Checked
	final    block.Range // of the pipeline, all that can be compared
	asked    block.Range // of it, what is to be compared
	window   uint64      // blocks that are compared at a time
	sink     string
	pipeline *config.Pipeline
	out      io.Writer
	log      zerolog.Logger

	equal, missing, differ tally
	wrong                  block.Set // blocks that have other rows in the table than in the source
	named                  int       // of them, those that were printed
	deleted                uint64    // rows
}

// tally counts blocks and the rows of them.
type tally struct {
	blocks uint64
	rows   uint64 // in the table, but for missing blocks: in the source
}

func (t *tally) add(rows uint64) {
	t.blocks++
	t.rows += rows
}

func (t tally) String() string {
	return fmt.Sprintf("%s with %s", counted(t.blocks, "block"), counted(t.rows, "row"))
}

// namedDifferences is how many blocks are printed one by one.
const namedDifferences = 20

func (a *adoption) run(ctx context.Context, t sink.Table) error {
	err := a.retry(ctx, func(ctx context.Context) error { return a.writer.OpenAdoption(ctx, t, a.DryRun) })
	if err != nil {
		return err
	}
	for _, warning := range a.writer.Warnings(t) {
		a.say("warning: %s", warning)
	}
	have, err := a.covered(ctx)
	if err != nil {
		return err
	}
	if done := a.asked.Len() - block.NewSet(have.Missing(a.asked)...).Len(); done > 0 {
		a.say("%s of %v %s adopted before", counted(done, "block"), a.asked, map[bool]string{true: "was", false: "were"}[done == 1])
	}
	if err := a.compare(ctx, windows(have.Missing(a.asked), a.window), false); err != nil {
		return err
	}
	if more := a.named - namedDifferences; more > 0 {
		a.say("and %d more blocks that differ", more)
	}
	a.say("blocks %v: %v equal, %v different, %v missing in the table", a.asked, a.equal, a.differ, a.missing)
	if a.Replace && !a.DryRun {
		if err := a.replace(ctx); err != nil {
			return err
		}
	}
	return a.finish(ctx)
}

// covered returns the blocks that an earlier run has adopted.
func (a *adoption) covered(ctx context.Context) (have block.Set, err error) {
	err = a.retry(ctx, func(ctx context.Context) error {
		have, err = a.writer.Adopted(ctx)
		return err
	})
	return have, err
}

// windowDigests is a window and the digests of its blocks in the source.
type windowDigests struct {
	window block.Range
	want   sink.Digests
}

// compare compares windows one after the other. The source is read one window ahead.
func (a *adoption) compare(ctx context.Context, windows []block.Range, replace bool) error {
	g, ctx := errgroup.WithContext(ctx)
	ahead := make(chan windowDigests)
	g.Go(func() error {
		defer close(ahead)
		for _, r := range windows {
			want, err := a.read(ctx, r)
			if err != nil {
				return err
			}
			select {
			case ahead <- windowDigests{r, want}:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return nil
	})
	g.Go(func() error {
		for c := range ahead {
			var done sink.Adopted
			err := a.retry(ctx, func(ctx context.Context) (err error) {
				done, err = a.writer.Adopt(ctx, c.window, c.want, replace)
				return err
			})
			if err != nil {
				return err
			}
			if replace {
				a.deleted += done.Deleted
				continue
			}
			a.count(c, done)
			a.log.Info().Stringer("blocks", c.window).Uint64("equal", a.equal.blocks).Uint64("differ", a.differ.blocks).
				Uint64("missing", a.missing.blocks).Msg("compared")
		}
		return nil
	})
	return g.Wait()
}

// read returns the digests of the blocks of r in the source. A range that is too much for
// the server is read in halves.
func (a *adoption) read(ctx context.Context, r block.Range) (all sink.Digests, err error) {
	err = a.retry(ctx, func(ctx context.Context) (err error) {
		all, err = digestSource(ctx, a.source, a.checked, a.writer, r, true)
		if errors.Is(err, amp.ErrTooMuch) && r.Len() > 1 {
			return fault.Permanent(err) // as it is
		}
		return err
	})
	if !errors.Is(err, amp.ErrTooMuch) || r.Len() < 2 {
		return all, err
	}
	all = make(sink.Digests)
	for _, half := range plan.Cut(r, (r.Len()+1)/2) {
		part, err := a.read(ctx, half)
		if err != nil {
			return nil, err
		}
		maps.Copy(all, part)
	}
	return all, nil
}

// count adds the result of a window, and prints blocks that differ.
func (a *adoption) count(c windowDigests, done sink.Adopted) {
	want := maps.Clone(c.want)
	maps.DeleteFunc(want, func(n block.Number, _ sink.BlockDigest) bool { return !done.Compared.Has(n) })
	found := differ(want, done.Stored)
	a.equal.blocks += done.Compared.Len() - uint64(len(found.Differences))
	for n, have := range done.Stored {
		if want[n] == have {
			a.equal.rows += have.Rows
		}
	}
	for _, d := range found.Differences {
		if d.Destination.Rows == 0 {
			a.missing.add(d.Source.Rows)
			continue
		}
		a.differ.add(d.Destination.Rows)
		a.wrong.Add(d.Blocks)
		a.named++
		if a.named <= namedDifferences {
			a.say("%v", d)
		}
	}
}

// replace empties the blocks that differ, and those that are not final yet, so that they
// are loaded.
func (a *adoption) replace(ctx context.Context) error {
	if len(a.wrong.Ranges()) > 0 {
		a.say("deleting what differs: %s", a.differ)
		if err := a.compare(ctx, windows(a.wrong.Ranges(), a.window), true); err != nil {
			return err
		}
		a.say("%s deleted", counted(a.deleted, "row"))
	}
	head := block.Range{Start: a.final.End, End: wanted(a.pipeline).End}
	if head.Empty() || a.asked != a.final {
		return nil
	}
	a.say("deleting the rows of blocks from %d on, which are not final yet", head.Start)
	var deleted uint64
	err := a.retry(ctx, func(ctx context.Context) (err error) {
		deleted, err = a.writer.Discard(ctx, head)
		return err
	})
	if err == nil && deleted > 0 {
		a.say("%s deleted of blocks from %d on", counted(deleted, "row"), head.Start)
	}
	return err
}

// wanted returns every block that a pipeline may ever load.
func wanted(p *config.Pipeline) block.Range {
	all := block.Range{Start: p.Range.MinBlock, End: block.Max + 1}
	if end := p.Range.MaxBlock; end != nil {
		all.End = *end
	}
	return all
}

// finish ends the adoption if no row is left that was not adopted, and prints what to do next.
func (a *adoption) finish(ctx context.Context) error {
	compared := block.NewSet(a.wrong.Missing(a.asked)...)
	var rest sink.Remainder
	err := a.retry(ctx, func(ctx context.Context) (err error) {
		rest, err = a.writer.FinishAdoption(ctx, wanted(a.pipeline), compared)
		return err
	})
	if err != nil {
		return err
	}
	if rest.Outside > 0 {
		a.say("%s of blocks outside %v: delete what is there before you widen the range, or it will be there twice",
			counted(rest.Outside, "row"), wanted(a.pipeline))
	}
	again := fmt.Sprintf("ampipe adopt %s --sink %s", a.pipeline.Name, a.sink)
	if rest.None() {
		if a.DryRun {
			a.say("nothing was changed. Next: %s", again)
			return nil
		}
		a.say("the table is adopted. Next: ampipe run %s loads what is missing, ampipe verify %[1]s compares all of it", a.pipeline.Name)
		return nil
	}
	if rest.Disturbed {
		return fmt.Errorf("somebody has written to blocks that were adopted, so none of them counts any more; "+
			"stop the program that loads the table, and run %s again", again)
	}
	return ops.Incomplete(a.remaining(rest, again))
}

// remaining returns the error that names the rows that keep the adoption from ending, and
// what to do about them.
func (a *adoption) remaining(rest sink.Remainder, again string) error {
	var reasons []string
	if n := rest.Blocks.Len(); n > 0 {
		reasons = append(reasons, fmt.Sprintf("%s %s of blocks that are not equal to the source, or not compared (%s)",
			counted(rest.Rows, "row"), are(rest.Rows), shortened(rest.Blocks)))
	}
	if rest.Unnumbered > 0 {
		reasons = append(reasons, fmt.Sprintf("%s without a block number (DELETE FROM … WHERE %s IS NULL removes what has none)",
			counted(rest.Unnumbered, "row"), a.checked.BlockColumn()))
	}
	next := "To have them deleted, and these blocks loaded: " + again + " --replace"
	switch {
	case rest.Rows == 0:
		next = "Then: " + again
	case a.asked != a.final:
		next = fmt.Sprintf("To compare all of blocks %v: %s", a.final, again)
	}
	if a.DryRun {
		return fmt.Errorf("nothing was changed; of the table, %s. %s", strings.Join(reasons, ", and "), next)
	}
	return fmt.Errorf("the adoption is not finished, and until then no sink takes the table: %s. %s", strings.Join(reasons, ", and "), next)
}

// retry calls op, which asks the destination or the source, until it succeeds. It waits for
// one that is down, and for a table that is locked.
func (a *adoption) retry(ctx context.Context, op func(context.Context) error) error {
	return fault.Retry(ctx, fault.Backoff{GiveUp: commandGiveUp}, op, logged(a.log))
}

func (a *adoption) say(format string, args ...any) {
	say(a.out, a.sink+": "+format, args...)
}
