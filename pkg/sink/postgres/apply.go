package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/postgres/pgcopy"
)

// attempts bounds how often a call begins again when others were in its way.
// From the second time on it has the table to itself, so only a deadlock with
// somebody else's statements can repeat.
const attempts = 5

// Reasons to begin again, alone.
var (
	errAlone = errors.New("rows have to be deleted or kept, which takes the table alone")
	errStale = errors.New("another writer has covered some of these blocks meanwhile")
	// errAltered makes the next attempt compare what is stored with what was sent.
	errAltered = errors.New("a trigger of the table may change rows that are copied into it")
)

// Apply makes the changes in one transaction; see [sink.Writer].
//
// Changes that only add hold the lock of the table shared. They read what is
// covered, write their rows, and then, one transaction after the other, read it
// again: if the rules still say the same, the coverage is extended and
// committed; if not, everything is rolled back. Changes that take away hold the lock alone,
// so that what they read stays true. So do those of the live lane, unless others write at
// this moment: then they add beside them instead of waiting for them.
func (w *Writer) Apply(ctx context.Context, changes []sink.Change) (sink.Applied, error) {
	if w.pool == nil {
		return sink.Applied{}, errNotOpen
	}
	s := w.borrow()
	defer w.scratch.Put(s)
	s.apart = false
	applied, err := w.applyPredicted(ctx, s, changes)
	if !errors.Is(err, errUnpredicted) {
		return applied, err
	}
	mode := w.lockFor(changes)
	renewed := false
	for i := 1; ; i++ {
		applied, err = w.attempt(ctx, s, changes, mode)
		if err == nil {
			return applied, nil
		}
		if missing, ok := errors.AsType[missingPartitions](err); ok {
			err = w.addPartitions(ctx, missing)
			if err == nil {
				i-- // nothing was in its way
				continue
			}
			return sink.Applied{}, w.classed(ctx, "make partitions", err)
		}
		classed := w.classed(ctx, "write rows", err)
		switch {
		case errors.Is(err, errUnchecked):
			i-- // nothing was in its way
			s.apart = true
		case i < attempts && errors.Is(err, errNoPartition):
			w.partitions.forget()
		case i < attempts && isConflict(err):
			mode = lockAlone
		case i < attempts && !renewed && refusedBySession(err) && fault.Of(classed) == fault.ClassPermanent:
			renewed = true // its connections are new now
		default:
			return sink.Applied{}, w.classed(ctx, "write rows", w.narrow(ctx, s, changes, err))
		}
	}
}

// lockFor returns which lock the first attempt to apply changes takes. Whether a live change
// takes back is known only when the state has been read.
func (w *Writer) lockFor(changes []sink.Change) lockMode {
	mode := lockShared
	for _, c := range changes {
		switch {
		case c.Kind == sink.Remove || (c.Live && w.spec.replaces()):
			return lockAlone
		case c.Live:
			mode = lockFree
		}
	}
	return mode
}

// isConflict reports whether a call failed because of others that ran beside it.
func isConflict(err error) bool {
	return errors.Is(err, errAlone) || errors.Is(err, errStale) || errors.Is(err, errAltered) ||
		slices.Contains([]string{exclusionViolation, deadlockDetected, serializationError}, sqlState(err))
}

// scratch is the memory that calls of Apply hand on.
type scratch struct {
	buf    []byte
	last   map[key]place // of upsert
	bounds []keyBounds   // of upsert, and the key of a row
	key    []byte
	strict bool   // an upsert is compared with what is stored
	apart  bool   // the commit waits for the answers about what is written
	trial  *trial // nil: all rows are written
}

func (w *Writer) borrow() *scratch {
	if s, ok := w.scratch.Get().(*scratch); ok {
		return s
	}
	return &scratch{buf: make([]byte, 0, pgcopy.Chunk+pgcopy.Chunk/4)}
}

