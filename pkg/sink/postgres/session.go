package postgres

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ampipe/ampipe/pkg/fault"
)

// How long the server lets a transaction stand still. The client's part of a
// transaction is encoding rows, which takes milliseconds; one that is silent for
// longer is frozen or gone.
const (
	idleLimit = 8 * time.Second  // between two statements
	tcpLimit  = 20 * time.Second // data that the client's host does not take
)

// settings are what a transaction sets for itself, because a default of the server,
// the database, the role or the connection string would change what it reads and
// writes, or end it. The values are expressions of SQL. docs/postgres.md says which
// other settings are left alone, and why.
var settings = [][2]string{
	// The search path comes first: what is written without a schema is PostgreSQL's own
	// then, whatever other schemas hold. The path of the user stays behind it, for the
	// functions of triggers and defaults.
	{"search_path", `CASE WHEN pg_catalog.strpos(pg_catalog.current_setting('search_path'), 'pg_catalog') OPERATOR(pg_catalog.=) 0
		THEN pg_catalog.current_setting('search_path') ELSE pg_catalog.concat('pg_catalog, ', pg_catalog.current_setting('search_path')) END`},
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
	// What happens to rows.
	{"row_security", "'off'"}, // an error instead of rows that are missing
	{"session_replication_role", "'origin'"},
	{"default_table_access_method", "'heap'"},
	{"synchronous_commit", `CASE WHEN pg_catalog.current_setting('synchronous_commit') OPERATOR(pg_catalog.=) 'off'
		THEN 'on' ELSE pg_catalog.current_setting('synchronous_commit') END`},
	// What would end a transaction that is alive.
	{"exit_on_error", "'off'"},
	{"transaction_timeout", "'0'"},
	// What ends one that is not.
	{"tcp_user_timeout", "'" + milliseconds(tcpLimit) + "'"},
	{"tcp_keepalives_idle", "'10'"},
	{"tcp_keepalives_interval", "'5'"},
	{"tcp_keepalives_count", "'3'"},
}

// always are those of them that every transaction sets. What they decide is stored for
// good, and they may change while a session lives: by ALTER SYSTEM, by another client
// of a pooler, or by a function that a trigger calls.
const always = "'client_encoding', 'standard_conforming_strings', 'DateStyle', 'IntervalStyle', 'extra_float_digits', 'synchronous_commit'"

// unhurried comes first in each transaction: a limit may be short.
const unhurried = "SET LOCAL statement_timeout = 0"

// set returns the expression that sets a setting until the transaction ends.
func set(name, value string) string {
	return fmt.Sprintf("pg_catalog.set_config('%s', %s, true)", name, value)
}

// askSession returns the statements, for one round trip, that learn about a session:
// which process of the server it is, which behind a pooler is not the one that the
// driver was told, and which settings have to be set. One that the server does not know
// is not, nor are those, but for [always], that have their value already: some may be
// set by administrators only, and each takes time. Behind a pooler the next transaction
// may be in another process, in which other clients have left other values.
//
// Transactions are made writable where only a default of the database, the role, the
// connection string or another client of a pooler says otherwise. The server's own
// configuration is obeyed: it is how providers protect a disk that is full.
func askSession(pid uint32) string {
	values := make([]string, len(settings))
	for i, s := range settings {
		values[i] = fmt.Sprintf("('%s', %s)", s[0], s[1])
	}
	return "BEGIN; " + unhurried + "; SELECT " + set(settings[0][0], settings[0][1]) + `;
		SELECT pg_backend_pid()::text UNION ALL SELECT name FROM pg_settings WHERE name = '` + readOnlyDefault + `' AND setting = 'on'
			AND source IN ('database', 'user', 'database user', 'client', 'session') AND NOT pg_is_in_recovery()
		UNION ALL SELECT name FROM (VALUES ` + strings.Join(values, ", ") + `) AS own (name, value)
			WHERE name IN (` + always + `) OR current_setting(name, true) <> value
			OR pg_backend_pid() <> ` + strconv.FormatUint(uint64(pid), 10) + ` AND
				EXISTS (SELECT FROM pg_settings s WHERE s.name = own.name AND s.context = 'user');
		COMMIT`
}

// readOnlyDefault is the setting that makes transactions read only.
const readOnlyDefault = "default_transaction_read_only"

// session is what a connection knows about itself.
type session struct {
	pid      uint32 // of the server's process
	pooled   bool   // behind a pooler, so that the next transaction may be in another process
	writable bool   // transactions have to ask for the right to write
	sets     string // what sets what has to be set: expressions, each with a comma
	mode     pgx.QueryExecMode
	used     bool // it has begun a transaction
	predicts readiness
	prepared map[string]string // names of the statements that stay prepared for as long as it lives
}

