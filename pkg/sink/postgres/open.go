package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/jackc/pgx/v5"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
)

// Open connects, checks everything and makes what is missing; see [sink.Writer].
// Processes that open a table at the same time wait for each other, so it is made,
// and emptied for overwrite, once.
func (w *Writer) Open(ctx context.Context, t sink.Table) error {
	g, pool, err := w.begin(ctx, t)
	if err != nil {
		return err
	}
	return w.openWith(ctx, g, pool, pool.open)
}

// Connect connects and inspects the server and the table; see [sink.Connector]. To inspect
// them once more in the same session takes [Writer.Open] a small part of the time: the server
// has read its catalogs then.
func (w *Writer) Connect(ctx context.Context, t sink.Table) error {
	g, pool, err := w.begin(ctx, t)
	if err != nil {
		return err
	}
	err = pool.inTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly}, readPatience, func(tx pgx.Tx) error {
		if _, err := inspect(ctx, tx, g); err != nil {
			return err
		}
		_, err := foreignKeysTo(ctx, tx, g)
		return err
	})
	if err != nil {
		pool.Close()
		return opened(ctx, g, err)
	}
	w.connected = pool
	return nil
}

// openWith opens a table by a function that returns its id and what is to be said of it.
func (w *Writer) openWith(
	ctx context.Context, g *tableSpec, pool *sessions, open func(context.Context, *patience, bool) (int32, []string, error),
) error {
	id, warnings, err := open(ctx, &w.patience, false)
	if err != nil {
		err = explained(ctx, pool, err)
		pool.Close()
		return opened(ctx, g, err)
	}
	w.spec, w.pool, w.id, w.hasReplaced, w.warnings = g, pool, id, true, warnings
	return nil
}

// Check does all that [Writer.Open] does, in a transaction that is rolled back. The
// Writer need not be open, and is not after.
func (w *Writer) Check(ctx context.Context, t sink.Table) error {
	g, pool, err := w.begin(ctx, t)
	if err != nil {
		return err
	}
	defer pool.Close()
	_, warnings, err := pool.open(ctx, &w.patience, true)
	if err != nil {
		return opened(ctx, g, explained(ctx, pool, err))
	}
	w.warnings, w.checked = warnings, g
	return nil
}

// CheckRows returns the error of [Writer.Apply] for rows that the table does not take,
// as far as that is known without writing them. [Writer.Check] comes before.
func (w *Writer) CheckRows(rec arrow.RecordBatch) error {
	if w.checked == nil {
		return errNotOpen
	}
	_, err := w.checked.prepare([]sink.RowRange{{Record: rec, To: int(rec.NumRows())}})
	return err
}

// Reach connects and asks whether the server takes writes: what can be found out while
// the columns of the query are not known. It changes nothing.
func (w *Writer) Reach(ctx context.Context) error {
	g := &tableSpec{schema: w.cfg.Schema, table: w.cfg.Table}
	pool, err := connect(ctx, w.cfg, g)
	if err != nil {
		return opened(ctx, g, err)
	}
	defer pool.Close()
	err = pool.inTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, openPatience, func(tx pgx.Tx) error {
		return takesWrites(ctx, tx)
	})
	return opened(ctx, g, err)
}

func (w *Writer) begin(ctx context.Context, t sink.Table) (*tableSpec, *sessions, error) {
	g, err := newTableSpec(w.cfg, t)
	if err != nil {
		return nil, nil, err
	}
	if pool := w.connected; pool != nil {
		w.connected, pool.table = nil, g
		return g, pool, nil
	}
	pool, err := connect(ctx, w.cfg, g)
	return g, pool, opened(ctx, g, err)
}

// open makes what is missing and returns the id of the table and what is to be said of
// it. If the schema ampipe has to be brought up to date, that comes first, in a
// transaction of its own. If dry, everything is rolled back.
func (s *sessions) open(ctx context.Context, p *patience, dry bool) (id int32, warnings []string, err error) {
	for try := 1; ; try++ {
		id, warnings, err = s.openTable(ctx, dry)
		if errors.Is(err, errOutdated) {
			if err = s.migrate(ctx, p); err == nil {
				continue
			}
		}
		if err == nil || try >= attempts || !madeMeanwhile(err) {
			return id, warnings, err
		}
	}
}

// errDry rolls back what was only tried.
var errDry = errors.New("everything was tried")

// openTable does it in one transaction, which holds up nobody but those who open the
// same table.
func (s *sessions) openTable(ctx context.Context, dry bool) (id int32, warnings []string, err error) {
	var adds []string
	err = s.inTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, openPatience, func(tx pgx.Tx) error {
		if err := takesWrites(ctx, tx); err != nil {
			return err
		}
		if err := s.table.lockOpening(ctx, tx); err != nil {
			return err
		}
		found, todo, err := inspectAndPlan(ctx, tx, s.table)
		if err != nil {
			return err
		}
		if todo.makeState || todo.migrate < len(migrations) {
			if !dry {
				return errOutdated
			}
			if err := migrate(runner(ctx, tx), todo); err != nil {
				return err
			}
		}
		keys, err := foreignKeysTo(ctx, tx, s.table)
		if err != nil {
			return err
		}
		if err := keys.allow(s.table, todo); err != nil {
			return err
		}
		warnings = append(found.warnings(s.table), keys.warnings(s.table)...)
		few, err := s.connectionWarnings(ctx, tx)
		if err != nil {
			return err
		}
		warnings = append(warnings, few...)
		table := s.table
		if dry && len(todo.add) > 0 {
			table = table.among(found.table.columns)
		}
		if dry {
			adds, todo = todo.add, todo.reversible()
		}
		if id, err = s.table.prepareTable(ctx, tx, found, todo); err != nil {
			return err
		}
		if err := table.tryWriting(ctx, tx, id); err != nil {
			return err
		}
		if dry {
			return errDry
		}
		return nil
	})
	if errors.Is(err, errDry) {
		err = nil
	}
	if err != nil || len(adds) == 0 {
		return id, warnings, err
	}
	untried, err := s.tryAdding(ctx, adds)
	if untried != "" {
		warnings = append(warnings, untried)
	}
	return id, warnings, err
}

