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
	exclusionViolation = "23P01"
	deadlockDetected   = "40P01"
	serializationError = "40001"
	lockNotAvailable   = "55P03"
	duplicateSchema    = "42P06"
	duplicateTable     = "42P07"
	tooManyConnections = "53300"

	insufficientPrivilege = "42501"
)

// advice is what an SQLSTATE, or the class of its first two digits, means to
// the user.
type advice struct {
	class fault.Class
	text  string
}

var advices = map[string]advice{
	"08":    {fault.ClassLater, "the connection was lost"},
	"0A":    {fault.ClassPermanent, "this server cannot do that; start this sink again to have the table checked"},
	"22":    {fault.ClassPermanent, "the server refuses a value"},
	"23":    {fault.ClassPermanent, "a constraint of the table refuses a row; drop the constraint, or filter such rows out in the query"},
	"25006": {fault.ClassLater, "the server takes no writes: it is a standby, or set to read only"},
	"25P03": {fault.ClassLater, "this process stood still within a transaction, so the server ended it"},
	"28":    {fault.ClassPermanent, "the server does not let this user in; check user and password of the dsn, and pg_hba.conf on the server"},
	"3D":    {fault.ClassPermanent, "the database of the dsn does not exist; create it, or name another one"},
	"3F":    {fault.ClassPermanent, "a schema does not exist any more; start this sink again"},
	"42":    {fault.ClassPermanent, "the table is not what it was when this sink was started; start it again to have it checked"},
	"42501": {fault.ClassPermanent, "the user of the dsn has not the right to do that; grant it, or BYPASSRLS if the message speaks of row-level security"},
	"53":    {fault.ClassLater, "the server is out of resources"},
	"53100": {fault.ClassLater, "the disk of the server is full"},
	"53400": {fault.ClassLater, "a limit of the server is reached; raise it (what the message names, such as temp_file_limit)"},
	"53300": {fault.ClassLater, "the server has no connection to spare; raise its max_connections, or lower writers"},
	"54":    {fault.ClassPermanent, "a row exceeds what PostgreSQL can hold"},
	"55000": {fault.ClassLater, "PostgreSQL refuses to change rows of a table; if the message speaks of a replica identity, " +
		"run ALTER TABLE … REPLICA IDENTITY FULL on the table that it names"},
	"57P01": {fault.ClassLater, "the server was shut down, or the connection was cut by an administrator, or by another process of this sink because this one stood still"},
	"57P02": {fault.ClassLater, "the server crashed and is being restarted"},
	"57P03": {fault.ClassLater, "the server is starting or stopping"},
	"57P05": {fault.ClassLater, "the server cut an idle connection"},
	"P0": {fault.ClassPermanent, "a trigger, or an event trigger, of the database raised an error; mend or drop it, and start this sink again " +
		"(SELECT evtname, evtfoid::regproc FROM pg_event_trigger shows the latter)"},
}

// classify marks an error of the driver with what to do about it and says so.
// Errors that are classed already stay as they are. Neither the driver's
// connection errors nor the server's messages hold the password; details that
// quote values are left out.
func classify(what string, err error) error {
	if err == nil || fault.Of(err) != fault.ClassAgain {
		return err
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		a, known := advices[pg.Code]
		if !known && len(pg.Code) == 5 {
			a, known = advices[pg.Code[:2]]
		}
		wrapped := fmt.Errorf("%s: %w", what, err)
		if known {
			wrapped = fmt.Errorf("%s: %s: %w", what, a.text, err)
		}
		return fault.As(a.class, wrapped)
	}
	if untrusted(err) {
		return fault.Permanent(fmt.Errorf("%s: TLS with the server fails; check sslmode and sslrootcert of the dsn: %w", what, err))
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

// badRow gives the error for a row that the server refuses. The server's detail
// would quote the value.
func badRow(pg *pgconn.PgError) *sink.BadRowError {
	reason := "the server refuses it: " + pg.Message + " (SQLSTATE " + pg.Code + ")"
	if pg.Code == uniqueViolation {
		reason += "; the table holds a row with the same value already: use mode: upsert, or drop the constraint"
	}
	return &sink.BadRowError{Column: pg.ColumnName, Reason: reason}
}
