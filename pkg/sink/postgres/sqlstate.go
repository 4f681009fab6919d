package postgres

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ampipe/ampipe/pkg/fault"
)

// SQLSTATEs that are handled one by one.
const (
	uniqueViolation    = "23505"
	checkViolation     = "23514"
	notNullViolation   = "23502"
	exclusionViolation = "23P01"
	deadlockDetected   = "40P01"
	serializationError = "40001"
	lockNotAvailable   = "55P03"
	duplicateSchema    = "42P06"
	duplicateTable     = "42P07"
	tooManyConnections = "53300"

	insufficientPrivilege = "42501"
	protocolViolation     = "08P01"
	invalidBinary         = "22P03"
	internalError         = "XX000"
	featureNotSupported   = "0A000"
	foreignKeyViolation   = "23503"
	restrictViolation     = "23001"
	invalidText           = "22P02"
)

// classify marks an error of the driver with what to do about it and says so, in one
// line. Errors that are classed already stay as they are. Neither the driver's
// connection errors nor the server's messages hold the password; details that
// quote values are left out.
func classify(what string, err error) error {
	if err == nil || fault.Of(err) != fault.ClassAgain {
		return err
	}
	err = oneLine(err)
	if pg, ok := refusal(err); ok {
		a, known := adviceOf(err, pg)
		wrapped := fmt.Errorf("%s: %w", what, err)
		if known {
			wrapped = fmt.Errorf("%s: %s: %w", what, a.text, err)
		}
		return fault.As(a.class, wrapped)
	}
	if advice := cmp.Or(clientAdvice(err), ofTLS(err)); advice != "" {
		return fault.Permanent(fmt.Errorf("%s: %s: %w", what, advice, err))
	}
	if errors.Is(err, pgconn.ErrReadOnlyConnection) || errors.Is(err, pgconn.ErrStandbyConnection) {
		return fault.Later(fmt.Errorf("%s: no host of the dsn takes writes, as its target_session_attrs wants: %w", what, err), 0)
	}
	if l, ok := loginOf(err); ok && l.SSLNegotiation == "direct" {
		return fault.Later(fmt.Errorf("%s: the server cannot be reached; if it is older than PostgreSQL 17, "+
			"take sslnegotiation=direct out of the dsn: %w", what, err), 0)
	}
	if lost(err) {
		return fault.Later(fmt.Errorf("%s: the server cannot be reached: %w", what, err), 0)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// singleLine is an error whose text has several lines, of several hosts or tries, each of them
// once, in one.
type singleLine struct{ error }

func (l singleLine) Unwrap() error { return l.error }

func (l singleLine) Error() string {
	var parts []string
	for part := range strings.Lines(l.error.Error()) {
		part = strings.TrimSpace(part)
		if !slices.Contains(parts, part) {
			parts = append(parts, part)
		}
	}
	return strings.ReplaceAll(strings.Join(parts, "; "), ":; ", ": ")
}

func oneLine(err error) error {
	if strings.Contains(err.Error(), "\n") {
		return singleLine{err}
	}
	return err
}

// refusal returns the server's part of an error.
func refusal(err error) (*pgconn.PgError, bool) { return errors.AsType[*pgconn.PgError](err) }

// refusedBySession reports whether an error may be due to the state of the session, or
// of its connection, so that another one may do better.
func refusedBySession(err error) bool {
	if pg, ok := refusal(err); ok {
		a, _ := adviceOf(err, pg)
		return a.session == renew
	}
	return err != nil && lost(err)
}

// lost reports whether the trouble is the connection, not what went over it.
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

// sqlState returns the SQLSTATE of an error of the server, else "".
func sqlState(err error) string {
	if pg, ok := refusal(err); ok {
		return pg.Code
	}
	return ""
}
