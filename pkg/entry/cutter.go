package entry

import (
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/block"
)

// DefaultTarget is how many bytes of Arrow data an entry holds by default: compressed it
// is a message of about half a MiB to one MiB.
const DefaultTarget = 2 << 20

// Group is what is published in one step: one entry, or all the parts of a
// block that is larger than a message.
type Group []Entry

// CutOptions are the input and the limits of a [Cutter].
type CutOptions struct {
	Range   block.Range // to be covered, block by block, no more and no less
	Column  int         // the block column's index: an integer column without nulls
	Header  Header      // Epoch and Network of every entry; the rest is filled in
	Target  int         // bytes of Arrow data of one entry, before compression; default [DefaultTarget]
	Encoder *Encoder    // of the rows' schema; the cutter's own while it lives
}

// Cutter turns the rows of a range of blocks, in ascending order of blocks,
// into entries. They are cut only at block boundaries, near the target size and
// never over the encoder's limit, and their ranges touch: every block of the
// range is covered by exactly one group, also those without rows. An entry is
// returned once its last block is known to be complete, which is when a row of
// a later block was seen or the rows have ended.
//
// Its errors are about the rows, so a repetition fails alike: *[OrderError],
// *[RowTooLargeError], [ErrBlockColumn]. After an error only Release may be
// called. A Cutter is not safe for concurrent use.
type Cutter struct {
	opts    CutOptions
	bounds  block.Range  // as given; rows outside were not asked for
	end     block.Number // exclusive; moves down
	next    block.Number // first block not given out
	last    block.Number // of the last row seen; meaningful if seen
	seen    bool
	sealed  bool // no row below end can follow
	hurry   bool // give out what is complete, however small
	target  int  // shrinks when entries come out larger than a message
	pending rows
	pushed  int // bytes of the rows that came last
}

// OrderError is a row out of order: below the row before it (then After is that row's
// block), or outside the range that was asked for.
type OrderError struct {
	Block block.Number
	After block.Number
	Range block.Range
}

// Error returns both blocks.
func (e *OrderError) Error() string {
	if !e.Range.Has(e.Block) {
		return fmt.Sprintf("the source sent a row of block %d, outside the range %v it was asked for", e.Block, e.Range)
	}
	return fmt.Sprintf("the source sent a row of block %d after one of block %d: rows are not in order", e.Block, e.After)
}

// RowTooLargeError is a single row that does not fit a message.
type RowTooLargeError struct {
	Block block.Number
	Row   int // position among the rows of its block
	Size  int // bytes of the entry with this row alone, compressed
	Limit int // bytes a message may carry
}

// Error returns the row and what can be done.
func (e *RowTooLargeError) Error() string {
	return fmt.Sprintf("row %d of block %d takes %d bytes, a message holds %d: raise max_payload of the NATS server, "+
		"of which ampipe uses up to 32 MiB (the embedded one has 8 MiB: set nats.url), or leave the large column out of the query",
		e.Row, e.Block, e.Size, e.Limit)
}

// ErrBlockColumn says that the block column cannot be one: it is missing, not
// of an integer type, or holds a null.
var ErrBlockColumn = errors.New("the block column must hold a block number in every row")

var errFinished = errors.New("rows were pushed into a cutter after its end")

// NewCutter returns a cutter that has seen no rows.
func NewCutter(o CutOptions) (*Cutter, error) {
	if o.Encoder == nil {
		return nil, errors.New("a cutter needs an encoder")
	}
	schema := o.Encoder.stream.schema
	if o.Column < 0 || o.Column >= schema.NumFields() {
		return nil, fmt.Errorf("%w: there is no column %d", ErrBlockColumn, o.Column)
	}
	if f := schema.Field(o.Column); !arrow.IsInteger(f.Type.ID()) {
		return nil, fmt.Errorf("%w: %q is of type %v", ErrBlockColumn, f.Name, f.Type)
	}
	if o.Target <= 0 {
		o.Target = DefaultTarget
	}
	return &Cutter{opts: o, bounds: o.Range, end: o.Range.End, next: o.Range.Start, target: o.Target}, nil
}

