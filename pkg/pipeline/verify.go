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
}

// String tells what differs.
func (d Difference) String() string {
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
// and needs neither NATS nor a running pipeline.
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
	history := plan.History(p.Range, checked.Head)
	sample, err := takeSample(ctx, source, checked, history, o.Logger)
	if err != nil {
		return err
	}
	var wrong []error
	for _, c := range p.Sinks {
		w, err := newWriter(c)
		if err != nil {
			return err
		}
		found, err := compareSink(ctx, source, checked, w, tableFor(p, c, checked), history, sample, o.Logger)
		if err = errors.Join(err, w.Close()); err != nil {
			return fmt.Errorf("sink %q: %w", c.Name, err)
		}
		if len(found.Differences) == 0 {
			say(o.out(), "%s: %d rows in %d blocks of %v are equal in source and destination",
				c.Name, found.Rows, found.Blocks, history)
			continue
		}
		for _, d := range found.Differences {
			say(o.out(), "%s: %v", c.Name, d)
		}
		wrong = append(wrong, ops.Incomplete(fmt.Errorf("sink %q: %s of %s blocks differ from the source",
			c.Name, progress.Count(uint64(len(found.Differences))), progress.Count(history.Len()))))
	}
	return errors.Join(wrong...)
}

func compareSink(ctx context.Context, source plan.Source, checked *plan.Checked, w sink.Writer, t sink.Table,
	history block.Range, sample plan.Sample, log zerolog.Logger) (Comparison, error) {
	d, ok := w.(verifiable)
	if !ok {
		return Comparison{}, fmt.Errorf("this destination cannot be verified")
	}
	if err := d.OpenStored(ctx, t); err != nil {
		return Comparison{}, err
	}
	window := history.Len()
	if perBlock := sample.RowsPerBlock(); d.Windowed() && perBlock > 0 {
		window = max(1, uint64(verifyRows/perBlock))
	} else if d.Windowed() {
		window = min(window, verifyRows)
	}
	var all Comparison
	for _, r := range plan.Cut(history, max(window, 1)) {
		found, err := patiently(ctx, log, r, func(r block.Range) (Comparison, error) {
			return Compare(ctx, source, checked, d, r)
		})
		if err != nil {
			return all, err
		}
		all.add(found)
	}
	return all, nil
}

func (c *Comparison) add(o Comparison) {
	c.Rows += o.Rows
	c.Blocks += o.Blocks
	c.Differences = append(c.Differences, o.Differences...)
}

// patiently compares r again after an error that may pass, and in halves if r is
// too much for the server.
func patiently(ctx context.Context, log zerolog.Logger, r block.Range, compare func(block.Range) (Comparison, error)) (Comparison, error) {
	var found Comparison
	err := fault.Retry(ctx, fault.Backoff{Attempts: 5}, func(context.Context) (err error) {
		found, err = compare(r)
		if errors.Is(err, amp.ErrTooMuch) && r.Len() > 1 {
			return fault.Permanent(err) // as it is
		}
		return err
	}, func(err error, pause time.Duration) {
		log.Warn().Err(err).Dur("pause", pause).Msg("waiting")
	})
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
	want, have := d.DigestSource(), sink.Digests{}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		for msg, err := range source.Fetch(ctx, checked.Query.Wrap(checked.BlockColumn(), r)) {
			if err != nil {
				return fmt.Errorf("read blocks %v of the source: %w", r, err)
			}
			if err := want.Add(msg.Record); err != nil {
				return fmt.Errorf("digest blocks %v of the source: %w", r, err)
			}
		}
		return nil
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
	return differ(want.Digests(), have), nil
}

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
