package apply

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/arrowfmt"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/deadletter"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
)

// DeadLetters is where rows go that a destination refuses; [queue.DeadLetters] is one. Its
// methods may be called concurrently, and are repeated after an error that is not
// permanent.
type DeadLetters interface {
	// Put stores letters durably, each in place of one with the same block and id.
	Put(ctx context.Context, letters []deadletter.Letter) error
	// TakeBack removes the letters of the blocks at or above from that are void after a
	// change of the live lane of that epoch and sequence ([deadletter.Origin.VoidAfter]).
	TakeBack(ctx context.Context, from block.Number, epoch, seq uint64) error
}

// lettersPause is the longest pause before a letter is stored again that could not be.
const lettersPause = 5 * time.Second

// refusal returns the row that a destination refuses, if that is what an error says, and
// if refused rows are put aside.
func (w *worker) refusal(err error) *sink.BadRowError {
	bad, is := errors.AsType[*sink.BadRowError](err)
	if !is || w.DeadLetters == nil {
		return nil
	}
	return bad
}

// putAside commits an entry without the rows that the destination refuses, of which err
// names the first. Each is a dead letter before the entry is applied without it: a row is
// never missing in both.
func (w *worker) putAside(u unit, err error) error {
	before := w.lane
	after, failed := w.takeBack([]sink.Change{u.change})
	if failed != nil {
		return failed
	}
	r := &refusedRows{change: u.change, table: w.Table}
	first := err
	for {
		letter, located := r.add(w.refusal(err))
		if !located {
			return fmt.Errorf("log entry %d of blocks %v: %w", u.change.Seq, u.change.Range, err)
		}
		stored := w.letters("store a dead letter", func(ctx context.Context) error {
			return w.DeadLetters.Put(ctx, []deadletter.Letter{letter})
		})
		letter.Release()
		if stored != nil {
			return stored
		}
		for _, s := range w.stalls {
			s.committed() // it gets on
		}
		rest := r.rest()
		begin := time.Now()
		applied, refused := w.commit([]sink.Change{rest})
		u.message.trace.Worked(w.step, w.work, 1, refused)
		release(rest)
		if refused == nil {
			u.dead = len(r.rows)
			w.Logger.Warn().Int("rows", u.dead).Stringer("blocks", u.change.Range).Err(first).
				Msg("rows were refused and became dead letters")
			w.moved(before, after)
			w.committer.wrote([]unit{u}, applied, time.Since(begin))
			return nil
		}
		if w.refusal(refused) == nil {
			return refused
		}
		err = refused
	}
}

// letters repeats, visibly, what is done to the dead letters until it is done.
func (w *worker) letters(doing string, op func(context.Context) error) error {
	backoff := fault.Backoff{GiveUp: fault.Forever, Min: w.Backoff.Min, Max: cmp.Or(w.Backoff.Max, lettersPause)}
	err := fault.Retry(w.take, backoff, op, func(err error, _ time.Duration) { w.pauser.Pause(fmt.Errorf("%s: %w", doing, err)) })
	switch {
	case err == nil:
		w.pauser.Resume()
		return nil
	case w.take.Err() != nil:
		return errStopped // what waits is still the reason
	default:
		return fault.Permanent(fmt.Errorf("%s: %w", doing, err))
	}
}

// refusedRows is an entry and the rows of it that were refused so far.
type refusedRows struct {
	change sink.Change
	table  sink.Table
	rows   []int                     // positions in the entry, ascending
	ids    map[block.Number][]string // of the rows of blocks that have refused ones
	firsts map[block.Number]int      // positions of their first rows
}

// add notes a row that was refused of what rest returned last, and returns its letter, which
// the caller releases. It returns false if that is no row of the entry.
func (r *refusedRows) add(bad *sink.BadRowError) (deadletter.Letter, bool) {
	if bad == nil || bad.Row < 0 {
		return deadletter.Letter{}, false
	}
	row := bad.Row
	at := 0
	for at < len(r.rows) && r.rows[at] <= row { // it was counted without these
		row++
		at++
	}
	rec, i := r.find(row)
	if rec == nil {
		return deadletter.Letter{}, false
	}
	blocks, err := sink.BlocksOf(rec, r.table.BlockColumn)
	if err != nil || blocks.At(i) != bad.Block {
		return deadletter.Letter{}, false
	}
	r.rows = slices.Insert(r.rows, at, row)
	return deadletter.Letter{
		Block: bad.Block, ID: r.id(bad.Block, row), Row: row,
		Column: bad.Column, Value: cmp.Or(bad.Value, shownValue(rec, bad.Column, i)), Error: bad.Reason,
		Origin: deadletter.Origin{Live: r.change.Live, Epoch: r.change.Epoch, Seq: r.change.Seq},
		Source: rec.NewSlice(int64(i), int64(i)+1),
	}, true
}