// Push takes the next rows and returns the groups that are complete, in order.
// rec is borrowed. Rows at or above a lowered end are dropped.
func (c *Cutter) Push(rec arrow.RecordBatch) ([]Group, error) {
	blocks, err := blockNumbers(rec, c.opts.Column)
	if err != nil {
		return nil, err
	}
	if err := c.order(blocks); err != nil {
		return nil, err
	}
	kept := blocks[:firstAtLeast(blocks, c.end)]
	if c.sealed && len(kept) > 0 {
		return nil, errFinished
	}
	c.sealed = c.sealed || len(kept) < len(blocks)
	c.pushed = c.pending.push(rec, kept)
	return c.cut()
}

// Finish returns the groups that remain when all rows have been pushed; the last one
// covers up to the end of the range, with rows or without.
func (c *Cutter) Finish() ([]Group, error) {
	c.sealed = true
	return c.cut()
}

// Flush returns the blocks that are complete so far, however few rows they hold: for a
// source that broke off in the middle. Rows of the last block seen are not among them.
func (c *Cutter) Flush() ([]Group, error) {
	c.hurry = true
	defer func() { c.hurry = false }()
	return c.cut()
}

// Lower moves the end of the range down: the blocks from there on are read by another
// worker. It must not be below blocks that were returned already. When the
// rows seen so far reach the new end, the next Push or Finish closes the range.
func (c *Cutter) Lower(end block.Number) error {
	if end < c.next || end > c.end {
		return fmt.Errorf("move the end of %v to %d: entries reach up to %d", block.Range{Start: c.bounds.Start, End: c.end}, end, c.next)
	}
	c.end = end
	c.sealed = c.sealed || (c.seen && c.last >= end)
	c.pending.truncate(end)
	return nil
}

// Done reports whether the range is closed: every block below its end has been returned
// and nothing more will come.
func (c *Cutter) Done() bool { return c.next >= c.end }

// Last returns the block of the highest row seen, or the first that has not been returned
// if there was none: a new end below it would drop rows that were already read.
func (c *Cutter) Last() block.Number {
	if !c.seen {
		return c.next
	}
	return max(c.last, c.next)
}

// Release releases the rows that are held back.
func (c *Cutter) Release() { c.pending.drop(c.pending.len()) }

// order checks that rows follow those seen and lie in the range asked for.
func (c *Cutter) order(blocks []block.Number) error {
	for _, n := range blocks {
		if !c.bounds.Has(n) || (c.seen && n < c.last) {
			return &OrderError{Block: n, After: c.last, Range: c.bounds}
		}
		c.seen, c.last = true, n
	}
	return nil
}

// cut returns the groups that are complete.
func (c *Cutter) cut() ([]Group, error) {
	var groups []Group
	for {
		rows, to := c.slice()
		if to == c.next {
			return groups, nil
		}
		made, err := c.emit(rows, block.Range{Start: c.next, End: to})
		if err != nil {
			return nil, err
		}
		groups = append(groups, made...)
		c.pending.drop(rows)
		c.next = to
	}
}

// share returns how many bytes the next entry may hold. What is complete is divided into
// entries of about the same size, so that none of it has to wait for the next rows: it would
// keep the memory of all the rows that it came with.
func (c *Cutter) share(complete int) int {
	size := c.pending.sizeOf(complete)
	entries := max(1, (size+c.target/2)/c.target)
	return (size + entries - 1) / entries
}

// waits reports whether so many complete rows wait for more: as many as came last would not
// make their entry larger than the target.
func (c *Cutter) waits(complete int) bool {
	return c.pending.sizeOf(complete)+c.pushed <= c.target
}

// slice finds the next entry: a number of pending rows and the block after it,
// which is c.next if that is not known yet.
func (c *Cutter) slice() (rows int, to block.Number) {
	total := c.pending.len()
	complete := total
	if !c.sealed && total > 0 {
		complete = c.pending.firstAtLeast(c.last)
	}
	if c.hurry && complete == 0 && !c.sealed {
		return 0, c.next
	}
	rows = min(c.pending.fit(c.share(complete)), complete)
	switch {
	case rows == total && c.sealed:
		return rows, c.end
	case rows == complete && !c.hurry && c.waits(complete):
		return 0, c.next // more will fit
	case rows == complete && complete > 0:
		return rows, c.pending.block(rows)
	}
	// Down to a block boundary, or up if the first block alone is too large.
	if at := c.pending.firstAtLeast(c.pending.block(rows)); at > 0 {
		return at, c.pending.block(at)
	}
	after := c.pending.firstAtLeast(c.pending.block(0) + 1)
	switch {
	case after < total:
		return after, c.pending.block(after)
	case c.sealed:
		return after, c.end
	default:
		return 0, c.next
	}
}
