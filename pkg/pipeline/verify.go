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
	for _, c := range o.sinksElsewhere(p) {
		if len(sinks) == 0 {
			return fault.Permanent(fmt.Errorf("sink %q: %w; compare it with the program that has it", c.Name, notBuilt(c)))
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
			options: o, sink: c, table: tableFor(p, c, checked), letters: letters[c.Name],
		}
		extra, err := v.run(ctx, o, writers[i])
		if unread != nil && len(v.found.Differences) > 0 {
			say(o.out(), "%s: which blocks an earlier query has loaded is not known, and all were compared with the configured one: %v",
				c.Name, unread)
			if c.PutsAside() {
				say(o.out(), "%s: which rows are dead letters is not known either", c.Name)
			}
		}
		wrong = append(wrong, v.summary(), extra)
		switch {
		case err == nil:
		case ctx.Err() != nil, fromSource(err):
			return ops.Failures(append(wrong, fmt.Errorf("sink %q: %w", c.Name, err))...)
		default: // the other sinks are compared nevertheless
			wrong = append(wrong, notCompared(c.Name, err))
		}
	}
	return ops.Failures(wrong...)
}

// run compares a destination with the source, and reports what was found.
func (v *verification) run(ctx context.Context, o Options, w sink.Writer) (extra, err error) {
	known := &withoutLetters{Writer: w, column: v.table.BlockColumn, letters: v.letters, left: map[block.Number]int{}}
	err = v.compareSink(ctx, known)
	v.report(o, err == nil)
	v.reportLetters(o, known)
	if err == nil {
		extra, err = findExtra(ctx, o, v.sink.Name, w)
	}
	return extra, errors.Join(err, w.Close())
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
	text := fmt.Sprintf("sink %q: %s of %s blocks differ from the source", v.sink.Name, progress.Count(differ), progress.Count(v.all.Len()))
	if unreadable > 0 {
		text += fmt.Sprintf("; %s of them cannot be compared", progress.Count(unreadable))
	}
	return ops.Incomplete(errors.New(text))
}

// report prints what was found of one sink. whole means that all of it was compared.
func (v *verification) report(o Options, whole bool) {
	for _, e := range v.earlier {
		if n := v.older[e.number]; n > 0 {
			say(o.out(), "%s: %d of these blocks are as version %d of the query has them, which loaded them", v.sink.Name, n, e.number)
		}
	}
	if len(v.found.Differences) == 0 {
		if whole {
			say(o.out(), "%s: %d rows in %d blocks of %v are equal in source and destination",
				v.sink.Name, v.found.Rows, v.found.Blocks, v.all)
		}
		return
	}
	v.found.merge()
	shown := v.found.Differences[:min(len(v.found.Differences), maxDifferences)]
	for _, d := range shown {
		say(o.out(), "%s: %v", v.sink.Name, d)
	}
	rest := Comparison{Differences: v.found.Differences[len(shown):]}
	if more, _ := rest.differing(); more > 0 {
		say(o.out(), "%s: and %d more blocks that differ", v.sink.Name, more)
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
	named         int  // ranges that cannot be compared, and were searched for
	noMoreWaiting bool // an error that may pass did not: the next one is not waited for
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
	return v.compareLetters(ctx, w)
}

// claimedRange returns what the destination should hold: of a chain that is followed,
// everything up to its last watermark.
func (v *verification) claimedRange(ctx context.Context, w sink.Writer) (block.Range, error) {
	all := v.checked.History(v.config.Range)
	if !v.checked.Follow {
		return all, nil
	}
	state, err := w.State(ctx)
	if err != nil {
		return all, fmt.Errorf("read how far the destination is: %w", err)
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

// recheckTries and recheckPause are how often, and after what pause, blocks are compared again
// that differ at the head of a chain: a reorg is on its way to the destination.
const (
	recheckTries = 5
	recheckPause = 2 * time.Second
)

// recheck compares blocks that differ again, and drops those that the destination does
// not claim any longer. Blocks that cannot be compared stay so.
func (v *verification) recheck(ctx context.Context, w sink.Writer) error {
	for range recheckTries {
		var blocks block.Set
		var unreadable []Difference
		for _, difference := range v.found.Differences {
			if difference.Reason != nil {
				unreadable = append(unreadable, difference)
				continue
			}
			blocks.Add(difference.Blocks)
		}
		if blocks.Len() == 0 {
			return nil
		}
		if err := fault.Sleep(ctx, recheckPause); err != nil {
			return err
		}
		all, err := v.claimedRange(ctx, w)
		if err != nil {
			return err
		}
		if !w.Windowed() {
			blocks, unreadable = block.NewSet(all), nil
		}
		v.named = len(unreadable)
		v.found.Differences = nil
		for _, difference := range unreadable {
			if difference.Blocks = difference.Blocks.Intersect(all); !difference.Blocks.Empty() {
				v.found.Differences = append(v.found.Differences, difference)
			}
		}
		for _, r := range blocks.Ranges() {
			if r = r.Intersect(all); r.Empty() {
				continue
			}
			once, err := v.compare(ctx, w, r)
			v.found.Differences = append(v.found.Differences, once.Differences...)
			if err != nil {
				return err
			}
		}
		v.found.sort()
		if err := v.compareEarlier(ctx, w); err != nil {
			return err
		}
	}
	return nil
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
