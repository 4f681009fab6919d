package plan

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"golang.org/x/sync/errgroup"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
)

// Sample is an estimate of what a range holds, from a few short scans.
type Sample struct {
	Blocks uint64 // scanned
	Rows   uint64 // found in them
	Bytes  uint64 // of Arrow data

	// Failed is why rows could not be computed; nil: all that were scanned could.
	Failed error
}

// RowsPerBlock returns the density of the sample, or 0 if nothing was scanned.
func (s Sample) RowsPerBlock() float64 {
	if s.Blocks == 0 {
		return 0
	}
	return float64(s.Rows) / float64(s.Blocks)
}

// BytesPerRow returns the size of a row in Arrow's format, or 0 without rows.
func (s Sample) BytesPerRow() float64 {
	if s.Rows == 0 {
		return 0
	}
	return float64(s.Bytes) / float64(s.Rows)
}

// Decides reports whether more blocks would not change how many of them a partition has: it
// has found rows, and with many more of them in a block the partitions would be the same.
func (s Sample) Decides(blocks uint64, workers int) bool {
	return s.Rows > 0 && Size(blocks, workers, unlikely*s.RowsPerBlock()) == Size(blocks, workers, 0)
}

const (
	samples      = 4
	sampleBlocks = 8
	firstLook    = 1 // blocks of each range that are scanned first
	unlikely     = 5 // how many times the density of the first look the whole is not expected to have
)

// TakeSample counts the rows of a few short ranges spread over what the server
// has of r, of several at once if several workers may read. Rows are counted here, from plain
// scans: a server's own aggregates cannot be relied on (AP 4.5). If the first block of each
// range is enough, no more are scanned: they may be large. A nil enough is never satisfied.
func (c *Checked) TakeSample(ctx context.Context, source Source, r block.Range, enough func(Sample) bool) (Sample, error) {
	above := block.Range{Start: c.First, End: block.Max}
	for _, have := range c.Head {
		r, above = r.Intersect(have.Numbers), above.Intersect(have.Numbers)
	}
	if r.Empty() && c.Follow {
		r = above
	}
	if r.Empty() || len(c.Head) == 0 {
		return Sample{}, nil
	}
	spots := spread(r)
	if enough != nil {
		s, err := c.look(ctx, source, spots, firstLook)
		if err != nil || enough(s) {
			return s, err
		}
	}
	return c.look(ctx, source, spots, sampleBlocks)
}

// spot is one of the ranges of a sample.
type spot struct {
	rest  block.Range // not scanned yet
	found Sample
}

func spread(r block.Range) []spot {
	var spots []spot
	step := max(block.Number(r.Len())/samples, sampleBlocks)
	for start := r.Start; start < r.End && len(spots) < samples; start += step {
		spots = append(spots, spot{rest: block.Range{Start: start, End: min(start+sampleBlocks, r.End)}})
	}
	return spots
}

// look scans up to so many blocks more of each spot, and returns what all of them have found.
func (c *Checked) look(ctx context.Context, source Source, spots []spot, blocks uint64) (Sample, error) {
	g, scanning := errgroup.WithContext(ctx)
	g.SetLimit(max(1, c.Workers))
	for i := range spots {
		g.Go(func() error { return c.lookAt(scanning, source, &spots[i], blocks) })
	}
	if err := g.Wait(); err != nil {
		return Sample{}, err
	}
	var all Sample
	for _, s := range spots {
		all.Blocks += s.found.Blocks
		all.Rows += s.found.Rows
		all.Bytes += s.found.Bytes
		if all.Failed == nil {
			all.Failed = s.found.Failed
		}
	}
	return all, nil
}

// lookAt scans blocks of one spot. What is too much for the server is halved; then, or if a
// block cannot be read, nothing more is scanned of the spot.
func (c *Checked) lookAt(ctx context.Context, source Source, s *spot, blocks uint64) error {
	part := s.rest
	part.End = min(part.End, part.Start+block.Number(blocks))
	for !part.Empty() {
		found, err := c.scan(ctx, source, part)
		switch {
		case errors.Is(err, amp.ErrTooMuch) && part.Len() > 1:
			part.End = part.Start + block.Number(part.Len())/2
			s.rest.End = part.End
			continue
		case errors.Is(err, amp.ErrRow): // of one block; the others may be loaded
			s.found.Failed = fmt.Errorf("blocks %v cannot be read as they are: %w", part, err)
			s.rest.End = s.rest.Start
			return nil
		case err != nil:
			return fmt.Errorf("sample blocks %v: %w", part, err)
		}
		s.found.Blocks += part.Len()
		s.found.Rows += found.Rows
		s.found.Bytes += found.Bytes
		s.rest.Start = part.End
		return nil
	}
	return nil
}

// scan counts the rows of part.
func (c *Checked) scan(ctx context.Context, source Source, part block.Range) (Sample, error) {
	var s Sample
	for msg, err := range source.Fetch(ctx, c.Query.Wrap(c.BlockColumn(), part)) {
		if err != nil {
			return Sample{}, err
		}
		s.add(msg.Record)
	}
	return s, nil
}

func (s *Sample) add(rec arrow.RecordBatch) {
	s.Rows += uint64(rec.NumRows())
	if rec.NumRows() > 0 {
		for _, column := range rec.Columns() {
			s.Bytes += column.Data().SizeInBytes()
		}
	}
}
