package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ampipe/ampipe/pkg/fault"
)

// discrepancyError is a statement that succeeded, and after which a table does not
// hold what it was told to. The transaction is rolled back.
type discrepancyError struct {
	schema, table string
	told          string // what it was told, and what is there instead
	found         []hindrance
}

func (e *discrepancyError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, and the server reported no error; nothing was changed. ", e.told)
	if len(e.found) == 0 {
		b.WriteString("A trigger, a rule or row security does that, and none is to be seen: look at the extensions of the " +
			"database, and at who else writes to the table")
		return b.String()
	}
	b.WriteString("What may do that: ")
	for i, h := range e.found {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(h.String())
	}
	fmt.Fprintf(&b, ". Remove what keeps rows out (%s), and start this sink again", e.found[0].remedy)
	return b.String()
}

// discrepancy returns an error about the table that rows are loaded into.
func (g *tableSpec) discrepancy(told string, args ...any) error {
	return &discrepancyError{schema: g.schema, table: g.table, told: fmt.Sprintf("table %s: ", g) + fmt.Sprintf(told, args...)}
}

// stateDiscrepancy returns an error about a table of the schema ampipe.
func stateDiscrepancy(table, told string, args ...any) error {
	return &discrepancyError{schema: "ampipe", table: table, told: fmt.Sprintf("table ampipe.%s: ", table) + fmt.Sprintf(told, args...)}
}

// expect returns what checks that a statement has changed so many rows of a table
// of the schema ampipe.
func expect(rows int, verb, table string) func(pgconn.CommandTag) error {
	return func(tag pgconn.CommandTag) error {
		if tag.RowsAffected() == int64(rows) {
			return nil
		}
		return stateDiscrepancy(table, "%s of %d rows changed %d", verb, rows, tag.RowsAffected())
	}
}

// explained adds to a discrepancy what may be the cause, and makes it permanent.
// Other errors stay as they are. The transaction is over.
func explained(ctx context.Context, pool *sessions, err error) error {
	d, ok := errors.AsType[*discrepancyError](err)
	if !ok {
		return err
	}
	// A prepared statement that a rule made into nothing stays so when the rule is gone.
	defer pool.Reset()
	var all []hindrance
	failed := pool.inTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly}, readPatience, func(tx pgx.Tx) (err error) {
		all, err = hindrancesOf(ctx, tx, d.schema, d.table)
		return err
	})
	if failed != nil {
		return errors.Join(fault.Permanent(d), failed)
	}
	for _, h := range all {
		if h.alters(onInsert | onUpdate | onDelete) {
			d.found = append(d.found, h)
		}
	}
	if len(d.found) == 0 {
		d.found = all
	}
	return fault.Permanent(d)
}
