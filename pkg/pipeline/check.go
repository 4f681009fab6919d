package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/extract"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/progress"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/state"
)

// Check connects to everything the pipeline names, changes nothing, and prints
// what it found and the tables that would be created. A refusal does not keep the rest
// from being checked: the errors are joined.
func Check(ctx context.Context, p *config.Pipeline, o Options) error {
	out := o.out()
	var refused []error
	found := func(err error) {
		if err != nil {
			refused = append(refused, err)
		}
	}
	found(checkFiles(p))
	found(checkPage(ctx, p))
	source, checked, err := checkSource(ctx, out, p)
	found(err)
	if source != nil {
		defer func() { _ = source.Close() }() // nothing is in flight
	}
	spec := state.Spec{Query: p.Source.Query}
	if checked != nil {
		spec, err = (&plan.Planner{Config: p}).Draft(checked)
		found(err)
	}
	err = checkNATS(ctx, out, p, spec, o.Logger)
	found(err)
	if checked != nil && err == nil {
		found(describeVersions(ctx, out, p, checked, o.Logger))
	}
	sinks := make(map[string]sink.Writer)
	found(o.checkReach(p))
	for _, c := range o.sinksElsewhere(p) {
		if p.NATS.Embedded == "" {
			say(out, "sink      %s: not checked, since %v; the program that has it checks and runs it", c.Name, notBuilt(c))
		}
	}
	for _, c := range o.sinksHere(p) {
		w, err := checkSink(ctx, o, p, c, checked)
		if ops.ExitCode(err) == ops.ExitConfig {
			found(err) // the file says where
			continue
		}
		if err != nil {
			found(fmt.Errorf("sink %q: %w", c.Name, err))
			continue
		}
		sinks[c.Name] = w
	}
	if checked != nil && len(sinks) > 0 {
		found(checkRows(ctx, out, p, source, checked, sinks))
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case len(refused) > 0:
		return errors.Join(refused...)
	}
	say(out, "\nEverything is in order. Next: ampipe plan %s, or ampipe run %s", p.Name, p.Name)
	return nil
}

// checkSource connects to the source, asks it about the query and reads a few blocks. What
// it returns is nil if it could not be connected, or if the columns are not known.
func checkSource(ctx context.Context, out io.Writer, p *config.Pipeline) (*amp.Client, *plan.Checked, error) {
	source, checked, err := openChecked(ctx, p)
	if err != nil {
		return nil, nil, err
	}
	describeSource(out, p, checked)
	sample, err := checked.TakeSample(ctx, source, checked.History(p.Range))
	if err != nil {
		return source, checked, err
	}
	if sample.Failed != nil {
		say(out, "warning   %v", sample.Failed)
	}
	return source, checked, checkLive(ctx, source, checked)
}

// checkLive refuses a query of which a row cannot be computed in the first blocks of the
// live chain: everything behind it would wait.
func checkLive(ctx context.Context, source *amp.Client, checked *plan.Checked) error {
	if !checked.Follow {
		return nil
	}
	first := block.Range{Start: checked.LiveStart, End: checked.Head[0].Numbers.End}
	n, reason, err := extract.FirstUnreadable(ctx, source, checked.Query, checked.BlockColumn(), first)
	if err != nil {
		return fmt.Errorf("read blocks %v: %w", first, err)
	}
	if reason != nil {
		return extract.Unreadable(n, first.Start, reason)
	}
	return nil
}

// maxQuery is how many bytes of a query are shown.
const maxQuery = 1000

