package sink

import (
	"fmt"
	"maps"
	"slices"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
)

// CommitState is everything a destination has committed of a pipeline, and the rules
// by which a change becomes part of it. It is pure: a Writer reads its CommitState,
// passes the changes of a call to Take one after the other, does what each [Step] says
// and commits the rows with the CommitState, or neither. It is not safe for concurrent
// use. A Writer may keep it as JSON: that form is read by all later versions.
type CommitState struct {
	State
	Partial map[block.Number]Partial // blocks of which not all parts have arrived
}

// Partial is what has arrived of a block that was split into parts.
type Partial struct {
	Batch string
	Parts int
	Have  []int // ascending
}

// Step is what one change does to the rows of a destination: first Delete, then
// Write.
type Step struct {
	Delete  []block.Range // an open end is [block.Max] + 1
	Write   []RowRange
	Covered []block.Range // blocks that are whole now and were not before
	Skipped uint64        // rows that are not written
}

// Clone returns a CommitState that shares nothing with l that Take changes.
func (l *CommitState) Clone() *CommitState {
	return &CommitState{
		State:   State{Coverage: l.Coverage.Clone(), Live: l.Live, Pruned: l.Pruned},
		Partial: maps.Clone(l.Partial),
	}
}

// Take adds a change and returns what to do with its rows. column is the index of the
// block column. It returns [ErrGap] for a live change whose predecessor is missing;
// other errors are permanent. After an error the CommitState is as before.
func (l *CommitState) Take(c Change, column int) (Step, error) {
	rows := rowsOf(c)
	if !c.Live && c.Kind == Remove {
		return l.remove(c.Range)
	}
	if !c.Live {
		if c.Kind != entry.Data {
			return Step{}, fault.Permanent(fmt.Errorf("a %q entry of blocks %v stands in a partition's lane, where only data may; "+
				"the log is damaged or was not written by ampipe", c.Kind, c.Range))
		}
		return l.takeData(c, column)
	}

	next, ok, err := c.Advance(l.Live)
	if err != nil {
		return Step{}, err
	}
	if !ok {
		return Step{Skipped: rows}, nil
	}
	var step Step
	begins, takesBack := c.TakesBack(l.Live)
	switch c.Kind {
	case entry.Data:
		work := l
		if takesBack {
			// The live lane owns its blocks from the first on: what history has
			// written there may be of another fork.
			work = l.Clone()
			step.Delete = work.removeFrom(begins)
		}
		data, err := work.takeData(c, column)
		if err != nil {
			return Step{}, err
		}
		*l = *work
		data.Delete = append(step.Delete, data.Delete...)
		step = data
	case entry.Invalidate:
		l.removeFrom(begins)
		step.Delete = []block.Range{l.voided(begins)}
	case entry.Watermark:
		if takesBack {
			step.Delete = l.removeFrom(begins)
		}
	default:
		return Step{}, fault.Permanent(fmt.Errorf("live entry %d is of an unknown kind %q; it needs a newer ampipe", c.Seq, c.Kind))
	}
	l.Live = next
	return step, nil
}

// takeData covers the blocks of a data entry that are not covered yet and, for
// an entry of history, lie below the live start.
func (l *CommitState) takeData(c Change, column int) (Step, error) {
	if !c.Whole() {
		return l.takePart(c)
	}
	var liveStart *block.Number
	if !c.Live && l.Live.Started {
		liveStart = &l.Live.Start
	}
	runs, fresh, err := Trim(c, column, l.Coverage, liveStart)
	if err != nil {
		return Step{}, err
	}
	step := Step{Write: runs, Covered: fresh, Skipped: rowsOf(c) - CountRows(runs)}
	for _, r := range fresh {
		l.Coverage.Add(r)
		for _, n := range slices.Sorted(maps.Keys(l.Partial)) {
			if r.Has(n) {
				delete(l.Partial, n)
				step.Delete = append(step.Delete, block.Closed(n, n))
			}
		}
	}
	return step, nil
}

// takePart notes one part of a block. The block is covered with its last part.
func (l *CommitState) takePart(c Change) (Step, error) {
	n := c.Range.Start
	if c.Range.Len() != 1 || c.Parts < 0 || c.Part < 0 || c.Part >= c.Parts {
		return Step{}, fault.Permanent(fmt.Errorf("entry of blocks %v says to be part %d of %d, numbered from 0, of one block; "+
			"the log is damaged or was not written by ampipe", c.Range, c.Part, c.Parts))
	}
	if l.Coverage.Has(n) || (!c.Live && l.Live.Started && n >= l.Live.Start) {
		return Step{Skipped: rowsOf(c)}, nil
	}
	var step Step
	have, some := l.Partial[n]
	if some && (have.Batch != c.Batch || have.Parts != c.Parts) {
		step.Delete = []block.Range{c.Range}
		some = false
	}
	if !some {
		have = Partial{Batch: c.Batch, Parts: c.Parts}
	}
	at, done := slices.BinarySearch(have.Have, c.Part)
	if done {
		return Step{Skipped: rowsOf(c)}, nil
	}
	have.Have = slices.Insert(slices.Clone(have.Have), at, c.Part)
	if l.Partial == nil {
		l.Partial = make(map[block.Number]Partial)
	}
	l.Partial[n] = have
	if len(have.Have) == have.Parts {
		delete(l.Partial, n)
		l.Coverage.Add(c.Range)
		step.Covered = []block.Range{c.Range}
	}
	row := 0
	for _, rec := range c.Records {
		if rows := int(rec.NumRows()); rows > 0 {
			step.Write = append(step.Write, RowRange{Record: rec, To: rows, Entry: row})
			row += rows
		}
	}
	return step, nil
}

