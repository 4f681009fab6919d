package entry

import (
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/zeebo/xxh3"

	"github.com/ampipe/ampipe/pkg/block"
)

// leastTarget is where a cutter stops making its target smaller.
const leastTarget = 64 << 10

// emit makes the groups of the first n pending rows, which are all rows of r.
func (c *Cutter) emit(n int, r block.Range) ([]Group, error) {
	return c.halve(0, n, r)
}

// halve makes the groups of pending rows [i, j), which are all rows of r: one,
// or those of its halves if one is too large for a message.
func (c *Cutter) halve(i, j int, r block.Range) ([]Group, error) {
	recs := c.pending.batches(i, j)
	defer release(recs)
	e, err := c.opts.Encoder.Encode(c.header(r), recs)
	var large *TooLargeError
	switch {
	case err == nil:
		return []Group{{e}}, nil
	case !errors.As(err, &large):
		return nil, err
	case j == i:
		return nil, fmt.Errorf("encode blocks %v: even without rows: %w", r, err)
	}
	c.target = max(leastTarget, min(c.target, c.target*large.Limit/large.Size))
	if c.pending.block(i) == c.pending.block(j-1) {
		return c.split(recs, r, c.pending.block(i))
	}
	// The boundary next to the middle, of rows rather than of bytes: the halves
	// are halved again if need be.
	middle := c.pending.firstAtLeast(c.pending.block(i + (j-i)/2))
	if middle <= i {
		middle = c.pending.firstAtLeast(c.pending.block(i) + 1)
	}
	at := c.pending.block(middle)
	left, err := c.halve(i, middle, block.Range{Start: r.Start, End: at})
	if err != nil {
		return nil, err
	}
	right, err := c.halve(middle, j, block.Range{Start: at, End: r.End})
	return append(left, right...), err
}

func (c *Cutter) header(r block.Range) Header {
	h := c.opts.Header
	h.Range, h.End = r, c.end
	return h
}

// split makes the group of a block that needs several messages. Blocks without
// rows around it get entries of their own, since a part covers one block.
func (c *Cutter) split(recs []arrow.RecordBatch, r block.Range, n block.Number) ([]Group, error) {
	var groups []Group
	empty := func(r block.Range) error {
		if r.Empty() {
			return nil
		}
		e, err := c.opts.Encoder.Encode(c.header(r), nil)
		groups = append(groups, Group{e})
		return err
	}
	if err := empty(block.Range{Start: r.Start, End: n}); err != nil {
		return nil, err
	}
	parts, err := c.parts(recs, n)
	if err != nil {
		return nil, err
	}
	groups = append(groups, parts)
	return groups, empty(block.Range{Start: n + 1, End: r.End})
}

// parts cuts one block by rows. The parts share a hash of their content, and of
// where it is cut: the same rows cut alike, and only those, give the same.
func (c *Cutter) parts(recs []arrow.RecordBatch, n block.Number) (Group, error) {
	// However the rows came, they are cut from one batch, so that the same
	// rows give the same bytes.
	whole, err := concatenate(c.opts.Encoder.stream.schema, recs)
	if err != nil {
		return nil, fmt.Errorf("block %d: %w", n, err)
	}
	defer whole.Release()
	var group Group
	content := xxh3.New()
	var cut func(i, j int64) error
	cut = func(i, j int64) error {
		slice := whole.NewSlice(i, j)
		defer slice.Release()
		e, err := c.opts.Encoder.encode(c.header(block.Closed(n, n)), []arrow.RecordBatch{slice}, content)
		var large *TooLargeError
		switch {
		case err == nil:
			group = append(group, e)
			return nil
		case !errors.As(err, &large):
			return err
		case j-i == 1:
			return &RowTooLargeError{Block: n, Row: int(i), Size: large.Size, Limit: large.Limit}
		}
		if err := cut(i, (i+j)/2); err != nil {
			return err
		}
		return cut((i+j)/2, j)
	}
	if err := cut(0, whole.NumRows()); err != nil {
		return nil, err
	}
	if len(group) == 1 {
		return group, nil // it fits after all, now that it is one batch
	}
	sum := content.Sum128().Bytes()
	for i := range group {
		group[i].Part, group[i].Parts, group[i].Batch = i, len(group), fmt.Sprintf("%x", sum[:])
	}
	return group, nil
}
