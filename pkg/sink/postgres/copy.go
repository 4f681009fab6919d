package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink/postgres/pgcopy"
)

// copy sends rows to a table, in the same round trip as statements that come first; those
// end with a semicolon.
func (w *Writer) copy(ctx context.Context, tx pgx.Tx, s *scratch, first, table string, portions []portion) (uint64, error) {
	r := newReader(portions, s.buf)
	tag, err := copyFrom(ctx, tx.Conn().PgConn(), r, first+w.spec.copyInto(table))
	var failed error
	s.buf, failed = r.Stop()
	if failed != nil { // the driver's error only says that the COPY was broken off
		return 0, failed
	}
	if sent := countRows(portions); err == nil && uint64(tag.RowsAffected()) != sent {
		return 0, w.spec.discrepancy("COPY sent %d rows, and %d were stored", sent, tag.RowsAffected())
	}
	if err == nil {
		return uint64(tag.RowsAffected()), nil
	}
	if misread(err) {
		return 0, fault.Permanent(fmt.Errorf("table %s: a column is not of the type that it was when this sink was started; "+
			"start it again: %w", w.spec, err))
	}
	if w.spec.perPartition > 0 && noPartition(err) {
		return 0, errNoPartition
	}
	if pg, line, ok := refused(err); ok && !(w.spec.upsert() && pg.Code == uniqueViolation) {
		if p, row, found := nth(portions, line); found {
			return 0, w.spec.bad(p, row, w.spec.badRow(pg))
		}
	}
	return 0, err
}

// copyInto returns the statement that takes the rows of a COPY.
func (g *tableSpec) copyInto(table string) string {
	return fmt.Sprintf("COPY %s (%s) FROM STDIN (FORMAT binary)", table, g.list())
}

// copyFrom sends a COPY to the server. The driver writes statement, rows and end one by one,
// with two more goroutines; what is short goes in one piece.
func copyFrom(ctx context.Context, conn *pgconn.PgConn, r *pgcopy.Reader, sql string) (pgconn.CommandTag, error) {
	if _, short := r.Whole(); !short {
		return conn.CopyFrom(ctx, r, sql)
	}
	done, err := exchange(ctx, conn, sql, r)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	return done.last, nil
}

// completed is what the server has done of a text of statements.
type completed struct {
	statements int
	last       pgconn.CommandTag
}

// exchange sends a text of statements, and the rows of a COPY that is one of them, without
// waiting for an answer in between. rows may be nil. The server may refuse a statement, or a
// row, before it has read all: it skips the other statements then, and drops the rest of the
// rows.
func exchange(ctx context.Context, conn *pgconn.PgConn, sql string, rows *pgcopy.Reader) (done completed, err error) {
	// An empty pipeline is what can be flushed while the server is busy writing.
	p := conn.StartPipeline(ctx)
	if err := p.Flush(); err != nil { // it was not started
		return done, err
	}
	out := conn.Frontend()
	out.SendQuery(&pgproto3.Query{String: sql})
	var failed error // to encode the rows
	for last := rows == nil; !last; {
		var chunk []byte
		if chunk, last, failed = rows.Next(); failed != nil {
			out.Send(&pgproto3.CopyFail{Message: "the rows could not be encoded"})
			break
		}
		out.Send(&pgproto3.CopyData{Data: chunk})
		if last {
			out.Send(&pgproto3.CopyDone{})
			break
		}
		if err := p.Flush(); err != nil {
			return done, err
		}
	}
	if err := p.Flush(); err != nil {
		return done, err
	}
	if err := p.Close(); err != nil {
		return done, err
	}
	// The driver would start a goroutine for each message, to watch the context.
	watched := context.AfterFunc(ctx, func() { _ = conn.Conn().SetReadDeadline(time.Unix(1, 0)) })
	defer func() {
		if !watched() { // the deadline stays
			_ = conn.Close(ctx)
		}
	}()
	var refused error
	for {
		message, err := conn.ReceiveMessage(context.Background())
		if err != nil {
			_ = conn.Conn().Close() // the rest of the answer may still come
			return done, errors.Join(refused, context.Cause(ctx), err)
		}
		switch m := message.(type) {
		case *pgproto3.ErrorResponse:
			refused = pgconn.ErrorResponseToPgError(m)
		case *pgproto3.CommandComplete:
			done.statements, done.last = done.statements+1, pgconn.NewCommandTag(string(m.CommandTag))
		case *pgproto3.ReadyForQuery:
			return done, errors.Join(failed, refused)
		}
	}
}