func describeSource(out io.Writer, p *config.Pipeline, checked *plan.Checked) {
	say(out, "pipeline  %s", p.Name)
	say(out, "amp       %s", p.Source.Amp)
	say(out, "query     %s", fault.Shorten(strings.Join(strings.Fields(checked.Query.Text()), " "), maxQuery))
	say(out, "columns   %d, block column %s", checked.Schema.NumFields(), checked.BlockColumn())
	if len(checked.Head) == 0 {
		say(out, "server    has no data for this query yet")
	}
	for _, have := range checked.Head {
		say(out, "server    has blocks %v of %s, the last with hash %s", have.Numbers, have.Network, have.Hash)
	}
	history := checked.History(p.Range)
	say(out, "history   blocks %v, %s", history, progress.Count(history.Len()))
	if checked.Follow {
		say(out, "live      from block %d on, and every reorg; the query can be followed", checked.LiveStart)
	}
	for _, have := range checked.Head {
		if end := p.Range.MaxBlock; end != nil && have.Numbers.End < *end {
			say(out, "warning   the head is below max_block: blocks %v will be waited for",
				block.Range{Start: have.Numbers.End, End: *end})
		}
	}
	for _, warning := range checked.Warnings {
		say(out, "warning   %s", warning)
	}
}

func checkSink(ctx context.Context, o Options, p *config.Pipeline, c config.Sink, checked *plan.Checked) (sink.Writer, error) {
	out := o.out()
	w, err := newWriter(o, c)
	if err != nil {
		return nil, err
	}
	if checked == nil {
		if err := w.Reach(ctx); err != nil {
			return nil, err
		}
		say(out, "sink      %s: connected; its table was not checked, since the columns of the query are not known", c.Name)
		return w, nil
	}
	table := tableFor(p, c, checked)
	ddl, err := w.Describe(table)
	if err != nil {
		return nil, err
	}
	if err := w.Check(ctx, table); err != nil {
		return nil, err
	}
	if err := checkHead(ctx, o, p, c, table, checked); err != nil {
		return nil, err
	}
	for _, warning := range w.Warnings(table) {
		if !strings.Contains(ddl, warning) {
			say(out, "warning   %s: %s", c.Name, warning)
		}
	}
	say(out, "sink      %s: connected, and may do what it needs. The table, if it is not there:\n\n%s",
		c.Name, indent(ddl))
	return w, nil
}

func tableFor(p *config.Pipeline, c config.Sink, checked *plan.Checked) sink.Table {
	return sink.Table{
		Pipeline: p.Name, Sink: c.Name, Schema: checked.Schema, BlockColumn: checked.Column,
		Epoch: 1, Network: checked.Network,
	}
}

// Preview is the dry run. It prints which partitions would be queued, and about how much
// they hold, from a sample of the source.
func Preview(ctx context.Context, p *config.Pipeline, o Options) error {
	out := o.out()
	source, checked, err := openChecked(ctx, p)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }() // nothing is in flight
	describeSource(out, p, checked)
	if err := describeVersions(ctx, out, p, checked, o.Logger); err != nil {
		return err
	}
	return preview(ctx, out, p, source, checked)
}

func preview(ctx context.Context, out io.Writer, p *config.Pipeline, source *amp.Client, checked *plan.Checked) error {
	history := checked.History(p.Range)
	sample, err := checked.TakeSample(ctx, source, history)
	if err != nil {
		return err
	}
	size := p.Range.PartitionSize
	if size == 0 {
		size = plan.Size(history.Len(), p.Extract.Workers, sample.RowsPerBlock())
	}
	parts := plan.Cut(history, size)
	rows := sample.RowsPerBlock() * float64(history.Len())
	say(out, "partitions %d of %d blocks each, for %d workers; idle workers split them further", len(parts), size, p.Extract.Workers)
	say(out, "estimate  %s rows, %s of Arrow data, %.0f bytes a row (from %d rows in %d blocks)",
		progress.Count(uint64(rows)), Bytes(rows*sample.BytesPerRow()), sample.BytesPerRow(), sample.Rows, sample.Blocks)
	const shown = 5
	for i, r := range parts {
		if i == shown && len(parts) > shown+1 {
			say(out, "          …")
		}
		if i < shown || i == len(parts)-1 {
			say(out, "          %d: blocks %v, about %s rows", i+1, r, progress.Count(uint64(sample.RowsPerBlock()*float64(r.Len()))))
		}
	}
	return nil
}

// Bytes writes a size for people: 950 B, 4.1 MB.
func Bytes(n float64) string { return progress.Count(uint64(n)) + "B" }

func say(out io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(out, format+"\n", args...) // there is no other place to report it
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ")
}
