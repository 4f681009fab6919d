package postgres

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
)

// SQLSTATEs that are handled one by one.
const (
	uniqueViolation    = "23505"
	notNullViolation   = "23502"
	exclusionViolation = "23P01"
	deadlockDetected   = "40P01"
	serializationError = "40001"
	lockNotAvailable   = "55P03"
	duplicateSchema    = "42P06"
	duplicateTable     = "42P07"
	tooManyConnections = "53300"

	insufficientPrivilege = "42501"
	invalidBinary         = "22P03"
	protocolViolation     = "08P01"
	internalError         = "XX000"
)

// classify marks an error of the driver with what to do about it and says so.
// Errors that are classed already stay as they are. Neither the driver's
// connection errors nor the server's messages hold the password; details that
// quote values are left out.
func classify(what string, err error) error {
	if err == nil || fault.Of(err) != fault.ClassAgain {
		return err
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		a, known := adviceFor(pg.Code)
		wrapped := fmt.Errorf("%s: %w", what, err)
		if known {
			wrapped = fmt.Errorf("%s: %s: %w", what, a.text, err)
		}
		return fault.As(a.class, wrapped)
	}
	if untrusted(err) {
		return fault.Permanent(fmt.Errorf("%s: TLS with the server fails; check sslmode and sslrootcert of the dsn: %w", what, err))
	}
	if strings.Contains(err.Error(), "channel binding required") { // the driver has only a text
		return fault.Permanent(fmt.Errorf("%s: channel_binding=require needs TLS and SCRAM, which the server does not offer; write channel_binding=prefer: %w", what, err))
	}
	if lost(err) {
		return fault.Later(fmt.Errorf("%s: the server cannot be reached: %w", what, err), 0)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// untrusted tells whether the server has no TLS, or showed no certificate that is
// good enough. For the former the driver has only a text.
func untrusted(err error) bool {
	if strings.Contains(err.Error(), "server refused TLS connection") {
		return true
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return true
	}
	_, ok := errors.AsType[x509.UnknownAuthorityError](err)
	return ok
}

// lost tells whether the trouble is the connection, not what went over it.
func lost(err error) bool {
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	return pgconn.Timeout(err) || pgconn.SafeToRetry(err) || slices.ContainsFunc(
		[]error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, pgconn.ErrConnClosed}, func(of error) bool { return errors.Is(err, of) })
}

// state gives the SQLSTATE of an error of the server, else "".
func state(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code
	}
	return ""
}

// refused reports whether the server refuses a row for what is in it, and which line of
// a COPY that was, from 1; 0 if it does not say.
func refused(err error) (pg *pgconn.PgError, line int, ok bool) {
	pg, ok = errors.AsType[*pgconn.PgError](err)
	if !ok || misread(err) || (!strings.HasPrefix(pg.Code, "22") && !strings.HasPrefix(pg.Code, "23") && !strings.HasPrefix(pg.Code, "54")) {
		return nil, 0, false
	}
	line, _ = copied(pg.Where)
	return pg, line, true
}

// whereCopied is what PostgreSQL says of a row of a COPY: "COPY logs, line 12, column
// data". Its words may be translated.
var whereCopied = regexp.MustCompile(`(?m)^COPY .*?, \D*(\d+)(?:, \S+ ([^\n]+))?$`)

// copied takes a context of the server apart: the line of a COPY, from 1, and the column
// if it names one.
func copied(where string) (line int, column string) {
	m := whereCopied.FindStringSubmatch(where)
	if m == nil {
		return 0, ""
	}
	line, _ = strconv.Atoi(m[1])
	return line, m[2]
}

// misread reports whether the server could not read the field of a column, which is
// then of another type than the one for which it was written.
func misread(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || !slices.Contains([]string{invalidBinary, protocolViolation, internalError}, pg.Code) {
		return false
	}
	_, column := copied(pg.Where)
	return column != ""
}

// badRow returns the error for a row that the server refuses. The server's detail
// would quote all of it.
func (g *target) badRow(pg *pgconn.PgError) *sink.BadRowError {
	reason := "the server refuses it: " + cut(strings.Join(strings.Fields(pg.Message), " ")) + " (SQLSTATE " + pg.Code + ")"
	if strings.HasPrefix(pg.Code, "23") {
		reason += "; " + g.constraintAdvice(pg)
	}
	return &sink.BadRowError{Column: g.refusedColumn(pg), Reason: reason}
}

// refusedColumn returns the column that the server refuses a value of, or "".
func (g *target) refusedColumn(pg *pgconn.PgError) string {
	_, column := copied(pg.Where)
	column, _, _ = strings.Cut(column, ": ")
	for _, name := range []string{pg.ColumnName, column} {
		if slices.Contains(g.names(), name) {
			return name
		}
	}
	for _, c := range g.constraints {
		if c.name == pg.ConstraintName && len(c.columns) == 1 {
			return c.columns[0]
		}
	}
	return ""
}

// constraintAdvice says what to do about a constraint that refuses a row.
func (g *target) constraintAdvice(pg *pgconn.PgError) string {
	drop := fmt.Sprintf("run ALTER TABLE %s DROP CONSTRAINT %s", g.quoted(), quoted(pg.ConstraintName))
	switch {
	case pg.Code == notNullViolation:
		return "have the query replace NULL, or run ALTER TABLE <table> ALTER COLUMN <column> DROP NOT NULL"
	case pg.ConstraintName == "":
		return "filter such rows out in the query"
	case pg.DataTypeName != "":
		return fmt.Sprintf("filter such rows out in the query, or run ALTER DOMAIN %s.%s DROP CONSTRAINT %s", quoted(pg.SchemaName), quoted(pg.DataTypeName), quoted(pg.ConstraintName))
	case pg.Code == uniqueViolation && !slices.ContainsFunc(g.constraints, func(c constraint) bool { return c.name == pg.ConstraintName }):
		return fmt.Sprintf("the table holds a row with the same value already: set mode: upsert with its columns as key, or run DROP INDEX %s.%s", quoted(pg.SchemaName), quoted(pg.ConstraintName))
	case pg.Code == uniqueViolation:
		return "the table holds a row with the same value already: set mode: upsert with its columns as key, or " + drop
	default:
		return "filter such rows out in the query, or " + drop
	}
}
