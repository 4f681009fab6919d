package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/extract"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/progress"
	"github.com/ampipe/ampipe/pkg/sink"
)

// Difference is a block whose rows are not the same in source and destination.
type Difference struct {
	Block               block.Number
	Source, Destination sink.BlockDigest
	Err                 error // why it could not be compared
}

// String tells what differs.
func (d Difference) String() string {
	if d.Err != nil {
		return fmt.Sprintf("block %d: it cannot be compared: %v", d.Block, d.Err)
	}
	if d.Source.Rows != d.Destination.Rows {
		return fmt.Sprintf("block %d: %d rows in the source, %d in the destination", d.Block, d.Source.Rows, d.Destination.Rows)
	}
	return fmt.Sprintf("block %d: %d rows in both, but their content differs", d.Block, d.Source.Rows)
}

// Comparison is what Compare found.
type Comparison struct {
	Rows        uint64 // in the source
	Blocks      uint64 // of them, those with rows
	Differences []Difference
}

// verifiable is a destination that can be read without being changed.
type verifiable interface {
	sink.Digester
	// OpenStored connects to a table that is there, to read it, instead of Open.
	OpenStored(ctx context.Context, t sink.Table) error
}

// verifyRows is about how many rows are compared at a time: the digests of their
// blocks are what verification keeps in memory.
const verifyRows = 2_000_000

// Verify compares the source with every destination of the pipeline, block by
// block, and names every block that differs. It reads plain scans of both sides
// and needs neither NATS nor a running pipeline. If [Options.Deep] is set, it also looks
// for rows that are of no block, where a plain scan cannot come across them.
func Verify(ctx context.Context, p *config.Pipeline, o Options) error {
	source, err := openSource(ctx, p)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }() // nothing is in flight
	checked, err := plan.Check(ctx, source, p)
	if err != nil {
		return err
	}
	var sample plan.Sample
	err = fault.Retry(ctx, fault.Backoff{GiveUp: commandPatience}, func(ctx context.Context) (err error) {
		sample, err = checked.TakeSample(ctx, source, checked.History(p.Range))
		return err
	}, logged(o.Logger))
	if err != nil {
		return err
	}
	recorded, unread := readRecord(ctx, p, o.Logger)
	earlier, err := recorded.earlier(checked)
	if err != nil {
		return err
	}
	var wrong []error
	for _, c := range p.Sinks {
		v := &verification{source: source, checked: checked, earlier: earlier, config: p, sample: sample, log: o.Logger}
		err := v.sink(ctx, o, c)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil && unread != nil {
			say(o.out(), "%s: which blocks an earlier query has loaded is not known, and all were compared with the configured one: %v", c.Name, unread)
		}
		wrong = append(wrong, err)
	}
	return ops.Failures(wrong...)
}

// sink compares one destination and reports what it found. An error that is not
// [ops.Incomplete] says that it could not be compared; the other sinks still are.
func (v *verification) sink(ctx context.Context, o Options, c config.Sink) error {
	w, err := newWriter(c)
	if err != nil {
		return err
	}
	found, err := v.compareSink(ctx, w, tableFor(v.config, c, v.checked))
	var extra error
	if err == nil {
		v.report(o, c.Name, found)
		extra, err = lookForExtra(ctx, o, c.Name, w)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		// It could not be compared, which is neither equal nor refused.
		err = fmt.Errorf("sink %q: %w", c.Name, uncompared{err})
		say(o.out(), "%s: not compared: %v", c.Name, err)
	}
	var differ error
	if n := len(found.Differences); n > 0 {
		differ = ops.Incomplete(fmt.Errorf("sink %q: %s of %s blocks differ from the source",
			c.Name, progress.Count(uint64(n)), progress.Count(v.all.Len())))
	}
	return ops.Failures(err, differ, extra)
}

// uncompared hides the class of an error: a sink that could not be compared is a
// failure, not a command that was refused.
type uncompared struct{ error }

// report writes what was found of one sink.
func (v *verification) report(o Options, name string, found Comparison) {
	if len(found.Differences) == 0 {
		say(o.out(), "%s: %d rows in %d blocks of %v are equal in source and destination",
			name, found.Rows, found.Blocks, v.all)
	}
	for _, e := range v.earlier {
		if n := v.older[e.number]; n > 0 {
			say(o.out(), "%s: %d of these blocks are as version %d of the query has them, which loaded them", name, n, e.number)
		}
	}
	for _, d := range found.Differences {
		say(o.out(), "%s: %v", name, d)
	}
}

// verification compares one destination with the source.
type verification struct {
	source  plan.Source
	checked *plan.Checked
	earlier []earlierQuery
	config  *config.Pipeline
	sample  plan.Sample
	log     zerolog.Logger
	all     block.Range // what the destination should hold
	older   map[int]int // blocks that are as an earlier version of the query has them
	failed  int         // blocks that could not be compared
}

func (v *verification) compareSink(ctx context.Context, w sink.Writer, t sink.Table) (Comparison, error) {
	d, ok := w.(verifiable)
	if !ok {
		return Comparison{}, fmt.Errorf("this destination cannot be verified")
	}
	if err := d.OpenStored(ctx, t); err != nil {
		return Comparison{}, err
	}
	var err error
	if v.all, err = v.claimed(ctx, w); err != nil {
		return Comparison{}, err
	}
	found, err := v.compare(ctx, d, v.all)
	if err == nil {
		found.Differences, err = v.compareEarlier(ctx, d, found.Differences)
	}
	if err != nil || !v.checked.Follow {
		return found, err
	}
	return v.again(ctx, w, d, found)
}

