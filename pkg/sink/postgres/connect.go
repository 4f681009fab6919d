package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

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

// connLifetime bounds how long a change of the server's configuration goes unnoticed:
// what a session has to set for itself is found out when it connects.
const connLifetime = 15 * time.Minute

// connect opens the pool of the connections to a table.
func connect(ctx context.Context, cfg config.Postgres, g *target) (*sessions, error) {
	pc, err := pgxpool.ParseConfig(string(cfg.DSN))
	if err != nil {
		return nil, errDSN
	}
	pc.MaxConns = int32(max(1, cfg.Writers)) + besideWriters
	pc.MinConns = 0
	pc.MaxConnLifetime = connLifetime
	name := cmp.Or(pc.ConnConfig.RuntimeParams["application_name"], "ampipe")
	pc.ConnConfig.RuntimeParams["application_name"] = name
	dialer := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: keepAlive, Interval: keepAlive, Count: 4}}
	pc.ConnConfig.DialFunc = dialer.DialContext
	pc.AfterConnect = learnSession
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, classify("connect", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, classify("connect", err)
	}
	return &sessions{Pool: pool, table: g, name: literal(fmt.Sprintf("%.40s %s", name, process()))}, nil
}

// classed classifies an error, unless the caller has given up.
func (w *Writer) classed(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s of %s: %w", what, w.target, context.Cause(ctx))
	}
	return classify(what+" of "+w.target.String(), err)
}
