package table

import (
	"time"

	"github.com/ampipe/ampipe/pkg/block"
)

// Chain is what the tables of a network have in common: blocks that link by
// hash. It is what a streaming query compares its cursor with, as a real server
// does with a blocks table (AP 3.1). It is safe for concurrent use.
type Chain interface {
	// Now freezes the chain. The channel is closed as soon as the chain is another;
	// nil means never.
	Now() (Moment, <-chan struct{})
}

// Moment is a chain at one moment. It never changes and is safe for concurrent
// use.
type Moment interface {
	// Header returns a block of the chain; false if the chain does not have it.
	Header(n block.Number) (Header, bool)
	// Orphan looks for a block among those that have left the chain, and returns the
	// lowest number from which its branch and the chain differ; false if nobody
	// knows the block (AP 3.4, 3.5).
	Orphan(n block.Number, hash block.Hash) (from block.Number, known bool)
}

// Header is what a stream reports about a block.
type Header struct {
	Hash, Parent block.Hash
	Time         time.Time // zero if it is unknown
}

// Timed is a [Source] that shares its chain with others: snapshots of one moment
// agree with each other.
type Timed interface {
	// At freezes the table as it was at a moment of its own chain.
	At(Moment) Snapshot
}

// storedChain is the chain of tables that do not change, made of a blocks table.
type storedChain struct{ blocks Source }

// Now implements [Chain].
func (c *storedChain) Now() (Moment, <-chan struct{}) { return c, nil }

// Header implements [Moment].
func (c *storedChain) Header(n block.Number) (Header, bool) {
	visible, found := c.blocks.Snapshot().Range()
	if !found || !visible.Numbers.Has(n) {
		return Header{}, false
	}
	var h Header
	if h.Hash, h.Time, found = findHeader(c.blocks, n); !found {
		return Header{}, false
	}
	if n == visible.Numbers.Start {
		h.Parent = visible.Prev
		return h, true
	}
	h.Parent, _, found = findHeader(c.blocks, n-1)
	return h, found
}

// Orphan implements [Moment]: nothing has ever left this chain.
func (c *storedChain) Orphan(block.Number, block.Hash) (block.Number, bool) { return 0, false }
