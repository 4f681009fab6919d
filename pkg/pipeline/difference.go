package pipeline

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/progress"
	"github.com/ampipe/ampipe/pkg/sink"
)

const (
	// maxDifferences is how many lines name blocks that differ. If there are more,
	// neighbours become one line, and what is beyond is counted.
	maxDifferences = 100
	// mostKept bounds the differences in memory in the same way.
	mostKept = 10_000
	// longestReason is what a terminal shows of a reason, in bytes.
	longestReason = 400
)

// Difference is a block whose rows are not the same in source and destination, or
// several that follow each other and differ in the same way.
type Difference struct {
	Blocks              block.Range
	Source, Destination sink.BlockDigest
	Reason              error // why the blocks cannot be compared; then nothing is known of the digests
	Beyond              bool  // the destination has rows of blocks that it does not claim to hold
}

// String returns what differs.
func (d Difference) String() string {
	blocks := fmt.Sprintf("block %d", d.Blocks.Start)
	if d.Blocks.Len() > 1 {
		blocks = fmt.Sprintf("blocks %v", d.Blocks)
	}
	switch {
	case d.Reason != nil:
		return fmt.Sprintf("%s: cannot be compared: %v", blocks, brief(d.Reason))
	case d.Beyond:
		return fmt.Sprintf("%s: %s in the destination, where these blocks have not come yet", blocks, counted(d.Destination.Rows, "row"))
	case d.Source.Rows != d.Destination.Rows:
		return fmt.Sprintf("%s: %s in the source, %s in the destination", blocks,
			counted(d.Source.Rows, "row"), progress.Grouped(d.Destination.Rows))
	default:
		return fmt.Sprintf("%s: %s in both, but their content differs", blocks, counted(d.Source.Rows, "row"))
	}
}

// shortError is an error whose text is one line of a length that a terminal shows.
type shortError struct{ error }

func brief(err error) error { return shortError{err} }

func (e shortError) Error() string {
	return fault.Shorten(strings.Join(strings.Fields(e.error.Error()), " "), longestReason)
}

func (e shortError) Unwrap() error { return e.error }

// alike reports whether o differs in the same way.
func (d Difference) alike(o Difference) bool {
	if d.Reason != nil || o.Reason != nil {
		return d.Reason != nil && o.Reason != nil && d.Reason.Error() == o.Reason.Error()
	}
	return d.Beyond == o.Beyond && cmp.Compare(d.Source.Rows, d.Destination.Rows) == cmp.Compare(o.Source.Rows, o.Destination.Rows) &&
		(d.Source.Rows == 0) == (o.Source.Rows == 0) && (d.Destination.Rows == 0) == (o.Destination.Rows == 0)
}

// Comparison is what Compare found.
type Comparison struct {
	Rows        uint64       // in the source
	Blocks      uint64       // of them, those with rows
	Differences []Difference // in the order of blocks
}

func (c *Comparison) add(o Comparison) {
	c.Rows += o.Rows
	c.Blocks += o.Blocks
	c.Differences = append(c.Differences, o.Differences...)
	if len(c.Differences) > mostKept {
		c.merge()
	}
}

// merge makes neighbours that differ in the same way one difference, if there are too
// many to name each block.
func (c *Comparison) merge() {
	if len(c.Differences) <= maxDifferences {
		return
	}
	merged := c.Differences[:1]
	for _, d := range c.Differences[1:] {
		last := &merged[len(merged)-1]
		if last.Blocks.End != d.Blocks.Start || !last.alike(d) {
			merged = append(merged, d)
			continue
		}
		last.Blocks.End = d.Blocks.End
		last.Source.Rows += d.Source.Rows
		last.Destination.Rows += d.Destination.Rows
	}
	c.Differences = merged
}

func (c *Comparison) sort() {
	slices.SortFunc(c.Differences, func(a, b Difference) int { return cmp.Compare(a.Blocks.Start, b.Blocks.Start) })
}

// differing returns how many blocks differ, and how many of these cannot be compared.
func (c *Comparison) differing() (all, unreadable uint64) {
	for _, d := range c.Differences {
		all += d.Blocks.Len()
		if d.Reason != nil {
			unreadable += d.Blocks.Len()
		}
	}
	return all, unreadable
}

// differ compares the digests of both sides.
func differ(want, have sink.Digests) Comparison {
	var c Comparison
	for n, w := range want {
		c.Rows += w.Rows
		c.Blocks++
		if have[n] != w {
			c.Differences = append(c.Differences, Difference{Blocks: block.Closed(n, n), Source: w, Destination: have[n]})
		}
	}
	for n, h := range have {
		if _, ok := want[n]; !ok {
			c.Differences = append(c.Differences, Difference{Blocks: block.Closed(n, n), Destination: h})
		}
	}
	c.sort()
	return c
}

// leaveOut takes blocks that cannot be compared out of digests, and returns them as
// differences. A block that neither side can read is named once.
func leaveOut(want, have sink.Digests, all ...[]sink.Unreadable) []Difference {
	var differences []Difference
	var known block.Set
	for _, some := range all {
		for _, u := range some {
			for _, r := range known.Missing(u.Blocks) {
				differences = append(differences, Difference{Blocks: r, Reason: u.Err})
			}
			known.Add(u.Blocks)
		}
	}
	gone := func(n block.Number, _ sink.BlockDigest) bool { return known.Has(n) }
	if len(differences) > 0 {
		maps.DeleteFunc(want, gone)
		maps.DeleteFunc(have, gone)
	}
	return differences
}

// unreadableBy returns the blocks that a destination could not read, if it has read all
// others.
func unreadableBy(err error) ([]sink.Unreadable, bool) {
	e, is := errors.AsType[*sink.UnreadableError](err)
	if !is {
		return nil, false
	}
	var blocks []sink.Unreadable
	for _, u := range e.Blocks {
		blocks = append(blocks, sink.Unreadable{Blocks: u.Blocks, Err: notReadBack(u.Err)})
	}
	return blocks, true
}

func notReadBack(err error) error {
	return &unreadableError{fmt.Errorf("the destination cannot read it back: %w", err)}
}

// unreadableError is a reason why blocks cannot be compared that lies in what the
// destination holds of them.
type unreadableError struct{ error }

func (e *unreadableError) Unwrap() error { return e.error }

// replaceable reports whether blocks that cannot be compared for a reason can be removed
// from the destination, and loaded again.
func replaceable(reason error) bool {
	_, is := errors.AsType[*unreadableError](reason)
	return is && !errors.Is(reason, sink.ErrNotRemovable)
}
