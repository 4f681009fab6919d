package amp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/fault"
)

// Message is one record batch of an answer. Its rows may be none: the schema is
// there all the same.
type Message struct {
	// Record is borrowed: it is valid until the next message is asked for, unless
	// it is retained.
	Record arrow.RecordBatch
	Metadata
	release func() // nil: nothing to do
}

// Release ends the loan of Record before the next message is asked for, so that its memory
// is free while the caller waits for something else. It need not be called.
func (m Message) Release() {
	if m.release != nil {
		m.release()
	}
}

// ErrIncomplete says that an answer ended without an error and yet without its
// closing message: rows may be missing, so the query must be asked again.
var ErrIncomplete = errors.New("the answer ended before its closing message")

// Info returns the schema of a query's answer without running the query: the
// server plans it (AP 1.3), so a query that cannot work is mostly refused here.
// Nullability is the planner's guess.
func (c *Client) Info(ctx context.Context, sql string) (*arrow.Schema, error) {
	p, err := c.plan(ctx, sql)
	if err != nil {
		return nil, err
	}
	return p.schema, nil
}

// Head returns the ranges of the tables that a query reads, at most one for each
// network: how far the server has got. It is empty when a table has no data yet
// (AP 2). The rows are not wanted, so let the query end in LIMIT 0.
func (c *Client) Head(ctx context.Context, sql string) ([]Range, error) {
	for m, err := range c.fetch(ctx, sql, false) {
		return m.Ranges, err // the same on every message of a batch answer
	}
	return nil, fmt.Errorf("read head: %w", ErrIncomplete) // not reached: Fetch yields a message or an error
}

// Fetch runs a batch query and yields its record batches in the order of the
// server, at least one, the last without rows and with Complete set. Each loop
// over the result asks the server anew; leaving the loop ends the query.
//
// An error is yielded last, classed for [fault.Of]. Those to branch on are
// [ErrTooMuch] (ask for a smaller range) and, of the many that are just tried
// again, [ErrIncomplete], [ErrSchemaChanged] and [ErrNoAnswer], which is an [ErrTooMuch]
// as well if it is for the first rows. A cancelled ctx yields its cause.
func (c *Client) Fetch(ctx context.Context, sql string) iter.Seq2[Message, error] {
	return c.fetch(ctx, sql, true)
}

// fetch is Fetch for a query that is to bring rows, or for one that only describes them.
func (c *Client) fetch(ctx context.Context, sql string, rows bool) iter.Seq2[Message, error] {
	first, late := c.cfg.forAnswer(), func(err error) error { return err }
	if rows {
		first, late = c.cfg.forFirstRows(), lateRows
	}
	return func(yield func(Message, error) bool) {
		a, err := c.ask(ctx, sql, first, late)
		if err != nil {
			yield(Message{}, err)
			return
		}
		defer a.close()
		for complete, begun := false, false; ; {
			m, err := a.next()
			if !begun {
				err = late(err)
			}
			switch {
			case errors.Is(err, io.EOF) && complete:
				return
			case errors.Is(err, io.EOF):
				err = fmt.Errorf("%s: %w", opGet, ErrIncomplete)
			case err == nil && complete:
				err = violation(opGet, errors.New("a message follows the closing one"))
			}
			if err != nil {
				yield(Message{}, err)
				return
			}
			complete = m.Complete
			if m.Record.NumRows() > 0 {
				begun = true
				a.wait.limit = c.cfg.forNextRows()
			}
			if !yield(m, nil) {
				return
			}
		}
	}
}

// ask opens the answer to a query, which may be prepared. If the server refuses what was
// prepared, it is planned anew.
func (c *Client) ask(ctx context.Context, sql string, first patience, late func(error) error) (*answer, error) {
	p, prepared := c.prepared.take(sql)
	if prepared {
		a, err := c.get(ctx, p, first)
		if fault.Of(err) != fault.ClassPermanent && !errors.Is(err, ErrSchemaChanged) {
			return a, late(err)
		}
	}
	p, err := c.plan(ctx, sql)
	if err != nil {
		return nil, err
	}
	a, err := c.get(ctx, p, first)
	return a, late(err)
}

// lateRows marks that a server did not bring the first rows in time: it may have more of
// them to sort than it can.
func lateRows(err error) error {
	if errors.Is(err, ErrNoAnswer) {
		return fmt.Errorf("%w: %w", ErrTooMuch, err)
	}
	return err
}