// reversible returns the plan without what would be in the way of others, rolled back or
// not: emptying the table, of which the right to do so has been asked, and adding columns
// to it, which [sessions.tryAdding] tries by itself.
func (w changePlan) reversible() changePlan {
	w.add = nil
	w.make = slices.DeleteFunc(slices.Clone(w.make), func(sql string) bool { return strings.HasPrefix(sql, truncate) })
	return w
}

// truncate begins the statement that empties a table; see [inspection.planExistingTable].
const truncate = "TRUNCATE "

var errOutdated = errors.New("the schema ampipe has to be brought up to date")

// migrate brings the schema ampipe up to date. It takes tables alone that processes of
// an older version may be using in transactions that overlap, so it waits longer each
// time, and lets others work for as long in between.
func (s *sessions) migrate(ctx context.Context, p *patience) error {
	wait := min(p.now(), migratePatience)
	err := s.inTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, wait, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", openLock); err != nil {
			return err
		}
		_, todo, err := inspectAndPlan(ctx, tx, s.table)
		if err != nil {
			return err
		}
		return migrate(runner(ctx, tx), todo)
	})
	p.note(err)
	if sqlState(err) == lockNotAvailable {
		return fault.Later(err, wait)
	}
	return err
}

// madeMeanwhile reports whether a statement failed because another process has made
// the same thing at the same time, such as a schema that two tables need.
func madeMeanwhile(err error) bool {
	return slices.Contains([]string{uniqueViolation, duplicateSchema, duplicateTable}, sqlState(err))
}

// opened names the table in an error of opening it.
func opened(ctx context.Context, g *tableSpec, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("open table %s: %w", g, context.Cause(ctx))
	case fault.Of(err) != fault.ClassAgain && strings.HasPrefix(err.Error(), "table "+g.String()+":"):
		return err
	case fault.Of(err) != fault.ClassAgain:
		return fmt.Errorf("table %s: %w", g, err)
	default:
		return classify("open table "+g.String(), err)
	}
}

// inspectAndPlan inspects the server and plans what has to be done.
func inspectAndPlan(ctx context.Context, tx pgx.Tx, g *tableSpec) (*inspection, changePlan, error) {
	s, err := inspect(ctx, tx, g)
	if err != nil {
		return nil, changePlan{}, err
	}
	todo, err := s.planChanges(g)
	switch {
	case err != nil:
		return nil, changePlan{}, fault.Permanent(err)
	case s.standby:
		return nil, changePlan{}, fault.Later(errStandby, 0)
	}
	return s, todo, nil
}

// runner returns a function that runs a statement and names it in its error.
func runner(ctx context.Context, tx pgx.Tx) func(sql string, args ...any) error {
	return func(sql string, args ...any) error {
		if _, err := tx.Exec(ctx, sql, args...); err != nil {
			first, _, _ := strings.Cut(strings.TrimSpace(sql), "\n")
			return fmt.Errorf("run %q: %w", first, err)
		}
		return nil
	}
}

// prepareTable makes the planned changes and returns the id of the table.
func (g *tableSpec) prepareTable(ctx context.Context, tx pgx.Tx, s *inspection, todo changePlan) (int32, error) {
	run := runner(ctx, tx)
	for _, sql := range slices.Concat(todo.add, todo.make) {
		if err := run(sql); err != nil {
			return 0, err
		}
	}
	if e := s.state.entry; e != nil {
		if !todo.forget {
			return e.id, nil
		}
		// Somebody dropped the table: what was in it has to come again.
		if err := run("DELETE FROM ampipe.tables WHERE id = $1", e.id); err != nil {
			return 0, err
		}
	}
	var id int32
	err := tx.QueryRow(ctx, statement("register"), g.schema, g.table, g.pipeline, g.sink, g.adopt).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, stateDiscrepancy("tables", "INSERT of 1 row stored 0")
	}
	if err != nil {
		return 0, fmt.Errorf("register the table: %w", err)
	}
	return id, nil
}

// migrate brings the schema ampipe up to date.
func migrate(run func(sql string, args ...any) error, todo changePlan) error {
	if todo.makeState {
		if err := run("CREATE SCHEMA ampipe"); err != nil {
			return err
		}
	}
	if todo.migrate == 0 {
		if err := run("CREATE TABLE IF NOT EXISTS ampipe.migrations (step integer PRIMARY KEY, done_at timestamptz NOT NULL " +
			"DEFAULT now())"); err != nil {
			return err
		}
	}
	for step := todo.migrate + 1; step <= len(migrations); step++ {
		for sql := range strings.SplitAfterSeq(migrations[strconv.Itoa(step)], ";\n") {
			if err := run(sql); err != nil {
				return err
			}
		}
		if err := run("INSERT INTO ampipe.migrations (step) VALUES ($1)", step); err != nil {
			return err
		}
	}
	return nil
}
