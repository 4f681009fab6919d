package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
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
	c := newCheckup(p, o)
	c.look(ctx, p, o)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case len(c.refused) > 0:
		return errors.Join(c.refused...)
	}
	c.say("\nEverything is in order. Next: ampipe plan %s, or ampipe run %s", p.Name, p.Name)
	return nil
}

// look checks everything.
func (c *checkup) look(ctx context.Context, p *config.Pipeline, o Options) {
	c.refuse(partMachine, checkFiles(p))
	c.refuse(partMachine, checkPage(ctx, p))
	if c.examines {
		c.examineDisks(p)
	}
	source, checked, err := c.checkSource(ctx, p)
	c.refuse(partAmp, err)
	if source != nil {
		defer func() { _ = source.Close() }() // nothing is in flight
	}
	spec := state.Spec{Query: p.Source.Query}
	if checked != nil {
		spec, err = (&plan.Planner{Config: p}).Draft(checked)
		c.refuse(partAmp, err)
	}
	if checked != nil && c.examines {
		c.examineSource(ctx, p, source, checked)
	}
	err = c.checkNATS(ctx, p, spec, o.Logger)
	c.refuse(partNATS, err)
	if checked != nil && err == nil {
		c.refuse(partNATS, c.describeRecord(ctx, p, checked, o.Logger))
	}
	sinks := make(map[string]sink.Writer)
	c.refuse(partNATS, o.checkReach(p))
	for _, s := range o.sinksElsewhere(p) {
		if p.NATS.Embedded == "" {
			c.say("sink      %s: not checked, since %v; the program that has it checks and runs it", s.Name, notBuilt(s))
		}
	}
	for _, s := range o.sinksHere(p) {
		w, err := c.checkSink(ctx, o, p, s, checked)
		if err != nil && ops.ExitCode(err) != ops.ExitConfig { // else the file says where
			err = fmt.Errorf("sink %q: %w", s.Name, err)
		}
		c.refuse(partSink+s.Name, err)
		if err == nil {
			sinks[s.Name] = w
		}
		if c.examines && (err == nil || fault.Of(err) == fault.ClassPermanent) { // else it is away
			c.examineSink(ctx, o, p, s, checked)
		}
	}
	if checked != nil && len(sinks) > 0 {
		c.checkRows(ctx, p, source, checked, sinks)
	}
}

// checkSource connects to the source, asks it about the query and reads a few blocks. What
// it returns is nil if it could not be connected, or if the columns are not known.
func (c *checkup) checkSource(ctx context.Context, p *config.Pipeline) (*amp.Client, *plan.Checked, error) {
	source, checked, err := openChecked(ctx, p)
	if err != nil {
		return nil, nil, err
	}
	c.describeSource(p, checked)
	sample, err := checked.TakeSample(ctx, source, checked.History(p.Range), nil)
	if err != nil {
		return source, checked, err
	}
	if sample.Failed != nil {
		c.warn(partAmp, sample.Failed.Error())
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

func (c *checkup) describeSource(p *config.Pipeline, checked *plan.Checked) {
	c.say("pipeline  %s", p.Name)
	c.say("amp       %s", p.Source.Amp)
	c.say("query     %s", fault.Shorten(strings.Join(strings.Fields(checked.Query.Text()), " "), maxQuery))
	c.say("columns   %d, block column %s", checked.Schema.NumFields(), checked.BlockColumn())
	if len(checked.Head) == 0 {
		c.say("server    has no data for this query yet")
	}
	for _, have := range checked.Head {
		c.say("server    has blocks %v of %s, the last with hash %s", have.Numbers, have.Network, have.Hash)
	}
	history := checked.History(p.Range)
	c.say("history   blocks %v, %s", history, progress.Count(history.Len()))
	if checked.Follow {
		c.say("live      from block %d on, and every reorg; the query can be followed", checked.LiveStart)
	}
	for _, have := range checked.Head {
		if end := p.Range.MaxBlock; end != nil && have.Numbers.End < *end {
			c.warn(partAmp, fmt.Sprintf("the head is below max_block: blocks %v will be waited for",
				block.Range{Start: have.Numbers.End, End: *end}))
		}
	}
	for _, warning := range checked.Warnings {
		c.warn(partAmp, warning)
	}
}

func (c *checkup) checkSink(
	ctx context.Context, o Options, p *config.Pipeline, s config.Sink, checked *plan.Checked,
) (sink.Writer, error) {
	w, err := newWriter(o, s)
	if err != nil {
		return nil, err
	}
	if checked == nil {
		if err := w.Reach(ctx); err != nil {
			return nil, err
		}
		c.say("sink      %s: connected; its table was not checked, since the columns of the query are not known", s.Name)
		return w, nil
	}
	table := tableFor(p, s, checked)
	ddl, err := w.Describe(table)
	if err != nil {
		return nil, err
	}
	if err := w.Check(ctx, table); err != nil {
		return nil, err
	}
	if err := checkHead(ctx, o, p, s, table, checked); err != nil {
		return nil, err
	}
	for _, warning := range w.Warnings(table) {
		if !strings.Contains(ddl, warning) {
			c.warn(partSink+s.Name, warning)
		}
	}
	c.say("sink      %s: connected, and may do what it needs. The table, if it is not there:\n\n%s",
		s.Name, indent(ddl))
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
	source, checked, err := openChecked(ctx, p)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }() // nothing is in flight
	c := newCheckup(p, o)
	c.describeSource(p, checked)
	if err := c.describeRecord(ctx, p, checked, o.Logger); err != nil {
		return err
	}
	return preview(ctx, o.out(), p, source, checked)
}

func preview(ctx context.Context, out io.Writer, p *config.Pipeline, source *amp.Client, checked *plan.Checked) error {
	history := checked.History(p.Range)
	sample, err := checked.TakeSample(ctx, source, history, nil)
	if err != nil {
		return err
	}
	parts := slices.Collect(partitions(p, history, history.Len(), sample.RowsPerBlock(), 0))
	size := counted(uint64(1), "block")
	if n := len(parts); n > 0 {
		size = counted(parts[0].Len(), "block") // one of the largest
		if parts[n-1].Len() < parts[0].Len() {
			size = "up to " + size
		}
	}
	rows := sample.RowsPerBlock() * float64(history.Len())
	say(out, "partitions %s of %s each, for %s; idle workers split them further",
		progress.Grouped(uint64(len(parts))), size, counted(p.Extract.Workers, "worker"))
	say(out, "estimate  %s rows, %s of Arrow data, %.0f bytes a row (from %s in %s)",
		progress.Count(uint64(rows)), Bytes(rows*sample.BytesPerRow()), sample.BytesPerRow(),
		counted(sample.Rows, "row"), counted(sample.Blocks, "block"))
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
