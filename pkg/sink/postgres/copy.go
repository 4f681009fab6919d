package postgres

import (
	"context"
	"errors"
	"fmt"

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
	tag, err := copyFrom(ctx, tx.Conn().PgConn(), r, fmt.Sprintf("%sCOPY %s (%s) FROM STDIN (FORMAT binary)", first, table, w.spec.list()))
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

// copyFrom sends a COPY to the server. The driver writes statement, rows and end one by one,
// with two more goroutines; what is short goes in one piece. The server may refuse the
// statement, or a row, before it has read all: it drops the rest then.
func copyFrom(ctx context.Context, conn *pgconn.PgConn, r *pgcopy.Reader, sql string) (pgconn.CommandTag, error) {
	rows, short := r.Whole()
	if !short {
		return conn.CopyFrom(ctx, r, sql)
	}
	// An empty pipeline is what can be flushed while the server is busy writing.
	p := conn.StartPipeline(ctx)
	if err := p.Flush(); err != nil { // it was not started
		return pgconn.CommandTag{}, err
	}
	out := conn.Frontend()
	out.SendQuery(&pgproto3.Query{String: sql})
	out.Send(&pgproto3.CopyData{Data: rows})
	out.Send(&pgproto3.CopyDone{})
	if err := p.Flush(); err != nil {
		return pgconn.CommandTag{}, err
	}
	if err := p.Close(); err != nil {
		return pgconn.CommandTag{}, err
	}
	var (
		tag     pgconn.CommandTag
		refused error
	)
	for {
		message, err := conn.ReceiveMessage(ctx)
		if err != nil {
			_ = conn.Conn().Close() // the rest of the answer may still come
			return pgconn.CommandTag{}, errors.Join(refused, err)
		}
		switch m := message.(type) {
		case *pgproto3.ErrorResponse:
			refused = pgconn.ErrorResponseToPgError(m)
		case *pgproto3.CommandComplete:
			tag = pgconn.NewCommandTag(string(m.CommandTag))
		case *pgproto3.ReadyForQuery:
			return tag, refused
		}
	}
}