// claimed is what the destination says to hold: of a chain that is followed,
// everything up to its last watermark.
func (v *verification) claimed(ctx context.Context, w sink.Writer) (block.Range, error) {
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

// tries and betweenTries are how often and at what distance blocks are compared again
// that differ at the head of a chain: a reorg is on its way to the destination.
const (
	tries        = 5
	betweenTries = 2 * time.Second
)

// again compares blocks that differ once more, and forgets those that the
// destination does not claim any longer.
func (v *verification) again(ctx context.Context, w sink.Writer, d sink.Digester, found Comparison) (Comparison, error) {
	for try := 0; len(found.Differences) > 0 && try < tries; try++ {
		if err := fault.Sleep(ctx, betweenTries); err != nil {
			return found, err
		}
		all, err := v.claimed(ctx, w)
		if err != nil {
			return found, err
		}
		var blocks block.Set
		for _, difference := range found.Differences {
			blocks.Add(block.Closed(difference.Block, difference.Block))
		}
		if !d.Windowed() {
			blocks = block.NewSet(all)
		}
		found.Differences = nil
		for _, r := range blocks.Ranges() {
			if r = r.Intersect(all); r.Empty() {
				continue
			}
			once, err := v.compare(ctx, d, r)
			if err != nil {
				return found, err
			}
			found.Differences = append(found.Differences, once.Differences...)
		}
		if found.Differences, err = v.compareEarlier(ctx, d, found.Differences); err != nil {
			return found, err
		}
	}
	return found, nil
}

func (v *verification) compare(ctx context.Context, d sink.Digester, all block.Range) (Comparison, error) {
	window := max(all.Len(), 1)
	if d.Windowed() {
		window = windowBlocks(v.sample)
	}
	var sum Comparison
	for _, r := range plan.Cut(all, window) {
		found, err := v.piecewise(ctx, v.checked, d, r)
		if err != nil {
			return sum, err
		}
		sum.add(found)
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

func (c *Comparison) add(o Comparison) {
	c.Rows += o.Rows
	c.Blocks += o.Blocks
	c.Differences = append(c.Differences, o.Differences...)
}

// logged writes to the log what is waited for.
func logged(log zerolog.Logger) func(error, time.Duration) {
	return func(err error, pause time.Duration) { log.Warn().Err(err).Dur("pause", pause).Msg("waiting") }
}

// patiently compares r again after an error that may pass, and in halves if r is
// too much for the server.
func patiently(ctx context.Context, log zerolog.Logger, r block.Range, compare func(block.Range) (Comparison, error)) (Comparison, error) {
	var found Comparison
	err := fault.Retry(ctx, fault.Backoff{GiveUp: commandPatience}, func(context.Context) (err error) {
		found, err = compare(r)
		if errors.Is(err, amp.ErrTooMuch) && r.Len() > 1 {
			return fault.Permanent(err) // as it is
		}
		return err
	}, logged(log))
	if !errors.Is(err, amp.ErrTooMuch) || r.Len() < 2 {
		return found, err
	}
	var both Comparison
	for _, half := range plan.Cut(r, (r.Len()+1)/2) {
		found, err := patiently(ctx, log, half, compare)
		if err != nil {
			return both, err
		}
		both.add(found)
	}
	return both, nil
}

// Compare reads the blocks of r from both sides, at the same time, and compares
// them.
func Compare(ctx context.Context, source plan.Source, checked *plan.Checked, d sink.Digester, r block.Range) (Comparison, error) {
	var want, have = sink.Digests{}, sink.Digests{}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		want, err = digestSource(ctx, source, checked, d, r, false)
		return err
	})
	g.Go(func() error {
		if err := d.DigestStored(ctx, r, have); err != nil {
			return fmt.Errorf("read blocks %v of the destination: %w", r, err)
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return Comparison{}, err
	}
	return differ(want, have), nil
}

// sourceBehind is how long a source that lacks blocks is waited for.
const sourceBehind = 3 * time.Second

// digestSource reads the blocks of r from the source, as the destination would hold them.
// With whole the source must have all of them: an answer says nothing when rows are
// missing because they are not there yet (AP 2).
func digestSource(ctx context.Context, source plan.Source, checked *plan.Checked, d sink.Digester, r block.Range, whole bool) (sink.Digests, error) {
	digest := d.DigestSource()
	for msg, err := range source.Fetch(ctx, checked.Query.Wrap(checked.BlockColumn(), r)) {
		if err != nil {
			return nil, fmt.Errorf("read blocks %v of the source: %w", r, err)
		}
		if whole {
			if err := extract.Available(msg.Ranges, r, sourceBehind); err != nil {
				return nil, err
			}
			whole = false
		}
		if err := digest.Add(msg.Record); err != nil {
			return nil, fmt.Errorf("digest blocks %v of the source: %w", r, err)
		}
	}
	return digest.Digests(), nil
}

// differ compares the digests of both sides.
func differ(want, have sink.Digests) Comparison {
	var c Comparison
	for n, w := range want {
		c.Rows += w.Rows
		c.Blocks++
		if have[n] != w {
			c.Differences = append(c.Differences, Difference{Block: n, Source: w, Destination: have[n]})
		}
	}
	for n, h := range have {
		if _, ok := want[n]; !ok {
			c.Differences = append(c.Differences, Difference{Block: n, Destination: h})
		}
	}
	slices.SortFunc(c.Differences, func(a, b Difference) int { return int(int64(a.Block) - int64(b.Block)) })
	return c
}
