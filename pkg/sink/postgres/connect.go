package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
)

// errDSN stands for whatever the driver says about a connection string that it
// cannot read: that may quote the string, and with it the password.
var errDSN = fault.Permanent(errors.New("dsn: the connection string cannot be read; " +
	`write postgres://user:password@host:5432/database with special characters of the password as %XX, or "host=… user=… dbname=…"`))

const keepAlive = 15 * time.Second // between probes of a connection that is silent

// besideWriters is how many connections a process uses beside those of its writers:
// for the live lane, for reading the state, and for finding out who holds a lock that
// the others wait for.
const besideWriters = 3

// connect opens the pool of the connections to a table.
func connect(ctx context.Context, cfg config.Postgres, g *target) (*sessions, error) {
	pc, err := pgxpool.ParseConfig(string(cfg.DSN))
	if err != nil {
		return nil, errDSN
	}
	pc.MaxConns = int32(max(1, cfg.Writers)) + besideWriters
	pc.MinConns = 0
	if pc.ConnConfig.RuntimeParams["application_name"] == "" {
		pc.ConnConfig.RuntimeParams["application_name"] = "ampipe"
	}
	dialer := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: keepAlive, Interval: keepAlive, Count: 4}}
	pc.ConnConfig.DialFunc = dialer.DialContext
	pc.AfterConnect = prepareSession
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, classify("connect", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, classify("connect", err)
	}
	return &sessions{Pool: pool, table: g}, nil
}

// allowWrites makes transactions of a session writable where only a default of the
// database, the role or the connection string says otherwise. The server's own
// configuration is obeyed: it is how providers protect a disk that is full. It
// answers with the id of the server's process, which behind a pooler is not the one
// that the driver was told.
const allowWrites = `SELECT pg_catalog.pg_backend_pid(), (SELECT pg_catalog.set_config(name, 'off', false) FROM pg_catalog.pg_settings
	WHERE name OPERATOR(pg_catalog.=) 'default_transaction_read_only' AND setting OPERATOR(pg_catalog.=) 'on'
		AND source OPERATOR(pg_catalog.=) ANY (ARRAY['database', 'user', 'database user', 'client']))`

// serverPID is the key of a connection's custom data.
const serverPID = "pid"

// prepareSession is called for each new connection.
func prepareSession(ctx context.Context, conn *pgx.Conn) error {
	var (
		pid      uint32
		readOnly *string
	)
	if err := conn.QueryRow(ctx, allowWrites, pgx.QueryExecModeExec).Scan(&pid, &readOnly); err != nil {
		return fmt.Errorf("prepare the session: %w", err)
	}
	conn.PgConn().CustomData()[serverPID] = pid
	return nil
}

// classed classifies an error, unless the caller has given up.
func (w *Writer) classed(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s of %s: %w", what, w.target, context.Cause(ctx))
	}
	return classify(what+" of "+w.target.String(), err)
}