// window returns the blocks that changes are about. What a live change does may
// reach to the end of the chain.
func window(changes []sink.Change) block.Range {
	r := changes[0].Range
	for _, c := range changes {
		r.Start, r.End = min(r.Start, c.Range.Start), max(r.End, c.Range.End)
		if c.Live {
			r.End = everything.End
		}
	}
	return r
}

// attempt applies the changes, or nothing of them.
func (w *Writer) attempt(ctx context.Context, s *scratch, changes []sink.Change, mode lockMode) (sink.Applied, error) {
	if len(changes) == 0 {
		return sink.Applied{}, nil
	}
	s.strict = w.altering.Load()
	var (
		applied sink.Applied
		known   *commitState // what is committed, if it stays so until others write
	)
	err := w.inWrite(ctx, mode, window(changes), func(tx *transaction, found *written) (err error) {
		l, p, alone := found.commitState, found.replaced, found.alone
		live := l.Live
		predictable := alone && slices.ContainsFunc(changes, func(c sink.Change) bool { return c.Live })
		if predictable {
			if predictable, err = w.preparePredicted(ctx, tx.Conn()); err != nil {
				return err
			}
		}
		if slices.ContainsFunc(changes, func(c sink.Change) bool { return c.Live && live.Started && c.Epoch > live.Epoch }) {
			// The first entry of an epoch may void more than its own blocks.
			if !alone {
				return errAlone
			}
			var all pgx.Batch
			l = queueCommitState(&all, w.id, everything)
			if err := tx.SendBatch(ctx, &all).Close(); err != nil {
				return err
			}
		}
		steps, err := w.take(l, changes)
		if err != nil {
			return err
		}
		p.at(l.Live)
		if !alone && (p.alone(changes) || slices.ContainsFunc(steps, func(s sink.Step) bool { return len(s.Delete) > 0 })) {
			return errAlone
		}
		if err := w.partitionsFor(steps); err != nil {
			return err
		}
		if applied, err = w.write(ctx, tx, s, p, steps); err != nil {
			return err
		}
		if !alone {
			if l, live, err = w.confirm(ctx, tx, changes, steps); err != nil {
				return err
			}
		}
		var tell pgx.Batch
		l.queueChanges(&tell, w.id, live)
		told := tell.Len()
		p.queueChanges(&tell, live, l.Live)
		if !s.apart && !w.altering.Load() && tell.Len() == told {
			l.queueCheck(&tell, w.id, w.spec)
			if predictable {
				known = l
			}
			return tx.commitWith(ctx, &tell)
		}
		altering := false
		if applied.Rows > 0 {
			w.spec.queueGuard(&tell, &altering)
		}
		if err := tx.SendBatch(ctx, &tell).Close(); err != nil {
			return err
		}
		if altering {
			return w.compare(ctx, tx, s, steps)
		}
		w.altering.Store(false)
		return nil
	})
	if err != nil {
		return sink.Applied{}, ofForeignKey(ctx, w.pool, explained(ctx, w.pool, err))
	}
	if known != nil {
		w.predicted.remember(known)
	}
	return applied, nil
}

// take asks the rules what the changes do.
func (w *Writer) take(l *commitState, changes []sink.Change) ([]sink.Step, error) {
	steps := make([]sink.Step, len(changes))
	for i, c := range changes {
		if err := checkSequence(c); err != nil {
			return nil, err
		}
		step, err := l.Take(c, w.spec.block)
		if err != nil {
			return nil, err
		}
		steps[i] = step
	}
	return steps, nil
}

// confirm waits until no other transaction can commit to the table, and asks the
// rules again. It returns what is committed with the changes, and the live state without
// them.
func (w *Writer) confirm(
	ctx context.Context, tx pgx.Tx, changes []sink.Change, steps []sink.Step,
) (l *commitState, live sink.LiveState, err error) {
	var ask pgx.Batch
	ask.Queue(statement("lock-to-confirm"), w.id)
	l = queueCommitState(&ask, w.id, window(changes))
	if err := tx.SendBatch(ctx, &ask).Close(); err != nil {
		return nil, live, err
	}
	live = l.Live
	again, err := w.take(l, changes)
	if err != nil {
		return nil, live, err
	}
	if !slices.EqualFunc(steps, again, sameStep) {
		return nil, live, errStale
	}
	return l, live, nil
}

