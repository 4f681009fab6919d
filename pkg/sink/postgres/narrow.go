package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ampipe/ampipe/pkg/sink"
)

// errTried rolls a trial back.
var errTried = errors.New("only a trial")

// narrow names the row for which the server refuses a change, where it has not said which
// one: with foreign keys, with constraints that wait for the end of the transaction, and
// with rows of an upsert that go through a temporary table. It tries the change with
// fewer and fewer of its rows, about 15 times, each time in a transaction that is rolled
// back. If that finds no row, the error stays as it is.
func (w *Writer) narrow(ctx context.Context, s *scratch, changes []sink.Change, err error) error {
	pg, _, ok := refused(err)
	if !ok || len(changes) != 1 {
		return err // the caller divides what are several
	}
	runs, refusal := w.trial(ctx, s, changes, 0)
	if refusal != nil {
		return err // not because of a row
	}
	passes, fails := 0, rowsOf(runs)
	for try := fails; fails > 0; try = (passes + fails) / 2 {
		_, refusal := w.trial(ctx, s, changes, try)
		again, _, same := refused(refusal)
		switch {
		case refusal == nil && try == fails:
			return err // it would be taken now
		case refusal == nil:
			passes = try
		case !same || again.Code != pg.Code:
			return err
		default:
			pg, fails = again, try
		}
		if fails-passes == 1 {
			return w.nameRow(runs, fails, pg, err)
		}
	}
	return err
}

// nameRow returns an error about the n-th row of runs, from 1.
func (w *Writer) nameRow(runs []sink.Run, n int, pg *pgconn.PgError, err error) error {
	portions, bound := w.target.prepare(runs)
	if bound != nil {
		return err
	}
	p, row, found := nth(portions, n)
	if !found {
		return err
	}
	return w.target.bad(p, row, w.target.badRow(pg))
}

// trial makes changes with their first n rows, and rolls them back. It returns all rows
// that would have been written, and nil or the error of the server.
func (w *Writer) trial(ctx context.Context, s *scratch, changes []sink.Change, n int) (runs []sink.Run, err error) {
	err = w.inWrite(ctx, true, func(tx pgx.Tx) error {
		var ask pgx.Batch
		w.queueLocks(&ask, true)
		l, p := queueLedger(&ask, w.id, everything), w.queuePast(&ask)
		if err := tx.SendBatch(ctx, &ask).Close(); err != nil {
			return err
		}
		steps, err := w.take(l, changes)
		if err != nil {
			return err
		}
		p.at(l.Live)
		runs = nil
		for i := range steps {
			first := n - rowsOf(runs)
			runs = append(runs, steps[i].Write...)
			steps[i].Write = firstRows(steps[i].Write, first)
		}
		if _, err := w.write(ctx, tx, s, p, steps); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE"); err != nil {
			return err
		}
		return errTried
	})
	if errors.Is(err, errTried) {
		err = nil
	}
	return runs, err
}

func rowsOf(runs []sink.Run) int {
	n := 0
	for _, r := range runs {
		n += r.Len()
	}
	return n
}

// firstRows returns the first n rows of runs.
func firstRows(runs []sink.Run, n int) []sink.Run {
	var first []sink.Run
	for _, r := range runs {
		if n <= 0 {
			break
		}
		r.To = min(r.To, r.From+n)
		n -= r.Len()
		first = append(first, r)
	}
	return first
}
