package sink

import (
	"fmt"
	"maps"
	"slices"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
)

// Remove is the kind of a [Removal]. No entry of a log is of this kind.
const Remove entry.Kind = "remove"

// Removal returns the change that takes the blocks of r out of a destination, rows and
// coverage, so that they can be loaded again. See [Writer] for its rules. Blocks of the
// live lane should be final: as the history's they are not compared with the chain when
// an epoch begins.
func Removal(r block.Range) Change {
	return Change{Header: entry.Header{Kind: Remove, Range: r}}
}

// UnconfirmedError is the error of a [Removal] of blocks that the live chain brings: it has
// confirmed those below Next. It is permanent.
type UnconfirmedError struct {
	Blocks block.Range
	Next   block.Number
}

// Error returns what to do about it.
func (e *UnconfirmedError) Error() string {
	return fmt.Sprintf("blocks %v cannot be removed: the live chain has confirmed those below block %d, "+
		"and brings the others itself; remove blocks below %d", e.Blocks, e.Next, e.Next)
}

// remove takes out the blocks of r. What else the destination has there, covered or not,
// goes as well: others may have written it.
func (l *CommitState) remove(r block.Range) (Step, error) {
	r.Start = max(r.Start, l.Pruned)
	if r.Empty() {
		return Step{}, nil
	}
	if l.Live.Started && r.End > l.Live.Start {
		next := l.Live.After()
		switch {
		case r.End <= next:
			l.Live.Start = r.End
		case r.Start < next || !l.without(r):
			return Step{}, fault.Permanent(&UnconfirmedError{Blocks: r, Next: next})
		}
	}
	l.Coverage.Remove(r)
	maps.DeleteFunc(l.Partial, func(n block.Number, _ Partial) bool { return r.Has(n) })
	return Step{Delete: []block.Range{r}}, nil
}

// without reports whether nothing of the blocks of r was committed: what a destination has
// there is of others.
func (l *CommitState) without(r block.Range) bool {
	for n := range l.Partial {
		if r.Has(n) {
			return false
		}
	}
	return slices.Equal(l.Coverage.Missing(r), []block.Range{r})
}