func sameStep(a, b sink.Step) bool {
	return slices.Equal(a.Covered, b.Covered) && slices.Equal(a.Write, b.Write) && slices.Equal(a.Delete, b.Delete)
}

// write does what the steps say, in their order. Rows of several steps go into
// one COPY until some have to be deleted first.
func (w *Writer) write(ctx context.Context, tx pgx.Tx, s *scratch, p *replacedRows, steps []sink.Step) (sink.Applied, error) {
	var (
		applied sink.Applied
		runs    []sink.RowRange
	)
	flush := func() error {
		n, err := w.writeRuns(ctx, tx, s, p, runs)
		applied.Rows += n
		runs = runs[:0]
		return err
	}
	for _, step := range steps {
		if len(step.Delete) > 0 {
			if err := flush(); err != nil {
				return sink.Applied{}, err
			}
		}
		for _, r := range step.Delete {
			n, err := w.delete(ctx, tx, p, r)
			if err != nil {
				return sink.Applied{}, err
			}
			applied.Deleted += n
		}
		runs = append(runs, step.Write...)
		applied.Skipped += step.Skipped
	}
	if err := flush(); err != nil {
		return sink.Applied{}, err
	}
	return applied, nil
}

// delete removes the rows of a range of blocks. What they had replaced comes back.
func (w *Writer) delete(ctx context.Context, tx pgx.Tx, p *replacedRows, r block.Range) (uint64, error) {
	if err := p.check(r); err != nil {
		return 0, err
	}
	column := quoted(w.spec.columns[w.spec.block].name)
	where, args := fmt.Sprintf("FROM %s WHERE %s >= $1::bigint", w.spec.quoted(), column), []any{int64(r.Start)}
	if r.End <= block.Max {
		where, args = where+fmt.Sprintf(" AND %s < $2::bigint", column), append(args, int64(r.End))
	}
	// Counting is planned like deleting; EXISTS, which expects to find a row soon, may
	// read the table from its beginning.
	deleted, err := w.deleteRows(ctx, tx, "delete", r, "DELETE "+where, "SELECT count(*) "+where, args...)
	if err != nil {
		return 0, err
	}
	return deleted, p.restore(ctx, tx, r)
}

// deleteRows deletes rows of blocks, and fails if some are left.
func (w *Writer) deleteRows(ctx context.Context, tx pgx.Tx, verb string, blocks any, remove, count string, args ...any) (uint64, error) {
	var (
		b             pgx.Batch
		deleted, left int64
	)
	b.Queue(remove, args...).Exec(func(tag pgconn.CommandTag) error {
		deleted = tag.RowsAffected()
		return nil
	})
	b.Queue(count, args...).QueryRow(func(row pgx.Row) error { return row.Scan(&left) })
	if err := tx.SendBatch(ctx, &b).Close(); err != nil {
		return 0, fmt.Errorf("%s blocks %v: %w", verb, blocks, err)
	}
	if left > 0 {
		return 0, w.spec.discrepancy("DELETE of blocks %v left %d rows of them in the table", blocks, left)
	}
	return uint64(deleted), nil
}

// writeRuns writes rows and counts those that are in the table now.
func (w *Writer) writeRuns(ctx context.Context, tx pgx.Tx, s *scratch, p *replacedRows, runs []sink.RowRange) (uint64, error) {
	portions, err := w.spec.prepare(runs)
	if err != nil || len(portions) == 0 {
		return 0, err
	}
	if w.spec.upsert() {
		return w.upsert(ctx, tx, s, p, portions)
	}
	if s.trial != nil {
		portions = s.trial.limit(portions)
	}
	if len(portions) == 0 {
		return 0, nil
	}
	return w.copy(ctx, tx, s, "", w.spec.quoted(), portions)
}
