package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ampipe/ampipe/pkg/sink"
)

// errTried rolls a trial back.
var errTried = errors.New("only a trial")

// searchTime bounds looking for a row. Each try takes the table alone, for no longer than
// the rows of one change take; in between others have their turn.
const searchTime = 20 * time.Second

// narrow names the row for which the server refuses a change, where it has not said which
// one: with foreign keys, with constraints that wait for the end of the transaction, and
// with rows of an upsert that go through a temporary table. It tries the change with
// fewer and fewer of its rows, about 15 times, each time in a transaction that is rolled
// back. If that finds no row, the error stays as it is; if it takes too long, the error
// says between which blocks the row is.
func (w *Writer) narrow(ctx context.Context, s *scratch, changes []sink.Change, err error) error {
	pg, _, ok := refused(err)
	if !ok || len(changes) != 1 {
		return err // the caller divides what are several
	}
	began := time.Now()
	none := trial{}
	if w.try(ctx, s, changes, &none) != nil {
		return err // not because of a row
	}
	rows := none.rows
	passes, fails := 0, int(countRows(rows))
	for next := fails; fails > 0; next = (passes + fails) / 2 {
		refusal := w.try(ctx, s, changes, &trial{first: next})
		again, _, same := refused(refusal)
		switch {
		case refusal == nil && next == fails:
			return err // it would be taken now
		case refusal == nil:
			passes = next
		case !same || again.Code != pg.Code:
			return err
		default:
			pg, fails = again, next
		}
		if fails-passes == 1 {
			return w.nameRow(rows, fails, pg, err)
		}
		if took := time.Since(began); took > w.search {
			return w.nameBlocks(rows, passes+1, fails, took, err)
		}
	}
	return err
}

// nameRow returns an error about the n-th row, from 1, of those that are written.
func (w *Writer) nameRow(rows []portion, n int, pg *pgconn.PgError, err error) error {
	p, row, found := nth(rows, n)
	if !found {
		return err
	}
	return w.spec.bad(p, row, w.spec.badRow(pg))
}

// nameBlocks returns an error that says of which blocks the rows from one to another are.
func (w *Writer) nameBlocks(rows []portion, from, to int, took time.Duration, err error) error {
	first, at, found := nth(rows, from)
	last, end, ends := nth(rows, to)
	if !found || !ends {
		return err
	}
	low, lowErr := sink.BlocksOf(first.record, w.spec.block)
	high, highErr := sink.BlocksOf(last.record, w.spec.block)
	if lowErr != nil || highErr != nil {
		return err
	}
	return fmt.Errorf("one of %d rows of the blocks %d to %d (looking for it was given up after %v): %w",
		to-from+1, low.At(at), high.At(end), took.Round(time.Second), err)
}

// trial is a change that is made with some of its rows only, and rolled back.
type trial struct {
	first int       // how many rows are written
	rows  []portion // all that would be
}

// limit returns the first rows of portions. Rows that others of the change replace are
// left out before, so that what is written is a part of what the change writes.
func (t *trial) limit(portions []portion) []portion {
	t.rows = portions
	var some []portion
	left := t.first
	for _, p := range portions {
		if left == 0 {
			break
		}
		to := p.From
		for ; to < p.To && left > 0; to++ {
			if !p.Dropped(to) {
				left--
			}
		}
		p.To = to
		if p.Drop != nil {
			p.Drop, p.kept = p.Drop[:p.Len()], p.kept[:p.Len()]
		}
		some = append(some, p)
	}
	return some
}

// whole reports whether all rows are written.
func (t *trial) whole() bool { return t.first >= int(countRows(t.rows)) }

// try makes a trial of changes, and returns nil or the error of the server.
func (w *Writer) try(ctx context.Context, s *scratch, changes []sink.Change, t *trial) error {
	s.trial = t
	defer func() { s.trial = nil }()
	err := w.inWrite(ctx, lockAlone, everything, func(tx *transaction, found *written) error {
		steps, err := w.take(found.commitState, changes)
		if err != nil {
			return err
		}
		found.replaced.at(found.Live)
		if _, err := w.write(ctx, tx, s, found.replaced, steps); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE"); err != nil {
			return err
		}
		return errTried
	})
	if errors.Is(err, errTried) {
		return nil
	}
	return err
}