// readiness is whether a session has prepared what a predicted transaction needs.
type readiness int

const (
	notAsked readiness = iota
	readyTo
	refusesTo // the server does
)

// ownSession is the key of a connection's session.
const ownSession = "ampipe"

// learnSession is called for each new connection.
func learnSession(ctx context.Context, conn *pgx.Conn) error {
	results, err := conn.PgConn().Exec(ctx, askSession(conn.PgConn().PID())).ReadAll()
	if err != nil {
		return fmt.Errorf("learn about the session: %w", err)
	}
	answer := results[len(results)-2].Rows
	pid, err := strconv.ParseUint(string(answer[0][0]), 10, 32)
	if err != nil {
		return fmt.Errorf("learn about the session: %w", err)
	}
	own := &session{
		pid: uint32(pid), pooled: uint32(pid) != conn.PgConn().PID(),
		mode: conn.Config().DefaultQueryExecMode, prepared: make(map[string]string),
	}
	for _, row := range answer[1:] {
		if string(row[0]) == readOnlyDefault {
			own.writable = true
			continue
		}
		at := slices.IndexFunc(settings, func(s [2]string) bool { return s[0] == string(row[0]) })
		own.sets += set(settings[at][0], settings[at][1]) + ", "
	}
	conn.PgConn().CustomData()[ownSession] = own
	return nil
}

// sessionOf returns what [learnSession] has learnt.
func sessionOf(conn *pgx.Conn) *session {
	own, _ := conn.PgConn().CustomData()[ownSession].(*session)
	return own
}

// begin returns the statement that begins a transaction.
func (own *session) begin(o pgx.TxOptions) string {
	begin := "BEGIN"
	if o.IsoLevel != "" {
		begin += " ISOLATION LEVEL " + string(o.IsoLevel)
	}
	switch {
	case o.AccessMode != "":
		begin += " " + string(o.AccessMode)
	case own.writable:
		begin += " " + string(pgx.ReadWrite)
	}
	return begin
}

// refused returns why a transaction could not be begun.
func (own *session) refused(err error) error {
	if own.writable && sqlState(err) == featureNotSupported {
		return fault.Later(fmt.Errorf("%w: %w", errStandby, err), 0)
	}
	return err
}

// settle returns the statement, for the beginning of a transaction, that sets what has to
// be set. It ends with the transaction, so that nothing is left in a session that a pooler
// hands to others.
func (s *sessions) settle(own *session, patience string) string {
	return "SELECT " + set("statement_timeout", "'0'") + ", " + own.sets + set("lock_timeout", patience) + ", " +
		set("idle_in_transaction_session_timeout", "'"+milliseconds(idleLimit)+"'") + ", " + set("application_name", s.name)
}

// joins reports whether a batch may begin a transaction and use it. The driver would
// prepare statements before the transaction, without its settings. Behind a pooler it has to
// be known first which process of the server it is in.
func (own *session) joins(b *pgx.Batch) bool {
	return !own.pooled && (own.mode == pgx.QueryExecModeExec ||
		!slices.ContainsFunc(b.QueuedQueries, func(q *pgx.QueuedQuery) bool { return own.prepared[q.SQL] == "" }))
}

// prepare prepares the statements of a batch for as long as the session lives, so that the
// next one like it joins; the driver forgets those that it prepares itself. Nothing may be
// prepared where a pooler may be that is not seen.
func (own *session) prepare(ctx context.Context, conn *pgx.Conn, b *pgx.Batch) error {
	for _, q := range b.QueuedQueries {
		if err := own.prepareAll(ctx, conn, q.SQL); err != nil {
			return err
		}
	}
	return nil
}

// keeps reports whether the session keeps what is prepared in it.
func (own *session) keeps() bool { return !own.pooled && own.mode == pgx.QueryExecModeCacheStatement }

// prepareAll is prepare with the texts of statements. Those that are prepared cost nothing.
func (own *session) prepareAll(ctx context.Context, conn *pgx.Conn, all ...string) error {
	if !own.keeps() {
		return nil
	}
	for _, sql := range all {
		if own.prepared[sql] != "" {
			continue
		}
		prepared, err := conn.Prepare(ctx, sql, sql)
		if err != nil {
			return err
		}
		own.prepared[sql] = prepared.Name
	}
	return nil
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
	table    *tableSpec
	program  string // application_name of a session that has no transaction
	name     string // while it has one, as a literal
	needs    int64  // connections of all sinks that use this server
	blockers blockers
}
