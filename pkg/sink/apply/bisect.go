package apply

import (
	"errors"
	"fmt"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sink"
)

// maxBisections is how many transactions may fail while the refused entries of a batch
// are looked for. It is enough for several bad rows anywhere; when every entry is
// refused, for instance because the table is gone, it ends the search.
const maxBisections = 64

// bisection is one search.
type bisection struct{ left int }

// bisect commits what it can of units that cannot be committed together: it halves
// them until those that fail are alone, and commits the blocks around the refused one.
// Nothing of the live lane is committed after an entry that failed or came too early.
func (w *worker) bisect(units []unit, err error, i *bisection) error {
	if w.refusal(err) == nil { // else each failure brings it forward: a row is put aside
		i.left--
	}
	if i.left <= 0 {
		return err
	}
	if len(units) == 1 && w.refusal(err) != nil {
		return w.putAside(units[0], err)
	}
	if len(units) == 1 {
		return w.around(units[0], err, i)
	}
	half := len(units) / 2
	first := w.apply(units[:half], i)
	if first != nil && (errors.Is(first, errStopped) || units[half].change.Live) {
		return first
	}
	second := w.apply(units[half:], i)
	if first == nil {
		return second
	}
	return first
}

// around commits the blocks of an entry before and after a refused one. The
// entry is not acknowledged: what is committed of it will be skipped.
func (w *worker) around(u unit, err error, i *bisection) error {
	bad, ok := errors.AsType[*sink.BadRowError](err)
	c := u.change
	if !ok || c.Live || !c.Whole() || !c.Range.Has(bad.Block) {
		return fmt.Errorf("log entry %d of blocks %v: %w", c.Seq, c.Range, err)
	}
	w.commitRest(c, 0, bad, i)
	return err
}

// commitRest commits a change without the block of a refused row, and without
// those refused in turn. row is the position of the change's first row in its
// entry.
func (w *worker) commitRest(c sink.Change, row int, bad *sink.BadRowError, i *bisection) {
	rest := []block.Range{
		{Start: c.Range.Start, End: bad.Block},
		{Start: bad.Block + 1, End: c.Range.End},
	}
	for _, r := range rest {
		if r.Empty() {
			continue
		}
		part, first, err := within(c, w.Table.BlockColumn, r)
		if err != nil {
			return
		}
		applied, err := w.commit([]sink.Change{part})
		if err == nil {
			w.observe(Commit{Applied: applied, Ranges: []block.Range{r}})
		}
		next, refused := errors.AsType[*sink.BadRowError](err)
		refused = refused && r.Has(next.Block) && i.left > 1
		if refused {
			i.left--
			shown := *next
			shown.Row += row + first
			w.Logger.Error().Err(&shown).Msg("another row was refused")
			w.commitRest(part, row+first, next, i)
		}
		release(part)
		if err != nil && !refused {
			return
		}
	}
}

// within returns the part of a change that is of the blocks of r, and the position of
// its first row in the entry. The caller releases it.
func within(c sink.Change, column int, r block.Range) (sink.Change, int, error) {
	part, first, row := c, -1, 0
	part.Range, part.Records, part.Rows = c.Range.Intersect(r), nil, 0
	for _, rec := range c.Records {
		blocks, err := sink.BlocksOf(rec, column)
		if err != nil {
			release(part)
			return sink.Change{}, 0, err
		}
		if from, to := blocks.Search(part.Range.Start), blocks.Search(part.Range.End); from < to {
			if first < 0 {
				first = row + from
			}
			part.Records = append(part.Records, rec.NewSlice(int64(from), int64(to)))
			part.Rows += to - from
		}
		row += blocks.Len()
	}
	return part, max(first, 0), nil
}