// find returns the record that has a row of the entry, and the row's position in it.
func (r *refusedRows) find(row int) (arrow.RecordBatch, int) {
	for _, rec := range r.change.Records {
		if row < int(rec.NumRows()) {
			return rec, row
		}
		row -= int(rec.NumRows())
	}
	return nil, 0
}

// id returns the id of a row of a block.
func (r *refusedRows) id(n block.Number, row int) string {
	if _, known := r.ids[n]; !known {
		r.identify(n)
	}
	return r.ids[n][row-r.firsts[n]]
}

// identify finds the ids of the rows of a block, which follow each other.
func (r *refusedRows) identify(n block.Number) {
	if r.ids == nil {
		r.ids, r.firsts = make(map[block.Number][]string), make(map[block.Number]int)
	}
	ids := deadletter.NewIDs(r.change.Part, r.change.Parts)
	row := 0
	for _, rec := range r.change.Records {
		blocks, err := sink.BlocksOf(rec, r.table.BlockColumn)
		if err != nil {
			return // the entry was checked
		}
		rows := deadletter.RowsOf(rec)
		for i := blocks.Search(n); i < blocks.Len() && blocks.At(i) == n; i++ {
			if len(r.ids[n]) == 0 {
				r.firsts[n] = row + i
			}
			r.ids[n] = append(r.ids[n], ids.Next(rows.Content(i)))
		}
		row += blocks.Len()
	}
}

// rest returns the entry without the rows that were refused. The caller releases it.
func (r *refusedRows) rest() sink.Change {
	rest := r.change
	rest.Records = nil
	rest.Rows = r.change.Rows - len(r.rows)
	refused, first := r.rows, 0
	for _, rec := range r.change.Records {
		from, end := first, first+int(rec.NumRows())
		for from < end {
			to := end
			if len(refused) > 0 && refused[0] < end {
				to = refused[0]
				refused = refused[1:]
			}
			if from < to {
				rest.Records = append(rest.Records, rec.NewSlice(int64(from-first), int64(to-first)))
			}
			if to == end {
				break
			}
			from = to + 1
		}
		first = end
	}
	return rest
}

// shownLength is how much of a value people see, in bytes.
const shownLength = 100

// shownValue returns a value for people; "" if there is none.
func shownValue(rec arrow.RecordBatch, column string, i int) string {
	at := rec.Schema().FieldIndices(column)
	if len(at) != 1 || arrowfmt.NullsOf(rec.Column(at[0])).Null(i) {
		return ""
	}
	return fault.Shorten(string(arrowfmt.Options(0).Text(rec.Column(at[0]))(nil, i)), shownLength)
}

// liveLane is what a worker knows of the live lane in its destination.
type liveLane struct {
	known bool
	state sink.LiveState // as committed, or as this worker has it staged
}

// takeBack removes the letters of the blocks that live changes are about to take back. It
// returns how the lane is when they are written.
func (w *worker) takeBack(changes []sink.Change) (after liveLane, err error) {
	if w.DeadLetters == nil {
		return liveLane{}, nil
	}
	after = w.lane
	for _, c := range changes {
		if !c.Live {
			continue
		}
		next, isNext, err := c.Advance(after.state)
		if !after.known || (err != nil && !w.committer.holds()) { // another process may have written it
			after, err = w.readLane()
			if err != nil {
				return liveLane{}, err
			}
			next, isNext, err = c.Advance(after.state)
		}
		if err != nil {
			return liveLane{}, nil // the writer says so, too
		}
		if !isNext {
			continue
		}
		from, some := c.TakesBack(after.state)
		if some {
			err := w.letters("remove dead letters", func(ctx context.Context) error {
				return w.DeadLetters.TakeBack(ctx, from, c.Epoch, c.Seq)
			})
			if err != nil {
				return liveLane{}, err
			}
		}
		after.state = next
	}
	return after, nil
}

func (w *worker) readLane() (liveLane, error) {
	var now sink.State
	_, err := w.retry(func(ctx context.Context) (_ sink.Applied, err error) {
		now, err = w.Writer.State(ctx)
		return sink.Applied{}, err
	})
	return liveLane{known: err == nil, state: now.Live}, err
}

// moved notes how the lane is now, unless what was staged of it was discarded meanwhile.
func (w *worker) moved(before, after liveLane) {
	if w.lane == before {
		w.lane = after
	}
}