// removeFrom removes every block at or above n that was not pruned, and returns the ranges whose rows are to
// be deleted.
func (l *CommitState) removeFrom(n block.Number) []block.Range {
	void := l.voided(n)
	found := false
	for _, r := range l.Coverage.Ranges() {
		found = found || !r.Intersect(void).Empty()
	}
	l.Coverage.Remove(void)
	for partial := range l.Partial {
		if void.Has(partial) {
			found = true
			delete(l.Partial, partial)
		}
	}
	if !found {
		return nil
	}
	return []block.Range{void}
}

// Advance returns the state of the live lane after c. It returns false for a change
// that has been applied already, and [ErrGap] for one whose predecessor has not. The
// first change may come from the middle of a lane, but begins a block: what stood
// before it may have been returned to the log after it was passed on. Sequences count
// within an epoch: one of a later epoch starts a lane again. A [Rejoin] sets the state that
// it names, once.
func (c Change) Advance(s LiveState) (LiveState, bool, error) {
	if r := c.Rejoin; r != nil {
		if s != r.From {
			return s, false, nil
		}
		return r.To, true, nil
	}
	switch {
	case !s.Started && (c.Kind == entry.Watermark || c.Part > 0):
		return s, false, fmt.Errorf("live entry %d closes or continues what began before it, and nothing of that was applied: %w", c.Seq, ErrGap)
	case !s.Started:
		s = LiveState{Started: true, Start: c.Range.Start}
	case c.Epoch < s.Epoch || (c.Epoch == s.Epoch && c.Seq <= s.Seq):
		return s, false, nil
	case c.Epoch > s.Epoch && c.After != 0:
		return s, false, fmt.Errorf("live entry %d of epoch %d follows %d, and none of that epoch was applied yet: %w",
			c.Seq, c.Epoch, c.After, ErrGap)
	case c.StartsBeyond(s):
		s.Start, s.Cursor = c.Range.Start, block.Cursor{}
		if c.Kind == entry.Invalidate && c.Range.Start > 0 && !c.Prev.IsZero() {
			s.Cursor = block.Cursor{Network: c.Network, Number: c.Range.Start - 1, Hash: c.Prev}
		}
	case c.Epoch == s.Epoch && c.After != s.Seq:
		return s, false, fmt.Errorf("live entry %d follows %d, and %d was applied last: %w", c.Seq, c.After, s.Seq, ErrGap)
	}
	s.Epoch, s.Seq = c.Epoch, c.Seq
	switch {
	case c.Closes():
		s.Cursor = block.Cursor{Network: c.Network, Number: c.Range.Last(), Hash: c.Hash}
	case c.Kind == entry.Invalidate:
		s.Start = min(s.Start, c.Range.Start)
		switch {
		case c.Range.Start == 0:
			s.Cursor = block.Cursor{}
		case s.Cursor.Number >= c.Range.Start:
			s.Cursor = block.Cursor{Network: c.Network, Number: c.Range.Start - 1, Hash: c.Prev}
		}
	}
	return s, true, nil
}

// TakesBack returns the first block from which on c, which is the next change of the live
// lane, deletes what a destination holds; false if it deletes nothing.
func (c Change) TakesBack(s LiveState) (from block.Number, some bool) {
	from, some = c.Range.Start, !s.Started || c.Kind == entry.Invalidate
	if c.StartsBeyond(s) {
		from, some = s.Start, true
	}
	return from, some
}

// StartsBeyond reports whether c starts a new epoch beyond what a destination has
// confirmed: above the block after its cursor, or at that block but on another parent.
// Its live blocks may be on an orphaned fork then, so they are rolled back and
// backfilled. If c has no parent hash, only the numbers are compared.
func (c Change) StartsBeyond(s LiveState) bool {
	if !s.Started || c.Epoch <= s.Epoch || c.Rejoin != nil {
		return false
	}
	switch next := s.After(); {
	case c.Range.Start != next:
		return c.Range.Start > next
	case s.Cursor.Hash.IsZero() || c.Prev.IsZero():
		return false
	default:
		return c.Prev != s.Cursor.Hash
	}
}

func rowsOf(c Change) uint64 {
	var n uint64
	for _, rec := range c.Records {
		n += uint64(rec.NumRows())
	}
	return n
}
