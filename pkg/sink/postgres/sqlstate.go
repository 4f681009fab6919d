package postgres

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
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

// refused tells whether the server refuses a row of a COPY into a table for what
// is in it, and which line of the COPY that was, from 1; 0 if it does not say.
func refused(err error, table string) (pg *pgconn.PgError, line int, ok bool) {
	pg, ok = errors.AsType[*pgconn.PgError](err)
	if !ok || !strings.HasPrefix(pg.Code, "22") && !strings.HasPrefix(pg.Code, "23") && !strings.HasPrefix(pg.Code, "54") {
		return nil, 0, false
	}
	// "COPY logs, line 12, column data: …": words may be translated.
	_, where, _ := strings.Cut(pg.Where, "COPY "+table+", ")
	_, _ = fmt.Sscanf(strings.TrimLeftFunc(where, func(r rune) bool { return r < '0' || r > '9' }), "%d", &line)
	return pg, line, true
}

// badRow returns the error for a row that the server refuses. The server's detail
// would quote the value.
func badRow(pg *pgconn.PgError) *sink.BadRowError {
	reason := "the server refuses it: " + pg.Message + " (SQLSTATE " + pg.Code + ")"
	if strings.HasPrefix(pg.Code, "23") {
		reason += "; " + constraintAdvice(pg)
	}
	return &sink.BadRowError{Column: pg.ColumnName, Reason: reason}
}

// constraintAdvice says what to do about a constraint that refuses a row.
func constraintAdvice(pg *pgconn.PgError) string {
	switch pg.Code {
	case uniqueViolation:
		return "the table holds a row with the same value already: use mode: upsert, or drop the constraint"
	case notNullViolation:
		return "the column takes no NULL: drop its NOT NULL, or have the query replace NULL"
	default:
		return "drop the constraint, or filter such rows out in the query"
	}
}
