package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
)

// OpenStored connects to a table that is there, to read it with
// [Writer.DigestStored], and changes nothing. It needs only the right to read.
func (w *Writer) OpenStored(ctx context.Context, t sink.Table) error {
	g, pool, err := w.begin(ctx, t)
	if err != nil {
		return err
	}
	// The statement names every column, so it fails, saying which, if one is
	// missing.
	var (
		id   int32
		past bool
	)
	err = pool.inTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly}, readPatience, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT "+g.list()+" FROM "+g.quoted()+" LIMIT 0"); err != nil {
			return err
		}
		if err := g.adapt(ctx, tx); err != nil {
			return err
		}
		// What the table should hold by its state, if that may be read.
		var s inspection
		if err := s.inspectState(ctx, tx, g); err != nil {
			return err
		}
		if s.state.entry != nil {
			id, past = s.state.entry.id, s.state.steps >= keepsReplaced
		}
		return nil
	})
	if err != nil {
		pool.Close()
		var refused *pgconn.PgError
		if errors.As(err, &refused) && (refused.Code == undefinedTable || refused.Code == undefinedColumn) {
			return fault.Permanent(fmt.Errorf("read table %s: %s; has the pipeline been run?", g, refused.Message))
		}
		if err = classify("read table "+g.String(), err); fault.Of(err) == fault.ClassAgain {
			err = fault.Permanent(err)
		}
		return err
	}
	w.spec, w.pool, w.id, w.hasReplaced = g, pool, id, past
	return nil
}

// keepsReplaced is the migration that brought the table of replaced rows.
const keepsReplaced = 2

// SQLSTATEs of a table, and of a column, that is not there.
const (
	undefinedTable  = "42P01"
	undefinedColumn = "42703"
)

// adapt reads the columns of the table and adapts what is compared with them.
func (g *tableSpec) adapt(ctx context.Context, tx pgx.Tx) error {
	var oid uint32
	if err := tx.QueryRow(ctx, "SELECT $1::text::regclass::oid", g.quoted()).Scan(&oid); err != nil {
		return fmt.Errorf("look for the table: %w", err)
	}
	found, err := columnsIn(ctx, tx, oid)
	if err != nil {
		return err
	}
	var wrong []error
	g.columns = slices.Clone(g.wanted)
	for i, c := range g.wanted {
		f, exists := factsOf(found, c.name)
		if !exists {
			continue
		}
		var ok bool
		g.columns[i], ok = c.into(f.Type)
		if !ok {
			wrong = append(wrong, fmt.Errorf("column %q is of the type %s, and the query needs %s%s", c.name, f.SQL, c.SQL, g.remedy(c, f.Type)))
		}
	}
	if err := errors.Join(wrong...); err != nil {
		return fault.Permanent(fmt.Errorf("table %s: %w", g, err))
	}
	return nil
}
