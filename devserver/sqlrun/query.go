package sqlrun

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"iter"
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
func (p *Plan) query(ctx context.Context, snapshots Snapshots) (iter.Seq2[arrow.RecordBatch, error], error) {
	s, err := p.open(ctx, snapshots, true)
	if err != nil {
		return nil, err
	}
	stmt, err := s.prepare(ctx, p.sql)
	if err != nil {
		return nil, errors.Join(planRefusal(err), s.close())
	}
	rows, err := stmt.QueryContext(ctx, nil)
	if err != nil && isConversion(err) { // of a constant: a real server folds it
		return nil, errors.Join(planRefusal(err), stmt.Close(), s.close())
	}
	return func(yield func(arrow.RecordBatch, error) bool) {
		defer s.close()
		defer stmt.Close()
		switch {
		case err != nil:
			yield(nil, rowRefusal(err))
			return
		case p.dividesByZero():
			text := "Divide by zero error"
			yield(nil, internal("query execution error | Caused by: Arrow error: "+text+" -> "+text))
			return
		}
		defer rows.Close()
		p.batches(rows, yield)
	}, nil
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

// dividesByZero tells whether the query divides by the constant 0: DuckDB makes
// infinity or null of that, a real server an error.
func (p *Plan) dividesByZero() bool {
	return p.tree.anywhere(func(e *expr, _ *scope) bool {
		if e.Class != "FUNCTION" || e.Function != "/" && e.Function != "//" && e.Function != "%" || len(e.Children) != 2 {
			return false
		}
		zero, isInt := e.Children[1].integer()
		return isInt && zero.Sign() == 0
	})
}

// isConversion tells whether a constant could not be converted, rather than the
// value of a row.
func isConversion(err error) bool {
	var refused *duckdb.Error
	return errors.As(err, &refused) && refused.Type == duckdb.ErrorTypeConversion &&
		!strings.Contains(refused.Msg, "when casting from source column")
}

// planRefusal is for what fails after the schema is known and before rows.
func planRefusal(err error) error {
	var refused *duckdb.Error
	if !errors.As(err, &refused) {
		return err
	}
	text, _, _ := strings.Cut(refused.Msg, "\n\nLINE ")
	if refused.Type == duckdb.ErrorTypeConversion {
		text = "Cast error: " + text
		return planError("failed to optimize logical plan -> Optimizer rule 'simplify_expressions' failed\ncaused by\nArrow error: " +
			text + " -> Arrow error: " + text + " -> " + text)
	}
	return planError("Error during planning: " + text)
}

// rowRefusal is for what fails while rows are computed.
func rowRefusal(err error) error {
	var refused *duckdb.Error
	if !errors.As(err, &refused) {
		return err
	}
	if refused.Type == duckdb.ErrorTypeOutOfMemory {
		return &Error{Exhausted, "query execution error | Caused by: Resources exhausted: " + refused.Msg}
	}
	return internal("query execution error | Caused by: " + refused.Msg)
}
