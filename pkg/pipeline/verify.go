package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/progress"
	"github.com/ampipe/ampipe/pkg/sink"
)

// verifyRows is about how many rows are compared at a time: the digests of their
// blocks are what verification keeps in memory.
const verifyRows = 2_000_000

// Verify compares the source with every destination of the pipeline, block by
// block, and names every block that differs or cannot be compared. It reads plain scans of both sides
// and needs neither NATS nor a running pipeline. If [Options.Deep] is set, it also searches
// for rows that are of no block, where a plain scan does not find them. A sink that
// cannot be reached does not keep the others from being compared; it is a failure, which
// is worse than differences.
func Verify(ctx context.Context, p *config.Pipeline, o Options) error {
	source, checked, err := openChecked(ctx, p)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }() // nothing is in flight
	sample, err := sampled(ctx, source, checked, checked.History(p.Range), o.Logger)
	if err != nil {
		return err
	}
	sinks := o.sinksHere(p)
	var all []Verified
	for _, c := range o.sinksElsewhere(p) {
		if len(sinks) == 0 {
			return fault.Permanent(fmt.Errorf("sink %q: %w; compare it with the program that has it", c.Name, notBuilt(c)))
		}
		if o.JSON {
			all = append(all, Verified{Pipeline: p.Name, Sink: c.Name, Result: resultNotCompared, Error: notBuilt(c).Error(),
				Differences: []Differing{}, Notes: []string{}})
			continue
		}
		say(o.out(), "%s: not compared, since %v; the program that has it compares it", c.Name, notBuilt(c))
	}
	writers := make([]sink.Writer, len(sinks))
	for i, c := range sinks {
		if writers[i], err = newWriter(o, c); err != nil {
			return err
		}
	}
	var letters map[string]knownLetters
	recorded, unread := readRecord(ctx, p, o.Logger, func(ctx context.Context, conn *natsConn) (err error) {
		letters, err = readLetters(ctx, conn, p)
		return err
	})
	earlier, err := recorded.earlier(checked)
	if err != nil {
		return err
	}
	var wrong []error
	for i, c := range sinks {
		v := &verification{
			source: source, checked: checked, earlier: earlier, config: p, sample: sample, log: o.Logger,
			options: o, sink: c, table: tableFor(p, c, checked), unrecorded: unread, letters: letters[c.Name],
		}
		found, err := v.run(ctx, writers[i])
		all = append(all, found)
		wrong = append(wrong, v.summary(), v.extraError(found.Extra), v.unrepaired)
		switch {
		case err == nil:
		case ctx.Err() != nil, fromSource(err):
			return ops.Failures(append(wrong, printVerified(o.out(), o, all), fmt.Errorf("sink %q: %w", c.Name, err))...)
		default: // the other sinks are compared nevertheless
			wrong = append(wrong, notCompared(c.Name, err))
		}
	}
	return ops.Failures(append(wrong, printVerified(o.out(), o, all))...)
}

// run compares a destination with the source, reports what was found, and has it repaired
// if that is asked for.
func (v *verification) run(ctx context.Context, w sink.Writer) (found Verified, err error) {
	var extra uint64
	known := &withoutLetters{Writer: w, column: v.table.BlockColumn, letters: v.letters, left: map[block.Number]int{}}
	err = v.compareSink(ctx, known)
	v.report(err == nil)
	v.reportLetters(known)
	if err == nil {
		extra, err = v.findExtra(ctx, w)
	}
	if err == nil && v.options.Repair {
		v.unrepaired = v.repair(ctx, known)
	}
	err = errors.Join(err, w.Close())
	return v.verified(err, extra), err
}

// say prints a line about the sink. Of JSON it is a note.
func (v *verification) say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if v.options.JSON {
		v.notes = append(v.notes, text)
		return
	}
	say(v.options.out(), "%s: %s", v.options.sinkOf(v.config.Name, v.sink.Name), text)
}

// notCompared returns the error for a sink that cannot be reached, or not be read at all. It
// is a failure, and no refusal of the pipeline, whatever the class of err: others were
// compared.
func notCompared(name string, err error) error {
	return fault.Later(fmt.Errorf("sink %q was not compared: %w", name, brief(err)), 0)
}

// summary returns the error for blocks that differ, or nil.
func (v *verification) summary() error {
	differ, unreadable := v.found.differing()
	if differ == 0 {
		return nil
	}
	all := v.all.Len()
	for _, d := range v.found.Differences {
		if d.Beyond {
			all += d.Blocks.Len()
		}
	}
	text := fmt.Sprintf("sink %q: %s of %s blocks differ from the source", v.sink.Name, progress.Count(differ), progress.Count(all))
	if unreadable > 0 {
		text += fmt.Sprintf("; %s of them cannot be compared", progress.Count(unreadable))
	}
	return ops.Incomplete(errors.New(text))
}

