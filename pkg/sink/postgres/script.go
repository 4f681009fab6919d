package postgres

import (
	"context"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ampipe/ampipe/pkg/sink/postgres/pgcopy"
)

// script is a transaction as one text of statements: BEGIN is the first of them and COMMIT the
// last. The server skips what follows a statement that fails, so that it commits all or nothing.
// Statements with arguments are those that the session has prepared.
type script struct {
	own     *session
	text    strings.Builder
	unknown bool // a statement is not prepared, or an argument cannot be written
}

// newScript returns the beginning of a transaction.
func (s *sessions) newScript(own *session, o pgx.TxOptions, patience time.Duration) *script {
	q := &script{own: own}
	q.text.WriteString(own.begin(o))
	q.add(s.settle(own, "$1"), milliseconds(patience))
	return q
}

// add adds a statement.
func (q *script) add(sql string, args ...any) {
	q.text.WriteString("; ")
	if len(args) == 0 {
		q.text.WriteString(sql)
		return
	}
	name := q.own.prepared[sql]
	q.unknown = q.unknown || name == ""
	q.text.WriteString("EXECUTE " + quoted(name))
	separator := "("
	for _, arg := range args {
		q.text.WriteString(separator)
		q.argument(arg)
		separator = ", "
	}
	q.text.WriteString(")")
}

// argument writes an argument as the server reads it for a parameter that has a type.
func (q *script) argument(arg any) {
	switch v := arg.(type) {
	case nil:
		q.text.WriteString("NULL")
	case bool:
		q.text.WriteString(strconv.FormatBool(v))
	case int32:
		q.text.WriteString(strconv.FormatInt(int64(v), 10))
	case int64:
		q.text.WriteString(strconv.FormatInt(v, 10))
	case string:
		q.text.WriteString(literal(v))
	case []byte:
		q.text.WriteString(`E'\\x` + hex.EncodeToString(v) + "'")
	case []int64:
		q.array(len(v), func(i int) string { return strconv.FormatInt(v[i], 10) })
	case []int32:
		q.array(len(v), func(i int) string { return strconv.FormatInt(int64(v[i]), 10) })
	case []*int32:
		q.array(len(v), func(i int) string {
			if v[i] == nil {
				return "NULL"
			}
			return strconv.FormatInt(int64(*v[i]), 10)
		})
	case []*string:
		q.array(len(v), func(i int) string {
			if v[i] == nil {
				return "NULL"
			}
			return elementText(*v[i])
		})
	default:
		q.unknown = true
	}
}

// array writes an array of elements. An ARRAY of NULL alone would have another type.
func (q *script) array(n int, element func(int) string) {
	q.text.WriteString("E'{")
	for i := range n {
		if i > 0 {
			q.text.WriteString(",")
		}
		q.text.WriteString(element(i))
	}
	q.text.WriteString("}'")
}

// elementText returns a text as an element of an array, within a literal.
func elementText(text string) string {
	inner := literal(`"` + strings.NewReplacer(`"`, `\"`, `\`, `\\`).Replace(text) + `"`)
	return inner[len("E'") : len(inner)-len("'")]
}

// readsAs reports whether the server reads the letters of a text that comes before any setting
// as they are meant. A function that a trigger calls may have changed that for the session.
func readsAs(conn *pgconn.PgConn) bool {
	return conn.ParameterStatus("client_encoding") == "UTF8" && conn.ParameterStatus("standard_conforming_strings") == "on"
}

// runScript runs a transaction that write writes, with the rows of a COPY that is part of it,
// in one round trip. It does nothing, and returns [errUnpredicted], in a session that has not
// prepared its statements.
func (s *sessions) runScript(
	ctx context.Context, o pgx.TxOptions, patience time.Duration, rows *pgcopy.Reader, write func(*script),
) (done completed, err error) {
	conn, err := s.Acquire(ctx)
	if err != nil {
		return done, err
	}
	defer conn.Release()
	own := sessionOf(conn.Conn())
	q := s.newScript(own, o, patience)
	write(q)
	q.add("COMMIT")
	if q.unknown || own.pooled || !readsAs(conn.Conn().PgConn()) {
		return done, errUnpredicted
	}
	w := s.watch(ctx, own.pid, min(patience/3, time.Second))
	defer w.stop()
	own.used = true
	done, err = exchange(ctx, conn.Conn().PgConn(), q.text.String(), rows)
	if err == nil && done.last.String() != "COMMIT" {
		err = pgx.ErrTxCommitRollback
	}
	if err == nil {
		return done, nil
	}
	s.leave(ctx, conn.Conn(), err)
	if ctx.Err() == nil && refusedBySession(err) {
		s.Reset()
	}
	return done, w.explain(err)
}

// leave ends the transaction that a connection may still be in after an error. A connection
// that was lost, or whose answers were not waited for, is closed.
func (s *sessions) leave(ctx context.Context, conn *pgx.Conn, err error) {
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTime)
	defer cancel()
	if _, ok := refusal(err); !ok || lost(err) {
		_ = conn.Close(after) // the error that matters is the first
		return
	}
	if conn.PgConn().TxStatus() != noTransaction {
		_, _ = conn.PgConn().Exec(after, "ROLLBACK").ReadAll()
	}
}
