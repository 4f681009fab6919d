package chain

import (
	"github.com/ampipe/ampipe/devserver/table"
	"github.com/ampipe/ampipe/pkg/block"
)

// fork is where a fork began, and on which other one.
type fork struct {
	start  block.Number
	parent uint32
}

// orphan is blocks of a fork that have left the chain. They never come back.
type orphan struct {
	blocks block.Range
	fork   uint32
}

// from lists the blocks of a view from start on, by their forks.
func (v View) from(start block.Number) []orphan {
	var out []orphan
	end := v.end
	for i := len(v.branches) - 1; end > start; i-- {
		b := v.branches[i]
		if b.start >= end {
			continue
		}
		out = append(out, orphan{block.Range{Start: max(b.start, start), End: end}, b.fork})
		end = b.start
	}
	return out
}

// moment is a view and what has been there before it.
type moment struct {
	View
	forks   []fork
	orphans []orphan
}

// Header implements [table.Moment].
func (m moment) Header(n block.Number) (table.Header, bool) {
	if !m.Range().Has(n) {
		return table.Header{}, false
	}
	h := m.View.Header(n)
	return table.Header{Hash: h.Hash, Parent: h.Parent, Time: h.Time}, true
}

// Orphan implements [table.Moment].
func (m moment) Orphan(n block.Number, hash block.Hash) (block.Number, bool) {
	for _, o := range m.orphans {
		if o.blocks.Has(n) && newKey(m.config.Seed, o.fork, n).hash(saltBlock) == hash {
			return m.parting(n, o.fork), true
		}
	}
	return 0, false
}

// parting goes down the branch of an orphaned block to the first block of it
// that is not in the chain.
func (m moment) parting(n block.Number, on uint32) block.Number {
	for n > m.config.Start {
		below := on
		for n-1 < m.forks[below].start {
			below = m.forks[below].parent
		}
		if n-1 < m.end && m.fork(n-1) == below {
			break
		}
		n, on = n-1, below
	}
	return n
}