// report prints what was found of one sink. whole means that all of it was compared.
func (v *verification) report(whole bool) {
	for _, e := range v.earlier {
		if n := v.older[e.number]; n > 0 {
			v.say("%d of these blocks are as version %d of the query has them, which loaded them", n, e.number)
		}
	}
	if v.unrecorded != nil && len(v.found.Differences) > 0 {
		v.say("which blocks an earlier query has loaded is not known, and all were compared with the configured one: %v", v.unrecorded)
		if v.sink.PutsAside() {
			v.say("which rows are dead letters is not known either")
		}
	}
	if v.options.JSON {
		return // the rest is in the object
	}
	if len(v.found.Differences) == 0 {
		if whole {
			v.say("%s in %s of %v %s equal in source and destination",
				counted(v.found.Rows, "row"), counted(v.found.Blocks, "block"), v.all, are(v.found.Rows))
		}
		return
	}
	v.found.merge()
	shown := v.found.Differences[:min(len(v.found.Differences), maxDifferences)]
	for _, d := range shown {
		v.say("%v", d)
	}
	rest := Comparison{Differences: v.found.Differences[len(shown):]}
	if more, _ := rest.differing(); more > 0 {
		v.say("and %d more blocks that differ", more)
	}
}

// verification compares one destination with the source.
type verification struct {
	source  plan.Source
	checked *plan.Checked
	config  *config.Pipeline
	sample  plan.Sample
	log     zerolog.Logger

	options Options

	letters knownLetters // of the sink
	stale   block.Set    // blocks that hold all of their rows, though some are dead letters

	earlier []earlierQuery // of the plan
	older   map[int]uint64 // blocks that are as an earlier version of the query has them

	sink          config.Sink
	table         sink.Table
	all           block.Range // what the destination should hold
	found         Comparison
	notes         []string // of the JSON form
	unrecorded    error    // why what NATS holds about the pipeline was not read
	repaired      *Repaired
	unrepaired    error // why blocks were not repaired
	named         int   // ranges that cannot be compared, and were searched for
	pruned        bool  // it was said that blocks were pruned
	noMoreWaiting bool  // an error that may pass did not: the next one is not waited for
}

func (v *verification) compareSink(ctx context.Context, w *withoutLetters) error {
	if err := w.OpenStored(ctx, v.table); err != nil {
		return err
	}
	var err error
	if v.all, err = v.claimedRange(ctx, w); err != nil {
		return err
	}
	if v.found, err = v.compare(ctx, w, v.all); err != nil {
		return err
	}
	if err := v.compareEarlier(ctx, w); err != nil {
		return err
	}
	if v.checked.Follow {
		if err := v.recheck(ctx, w); err != nil {
			return err
		}
	}
	if err := v.compareLetters(ctx, w); err != nil || !v.checked.Follow {
		return err
	}
	return v.findBeyond(ctx, w)
}

// claimedRange returns what the destination should hold: what was not pruned, and of a chain
// that is followed, everything up to its last watermark.
func (v *verification) claimedRange(ctx context.Context, w sink.Writer) (block.Range, error) {
	all := v.checked.History(v.config.Range)
	state, err := w.State(ctx)
	switch {
	case !v.checked.Follow && errors.Is(err, sink.ErrNotLoaded): // then all of it differs
		return all, nil
	case err != nil:
		return all, fmt.Errorf("read how far the destination is: %w", err)
	}
	if state.Pruned > all.Start {
		all.Start = state.Pruned
		if !v.pruned {
			v.say("blocks below %d were pruned, and are not compared", state.Pruned)
		}
		v.pruned = true
	}
	if !v.checked.Follow {
		all.End = max(all.Start, all.End)
		return all, nil
	}
	switch end := v.config.Range.MaxBlock; {
	case end != nil && state.Coverage.Covers(block.Range{Start: all.Start, End: *end}):
		all.End = *end
	case state.Live.Cursor.Network != "":
		all.End = max(all.Start, state.Live.Cursor.Number+1)
	case state.Live.Started:
		all.End = max(all.Start, state.Live.Start)
	}
	return all, nil
}

// compare compares the blocks of all, one window after the other. What was found before
// an error is returned with it.
func (v *verification) compare(ctx context.Context, d sink.Digester, all block.Range) (Comparison, error) {
	window := max(all.Len(), 1)
	if d.Windowed() {
		window = windowBlocks(v.sample)
	}
	var sum Comparison
	for _, r := range plan.Cut(all, window) {
		found, err := v.compareRange(ctx, d, r)
		sum.add(found)
		if err != nil {
			return sum, err
		}
	}
	return sum, nil
}

// windowBlocks returns how many blocks are compared at a time.
func windowBlocks(s plan.Sample) uint64 {
	if perBlock := s.RowsPerBlock(); perBlock > 0 {
		return max(1, uint64(verifyRows/perBlock))
	}
	return verifyRows
}

// logged returns a function that logs what is waited for.
func logged(log zerolog.Logger) func(error, time.Duration) {
	return func(err error, pause time.Duration) { log.Warn().Err(err).Dur("pause", pause).Msg("waiting") }
}
