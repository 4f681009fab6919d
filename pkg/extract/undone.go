package extract

import (
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/state"
)

// rowCounts remembers how many rows the last entries of the live lane had, to say what a
// reorg has taken back.
type rowCounts struct {
	from    block.Number // everything from here on is known
	known   bool
	entries []rowCount
}

type rowCount struct {
	blocks block.Range
	rows   int
}

// keptCounts is how many entries are remembered.
const keptCounts = 4096

// add notes an entry that is in the log.
func (c *rowCounts) add(h entry.Header) {
	if h.Kind != entry.Data {
		return
	}
	if !c.known {
		c.from, c.known = h.Range.Start, true
	}
	if len(c.entries) >= 2*keptCounts {
		c.entries = append(c.entries[:0], c.entries[keptCounts:]...)
		c.from = c.entries[0].blocks.Start
	}
	c.entries = append(c.entries, rowCount{h.Range, h.Rows})
}

// cut forgets the blocks from n on, and returns how many rows they had; nil: not known.
func (c *rowCounts) cut(n block.Number) *uint64 {
	exact := c.known && n >= c.from
	var rows uint64
	for len(c.entries) > 0 {
		last := c.entries[len(c.entries)-1]
		if last.blocks.End <= n {
			break
		}
		if last.blocks.Start < n && last.rows > 0 { // how many of them are below is not known
			exact = false
		}
		rows += uint64(last.rows)
		c.entries = c.entries[:len(c.entries)-1]
	}
	if n < c.from {
		c.from = n
	}
	if !exact {
		return nil
	}
	return &rows
}

// noteReorg remembers a reorg for those who look at the pipeline.
func (l *lane) noteReorg(from block.Number, blocks uint64) {
	r := state.Reorg{At: time.Now().UTC().Truncate(time.Millisecond), From: from, Blocks: blocks, Rows: l.counts.cut(from)}
	l.recent = append(l.recent, r)
	l.recent = l.recent[max(0, len(l.recent)-state.KeptReorgs):]
}
