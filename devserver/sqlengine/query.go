package sqlengine

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/duckdb/duckdb-go/v2"
)

// resultRows is how many rows a batch of a DuckDB result has: the default of a
// real server's query engine (AP 1.6).
const resultRows = 8192

// query runs what is not a scan. What a real server finds while it plans is
// returned; what it finds while it runs comes with the rows.
func (p *Plan) query(ctx context.Context, snapshots Snapshots) (_ *Result, err error) {
	s, err := p.open(ctx, snapshots, true)
	if err != nil {
		return nil, err
	}
	q := &running{session: s}
	defer func() {
		if err != nil {
			err = errors.Join(err, q.close())
		}
	}()
	if q.stmt, err = s.prepare(ctx, p.sql); err != nil {
		return nil, planRefusal(err)
	}
	rows, failed := q.stmt.QueryContext(ctx, nil)
	if failed == nil {
		q.rows = rows
	}
	if failed != nil && isConversion(failed) { // a real server folds constants
		return nil, planRefusal(failed)
	}
	return &Result{close: q.close, rows: func(yield func(arrow.RecordBatch, error) bool) {
		switch {
		case failed != nil:
			yield(nil, rowRefusal(failed))
		case p.dividesByZero():
			text := "Divide by zero error"
			yield(nil, internal("query execution error | Caused by: Arrow error: "+text+" -> "+text))
		default:
			p.batches(rows, yield)
		}
	}}, nil
}

// running is a DuckDB query and what has to be closed after it, innermost
// first.
type running struct {
	session *session
	stmt    *duckdb.Stmt
	rows    driver.Rows
}

func (q *running) close() error {
	var errs []error
	if q.rows != nil {
		errs = append(errs, q.rows.Close())
	}
	if q.stmt != nil {
		errs = append(errs, q.stmt.Close())
	}
	return errors.Join(append(errs, q.session.close())...)
}

func (p *Plan) batches(rows driver.Rows, yield func(arrow.RecordBatch, error) bool) {
	b := array.NewRecordBuilder(memory.DefaultAllocator, p.Schema)
	defer b.Release()
	values := make([]driver.Value, p.Schema.NumFields())
	for n := 1; ; n++ {
		err := rows.Next(values)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			yield(nil, rowRefusal(err))
			return
		}
		for i, v := range values {
			if err := appendValue(b.Field(i), v); err != nil {
				yield(nil, internal("query execution error | Caused by: column "+p.Schema.Field(i).Name+": "+err.Error()))
				return
			}
		}
		if n%resultRows == 0 && !yield(b.NewRecordBatch(), nil) {
			return
		}
	}
	if b.Field(0).Len() > 0 {
		yield(b.NewRecordBatch(), nil)
	}
}

// dividesByZero reports whether the query divides by the constant 0: DuckDB makes
// infinity or null of that, a real server an error.
func (p *Plan) dividesByZero() bool {
	return p.tree.anywhere(func(e *expr, _ *scope) bool {
		if e.Class != "FUNCTION" || (e.Function != "/" && e.Function != "//" && e.Function != "%") || len(e.Children) != 2 {
			return false
		}
		zero, isInt := e.Children[1].integer()
		return isInt && zero.Sign() == 0
	})
}

// isConversion reports whether a constant could not be converted, rather than the
// value of a row.
func isConversion(err error) bool {
	refused, _ := refusal(err)
	return refused != nil && refused.Type == duckdb.ErrorTypeConversion && !strings.Contains(refused.Msg, "when casting from source column")
}

// refusal returns an error of DuckDB, and its text without the excerpt of the query; nil
// if err is another.
func refusal(err error) (*duckdb.Error, string) {
	var refused *duckdb.Error
	if !errors.As(err, &refused) {
		return nil, ""
	}
	text, _, _ := strings.Cut(refused.Msg, "\n\nLINE ")
	return refused, text
}

// planRefusal is for what fails after the schema is known and before rows.
func planRefusal(err error) error {
	refused, text := refusal(err)
	if refused == nil {
		return err
	}
	if refused.Type == duckdb.ErrorTypeConversion {
		text = "Cast error: " + text
		return planError("failed to optimize logical plan -> Optimizer rule 'simplify_expressions' failed\ncaused by\nArrow error: " +
			text + " -> Arrow error: " + text + " -> " + text)
	}
	return planError("Error during planning: " + text)
}

// rowRefusal is for what fails while rows are computed.
func rowRefusal(err error) error {
	refused, text := refusal(err)
	if refused == nil {
		return err
	}
	if refused.Type == duckdb.ErrorTypeOutOfMemory {
		return &Error{Exhausted, "query execution error | Caused by: Resources exhausted: " + refused.Msg}
	}
	switch refused.Type {
	case duckdb.ErrorTypeConversion:
		text = "Cast error: " + strings.TrimPrefix(text, "Conversion Error: ")
	case duckdb.ErrorTypeOutOfRange:
		text = "Arithmetic overflow: " + strings.TrimPrefix(text, "Out of Range Error: ")
	default:
		return internal("query execution error | Caused by: Execution error: " + text)
	}
	return internal("query execution error | Caused by: Arrow error: " + text + " -> " + text)
}
