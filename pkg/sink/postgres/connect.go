package postgres

import (
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

// connect opens a pool for the configured number of writers, and one more
// connection for those who ask.
func connect(ctx context.Context, cfg config.Postgres) (*pgxpool.Pool, error) {
	pc, err := pgxpool.ParseConfig(string(cfg.DSN))
	if err != nil {
		return nil, errDSN
	}
	pc.MaxConns = int32(max(1, cfg.Writers)) + 1
	pc.MinConns = 0
	if pc.ConnConfig.RuntimeParams["application_name"] == "" {
		pc.ConnConfig.RuntimeParams["application_name"] = "ampipe"
	}
	dialer := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: keepAlive, Interval: keepAlive, Count: 4}}
	pc.ConnConfig.DialFunc = dialer.DialContext
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, classify("connect", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, classify("connect", err)
	}
	return pool, nil
}

// classed classifies an error, unless the caller has given up.
func (w *Writer) classed(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s of %s: %w", what, w.target, context.Cause(ctx))
	}
	return classify(what+" of "+w.target.String(), err)
}
