package postgres

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// rollbackTime bounds how long a rollback waits for a server that does not
// answer; after it the connection is dropped, which has the same effect.
const rollbackTime = 5 * time.Second

// How long the server lets a transaction stand still. The client's part of a
// transaction is encoding rows, which takes milliseconds; one that is silent for
// longer is frozen or gone.
const (
	idleLimit = 8 * time.Second  // between two statements
	tcpLimit  = 20 * time.Second // data that the client's host does not take
)

// settings are what every transaction sets for itself, because a default of the
// server, the database, the role or the connection string would change what it
// reads and writes, or end it. The values are expressions of SQL. A setting that
// the server does not know, or that has its value already, is not touched: some of
// them may be set by administrators only. docs/postgres.md lists those that are
// left alone, and why.
var settings = [][2]string{
	// How bytes are read and written.
	{"client_encoding", "'UTF8'"},
	{"standard_conforming_strings", "'on'"},
	{"backslash_quote", "'safe_encoding'"},
	{"array_nulls", "'on'"},
	{"transform_null_equals", "'off'"},
	{"quote_all_identifiers", "'off'"},
	{"DateStyle", "'ISO, MDY'"},
	{"IntervalStyle", "'postgres'"},
	{"TimeZone", "'UTC'"},
	{"extra_float_digits", "'1'"},
	{"bytea_output", "'hex'"},
	{"xmlbinary", "'base64'"},
	{"xmloption", "'content'"},
	// What happens to rows.
	{"row_security", "'off'"}, // an error instead of rows that are missing
	{"session_replication_role", "'origin'"},
	{"default_table_access_method", "'heap'"},
	{"synchronous_commit", "CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END"},
	// What would end a transaction that is alive.
	{"exit_on_error", "'off'"},
	{"statement_timeout", "'0'"},
	{"transaction_timeout", "'0'"},
	// What ends one that is not.
	{"idle_in_transaction_session_timeout", "'" + milliseconds(idleLimit) + "'"},
	{"tcp_user_timeout", "'" + milliseconds(tcpLimit) + "'"},
	{"tcp_keepalives_idle", "'10'"},
	{"tcp_keepalives_interval", "'5'"},
	{"tcp_keepalives_count", "'3'"},
	// Who it is. Between transactions a session has the name that it connected with.
	{"application_name", "coalesce(nullif(left(current_setting('application_name'), 24), ''), 'ampipe') || " + literal(" "+process())},
}

// ownSettings is the statement that sets them until the transaction ends. The search
// path comes first: what is written without a schema in the rest is PostgreSQL's
// own then, whatever other schemas hold. The path of the user stays behind it, for
// the functions of triggers and defaults.
var ownSettings = func() string {
	values := make([]string, len(settings))
	for i, s := range settings {
		values[i] = fmt.Sprintf("('%s', %s)", s[0], s[1])
	}
	return "SET LOCAL statement_timeout = 0; " +
		"SELECT pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ', 'pg_catalog', " +
		"pg_catalog.regexp_replace(pg_catalog.current_setting('search_path'), '^ *$', 'pg_catalog'), 'pg_temp'), true); " +
		"SELECT set_config(name, value, true) FROM (VALUES " + strings.Join(values, ", ") +
		") AS own (name, value) WHERE current_setting(name, true) <> value"
}()

// beginning returns the statements, for one round trip, that begin a transaction.
func beginning(o pgx.TxOptions, patience time.Duration) string {
	begin := "BEGIN"
	if o.IsoLevel != "" {
		begin += " ISOLATION LEVEL " + string(o.IsoLevel)
	}
	if o.AccessMode != "" {
		begin += " " + string(o.AccessMode)
	}
	return fmt.Sprintf("%s; %s; SET LOCAL lock_timeout = %s", begin, ownSettings, milliseconds(patience))
}

// milliseconds writes a time as PostgreSQL reads it.
func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// process names this process for those who look at the sessions of the server.
func process() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown-host"
	}
	return fmt.Sprintf("%d@%s", os.Getpid(), host)
}

// sessions are the connections of a Writer. They may be used concurrently.
type sessions struct {
	*pgxpool.Pool
	table    *target
	blockers blockers
}

// inTx runs f in a transaction and commits it unless f fails. A statement that has
// waited for a lock for as long as patience ends the transaction; the error is
// [fault.Later] then and says who holds the lock.
func (s *sessions) inTx(ctx context.Context, o pgx.TxOptions, patience time.Duration, f func(pgx.Tx) error) error {
	conn, err := s.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	pid, _ := conn.Conn().PgConn().CustomData()[serverPID].(uint32)
	w := s.watch(ctx, pid, min(patience/3, time.Second))
	defer w.stop()
	return w.explain(transact(ctx, conn, o, patience, f))
}

// transact runs f in a transaction of a connection and commits it unless f fails.
func transact(ctx context.Context, conn *pgxpool.Conn, o pgx.TxOptions, patience time.Duration, f func(pgx.Tx) error) error {
	o.BeginQuery = beginning(o, patience)
	tx, err := conn.BeginTx(ctx, o)
	if err != nil {
		return err
	}
	err = f(tx)
	if err == nil {
		return tx.Commit(ctx)
	}
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTime)
	defer cancel()
	_ = tx.Rollback(after) // the error that matters is f's
	return err
}
