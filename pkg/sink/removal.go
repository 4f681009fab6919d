package sink

import (
	"fmt"
	"maps"

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

// remove takes out the blocks of r. What else the destination has there, covered or not,
// goes as well: others may have written it.
func (l *CommitState) remove(r block.Range) (Step, error) {
	if r.Empty() {
		return Step{}, nil
	}
	if l.Live.Started && r.End > l.Live.Start {
		next := l.Live.After()
		if r.End > next {
			return Step{}, fault.Permanent(fmt.Errorf("blocks %v cannot be removed: the live chain has confirmed those below block %d, "+
				"and brings the others itself; remove blocks below %d", r, next, next))
		}
		l.Live.Start = r.End
	}
	l.Coverage.Remove(r)
	maps.DeleteFunc(l.Partial, func(n block.Number, _ Partial) bool { return r.Has(n) })
	return Step{Delete: []block.Range{r}}, nil
}
