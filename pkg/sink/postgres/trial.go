package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/ampipe/ampipe/pkg/fault"
)

// What a server that is read only is told of it; see [takesWrites].
var (
	errStandby = errors.New("the server takes no writes: it is a standby, until it is promoted; " +
		"name the primary in the dsn, or all hosts and target_session_attrs=read-write")
	errReadOnly = errors.New("the server takes no writes: its configuration has default_transaction_read_only = on, as providers set it when a disk is full; " +
		"make room, or run ALTER SYSTEM RESET default_transaction_read_only; SELECT pg_reload_conf()")
)

// takesWrites fails if the transaction may not write. It is asked first, because all
// else would fail for the same reason.
func takesWrites(ctx context.Context, tx pgx.Tx) error {
	var standby, readOnly bool
	err := tx.QueryRow(ctx, "SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'").Scan(&standby, &readOnly)
	switch {
	case err != nil:
		return fmt.Errorf("ask whether the server takes writes: %w", err)
	case standby:
		return fault.Later(errStandby, 0)
	case readOnly:
		return fault.Later(errReadOnly, 0)
	default:
		return nil
	}
}

// tryWriting does, with no row, what the transactions of a sink do, and takes it back.
// What a catalog says about rights is not all that may refuse a statement: so does a
// publication, row security, a trigger or an extension.
func (g *target) tryWriting(ctx context.Context, tx pgx.Tx, id int32) error {
	if _, err := tx.Exec(ctx, "SAVEPOINT trial"); err != nil {
		return fmt.Errorf("begin to try writing: %w", err)
	}
	run := runner(ctx, tx)
	if err := run("LOCK TABLE ONLY " + g.quoted() + " IN ROW EXCLUSIVE MODE"); err != nil {
		return err
	}
	if _, err := tx.Conn().PgConn().CopyFrom(ctx, strings.NewReader(""), fmt.Sprintf("COPY %s (%s) FROM STDIN", g.quoted(), g.list())); err != nil {
		return fmt.Errorf("try to copy rows: %w", err)
	}
	at := quoted(g.columns[g.block].name)
	// No row has this address: nothing is read.
	statements := []string{fmt.Sprintf("DELETE FROM %s WHERE ctid = '(0,0)'::tid AND %s >= 0", g.quoted(), at)}
	if g.upsert() {
		staging := "pg_temp.ampipe_trial"
		statements = append(statements,
			fmt.Sprintf("CREATE TEMPORARY TABLE ampipe_trial ON COMMIT DROP AS SELECT %s FROM %s WITH NO DATA", g.list(), g.quoted()), g.merge(staging))
	}
	for _, sql := range append(statements,
		"INSERT INTO ampipe.coverage SELECT * FROM ampipe.coverage WHERE false",
		"DELETE FROM ampipe.coverage WHERE false",
		"UPDATE ampipe.tables SET live_seq = live_seq WHERE false",
		"INSERT INTO ampipe.replaced (table_id, block, replaced_by, content) SELECT table_id, block, replaced_by, content FROM ampipe.replaced WHERE false",
		"UPDATE ampipe.replaced SET replaced_by = replaced_by WHERE false",
		"DELETE FROM ampipe.replaced WHERE false",
	) {
		if err := run(sql); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, "SELECT FROM ampipe.tables WHERE id = $1 FOR NO KEY UPDATE SKIP LOCKED", id); err != nil {
		return fmt.Errorf("try to lock the state of the table: %w", err)
	}
	if _, err := tx.Exec(ctx, "ROLLBACK TO SAVEPOINT trial"); err != nil {
		return fmt.Errorf("take back what was tried: %w", err)
	}
	return nil
}
