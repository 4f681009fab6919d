package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
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

// parseError returns what is wrong with a connection string, without quoting it.
func parseError(err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return fault.Permanent(fmt.Errorf("dsn: the file of sslrootcert, sslcert or sslkey cannot be read: %w", path))
	}
	for _, known := range []struct{ part, text string }{
		{"failed to read service", "the service is not in the service file; " +
			"look at service and servicefile, or PGSERVICE, PGSERVICEFILE and ~/.pg_service.conf"},
		{"unable to add CA", "the file of sslrootcert holds no certificate in PEM form"},
		{"failed to decode sslkey", "the file of sslkey holds no key in PEM form"},
		{"sslpassword", "the file of sslkey is encrypted; give its password as sslpassword"},
		{"unable to decrypt key", "the file of sslkey cannot be decrypted with sslpassword"},
		{"unable to load cert", "the files of sslcert and sslkey do not hold a certificate and its key in PEM form"},
		{`both "sslcert" and "sslkey"`, "sslcert and sslkey are given together, or neither"},
	} {
		if strings.Contains(err.Error(), known.part) {
			return fault.Permanent(errors.New("dsn: " + known.text))
		}
	}
	return errDSN
}

const (
	keepAlive   = 15 * time.Second // between probes of a connection that is silent
	connectTime = 20 * time.Second // bounds making a connection, unless the dsn has connect_timeout
)

// connLifetime bounds how long a change of the server's configuration goes unnoticed:
// what a session has to set for itself is found out when it connects.
const connLifetime = 15 * time.Minute

// longIdle is how long a connection may not have been used without being asked first whether
// it lives, which takes a round trip: live blocks come more often. See [sessions.inTxOnce].
const longIdle = 30 * time.Second

// connect opens the pool of the connections to a table.
func connect(ctx context.Context, cfg config.Postgres, g *tableSpec) (*sessions, error) {
	pc, err := pgxpool.ParseConfig(string(cfg.DSN))
	if err != nil {
		return nil, parseError(err)
	}
	if err := config.SessionSettings(pc.ConnConfig.RuntimeParams); err != nil {
		return nil, fault.Permanent(fmt.Errorf("dsn, or the service that it names, %w", err))
	}
	most := cfg // the writers, which bound what is used, may become more
	most.Writers = config.MostWriters
	pc.MaxConns = int32(most.Connections())
	pc.MinConns = 0
	pc.MaxConnLifetime = connLifetime
	name := cmp.Or(pc.ConnConfig.RuntimeParams["application_name"], "ampipe")
	pc.ConnConfig.RuntimeParams["application_name"] = name
	pc.ConnConfig.ConnectTimeout = cmp.Or(pc.ConnConfig.ConnectTimeout, connectTime)
	dialer := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: keepAlive, Interval: keepAlive, Count: 4}}
	pc.ConnConfig.DialFunc = dialer.DialContext
	pc.AfterConnect = learnSession
	pc.ShouldPing = func(_ context.Context, p pgxpool.ShouldPingParams) bool { return p.IdleDuration > longIdle }
	pool, pooled, err := openPool(ctx, pc)
	if err == nil && pooled && !strings.Contains(string(cfg.DSN), "default_query_exec_mode") {
		// What one transaction prepares, the next may not find: it is in another process.
		pool.Close()
		pc.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
		pool, _, err = openPool(ctx, pc)
	}
	if err != nil {
		return nil, classify("connect", err)
	}
	return &sessions{
		Pool: pool, table: g, program: name, name: literal(fmt.Sprintf("%.40s %s", name, process())),
		needs: int64(cfg.Connections() + cfg.Beside),
	}, nil
}

// openPool opens a pool and its first connection, and reports whether that goes through
// a pooler.
func openPool(ctx context.Context, pc *pgxpool.Config) (_ *pgxpool.Pool, pooled bool, err error) {
	pool, err := pgxpool.NewWithConfig(ctx, pc.Copy())
	if err != nil {
		return nil, false, err
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		pool.Close()
		return nil, false, err
	}
	defer conn.Release()
	return pool, sessionOf(conn.Conn()).pooled, nil
}

// classed classifies an error, unless the caller has given up.
func (w *Writer) classed(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s of %s: %w", what, w.spec, context.Cause(ctx))
	}
	return classify(what+" of "+w.spec.String(), err)
}
