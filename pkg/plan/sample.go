package plan

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"

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

const (
	samples      = 4
	sampleBlocks = 8
)

// TakeSample counts the rows of a few short ranges spread over what the server
// has of r. Rows are counted here, from plain scans: a server's own aggregates
// cannot be relied on (AP 4.5).
func (c *Checked) TakeSample(ctx context.Context, source Source, r block.Range) (Sample, error) {
	above := block.Range{Start: c.First, End: block.Max}
	for _, have := range c.Head {
		r, above = r.Intersect(have.Numbers), above.Intersect(have.Numbers)
	}
	if r.Empty() && c.Follow {
		r = above
	}
	var s Sample
	if r.Empty() || len(c.Head) == 0 {
		return s, nil
	}
	length := block.Number(sampleBlocks)
	step := max(block.Number(r.Len())/samples, length)
	for start := r.Start; start < r.End; {
		part := block.Range{Start: start, End: min(start+length, r.End)}
		found, err := c.scan(ctx, source, part)
		switch {
		case errors.Is(err, amp.ErrTooMuch) && part.Len() > 1:
			length = block.Number(part.Len()) / 2
			continue
		case errors.Is(err, amp.ErrRow): // of one block; the others may be loaded
			if s.Failed == nil {
				s.Failed = fmt.Errorf("blocks %v cannot be read as they are: %w", part, err)
			}
			start += step
			continue
		case err != nil:
			return s, fmt.Errorf("sample blocks %v: %w", part, err)
		}
		s.Blocks += part.Len()
		s.Rows += found.Rows
		s.Bytes += found.Bytes
		start += step
	}
	return s, nil
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
