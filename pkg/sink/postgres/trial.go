package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ampipe/ampipe/pkg/fault"
)

// Why a server takes no writes, and what to do; see [takesWrites].
var (
	errStandby = errors.New("the server takes no writes: it is a standby, until it is promoted; " +
		"name the primary in the dsn, or all hosts and target_session_attrs=read-write")
	errReadOnly = errors.New("the server takes no writes: " +
		"its configuration has default_transaction_read_only = on, as providers set it when a disk is full; " +
		"make room, or run ALTER SYSTEM RESET default_transaction_read_only; SELECT pg_reload_conf()")
	errNoStandby = errors.New("the server takes no writes: synchronous_standby_names asks for a standby, " +
		"and none is connected, so that no commit would end; " +
		"start the standby, or run ALTER SYSTEM RESET synchronous_standby_names; SELECT pg_reload_conf()")
)

// takesWrites fails if the transaction may not write. It is asked first, because all
// else would fail for the same reason.
func takesWrites(ctx context.Context, tx pgx.Tx) error {
	var standby, readOnly, waits bool
	err := tx.QueryRow(ctx, statement("takes-writes")).Scan(&standby, &readOnly, &waits)
	switch {
	case err != nil:
		return fmt.Errorf("ask whether the server takes writes: %w", err)
	case standby:
		return fault.Later(errStandby, 0)
	case readOnly:
		return fault.Later(errReadOnly, 0)
	case waits:
		return fault.Later(errNoStandby, 0)
	default:
		return nil
	}
}

// checkSequences fails if a default of a column that the query does not have takes numbers
// from a sequence that the user may not use.
func (g *tableSpec) checkSequences(ctx context.Context, tx pgx.Tx) error {
	type sequence struct{ column, name, user string }
	all, err := collect(ctx, tx, "read the rights on sequences", func(s *sequence) []any {
		return []any{&s.column, &s.name, &s.user}
	}, statement("ask-sequences"), g.quoted(), g.names())
	if err != nil {
		return err
	}
	var wrong []error
	for _, s := range all {
		wrong = append(wrong, fmt.Errorf("the default of column %q takes numbers from a sequence that the user of the dsn may not use; "+
			"run GRANT USAGE ON SEQUENCE %s TO %s", s.column, s.name, s.user))
	}
	return fault.Permanent(errors.Join(wrong...))
}

// tryWriting does, with no row, what the transactions of a sink do, and takes it back.
// What a catalog says about rights is not all that may refuse a statement: so does a
// publication, row security, a trigger or an extension.
func (g *tableSpec) tryWriting(ctx context.Context, tx pgx.Tx, id int32) error {
	if err := g.checkSequences(ctx, tx); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "SAVEPOINT trial"); err != nil {
		return fmt.Errorf("begin to try writing: %w", err)
	}
	run := runner(ctx, tx)
	if err := run("LOCK TABLE ONLY " + g.quoted() + " IN ROW EXCLUSIVE MODE"); err != nil {
		return err
	}
	copyIn := fmt.Sprintf("COPY %s (%s) FROM STDIN", g.quoted(), g.list())
	if _, err := tx.Conn().PgConn().CopyFrom(ctx, strings.NewReader(""), copyIn); err != nil {
		return fmt.Errorf("try to copy rows: %w", err)
	}
	var statements []string
	if g.block >= 0 {
		// No row has this address, and no block this number: nothing is read, and partitions
		// that hold blocks are neither locked nor waited for.
		statements = append(statements, fmt.Sprintf("DELETE FROM %s WHERE ctid = '(0,0)'::tid AND %s = -1", g.quoted(),
			quoted(g.columns[g.block].name)))
	}
	if g.block >= 0 && g.upsert() {
		staging := "pg_temp.ampipe_trial"
		statements = append(statements,
			fmt.Sprintf("CREATE TEMPORARY TABLE ampipe_trial ON COMMIT DROP AS SELECT %s FROM %s WITH NO DATA", g.list(), g.quoted()),
			g.merge(staging))
	}
	for _, sql := range statements {
		if err := run(sql); err != nil {
			return err
		}
	}
	if _, err := tx.Conn().PgConn().Exec(ctx, statement("write-no-state", "{id}", fmt.Sprint(id))).ReadAll(); err != nil {
		return fmt.Errorf("try to write to the schema ampipe: %w", err)
	}
	if _, err := tx.Exec(ctx, "ROLLBACK TO SAVEPOINT trial"); err != nil {
		return fmt.Errorf("take back what was tried: %w", err)
	}
	return nil
}

// among returns the table with those of its columns that exist; block is -1 if that is not
// one of them. Columns of the key exist.
func (g *tableSpec) among(exist []columnFacts) *tableSpec {
	present := *g
	present.columns, present.key, present.block = nil, nil, -1
	at := make(map[int]int)
	for i, c := range g.columns {
		if _, found := factsOf(exist, c.name); found {
			at[i] = len(present.columns)
			present.columns = append(present.columns, c)
		}
	}
	if i, ok := at[g.block]; ok {
		present.block = i
	}
	for _, i := range g.key {
		present.key = append(present.key, at[i])
	}
	return &present
}

// addPatience is how long a trial waits for the table alone: readers that come wait behind
// it for as long.
const addPatience = 200 * time.Millisecond

// tryAdding runs statements that add columns, and takes them back. They need the table
// alone, so that is done by itself, in one round trip, and given up if others use the
// table: then a warning says that it was not tried.
func (s *sessions) tryAdding(ctx context.Context, statements []string) (untried string, err error) {
	err = s.inTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, addPatience, func(tx pgx.Tx) error {
		if _, err := tx.Conn().PgConn().Exec(ctx, strings.Join(statements, "; ")+"; ROLLBACK AND CHAIN").ReadAll(); err != nil {
			return fmt.Errorf("run %q: %w", statements[0], err)
		}
		return errDry
	})
	switch {
	case errors.Is(err, errDry):
		return "", nil
	case sqlState(err) == lockNotAvailable:
		return fmt.Sprintf("whether columns can be added (schema_evolution) was not tried, so that nobody waits for it; "+
			"ampipe run does it as soon as the table is free: %v", err), nil
	default:
		return "", err
	}
}
