package memsink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/layout"
	"github.com/ampipe/ampipe/pkg/sink"
)

// Writer implements [sink.Writer] on a [Store].
type Writer struct {
	store *Store
	table sink.Table
}

var errClosed = errors.New("the writer is not open")

// Open creates the table, or checks that the one that is there has the same
// columns.
func (w *Writer) Open(ctx context.Context, t sink.Table) error {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	columns, key, err := w.fits(ctx, t)
	if err != nil {
		return err
	}
	w.store.columns, w.store.key = columns, key
	w.table = t
	return nil
}

// fits returns what the store holds of a table, or why it cannot hold it. The store is
// locked.
func (w *Writer) fits(ctx context.Context, t sink.Table) (columns []string, key []int, err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if t.BlockColumn < 0 || t.BlockColumn >= t.Schema.NumFields() || !arrow.IsInteger(t.Schema.Field(t.BlockColumn).Type.ID()) {
		return nil, nil, fault.Permanent(fmt.Errorf("open table: the block column, at index %d, is not an integer column; "+
			"set source.block_column", t.BlockColumn))
	}
	columns = make([]string, t.Schema.NumFields())
	for i, f := range t.Schema.Fields() {
		columns[i] = f.Name + " " + f.Type.String()
	}
	for _, name := range w.store.Key {
		found := t.Schema.FieldIndices(name)
		if len(found) != 1 {
			return nil, nil, fault.Permanent(fmt.Errorf("open table: %d columns are called %q, the name of a key column; "+
				"change the key or the query", len(found), name))
		}
		key = append(key, found[0])
	}
	if w.store.columns != nil && !slices.Equal(w.store.columns, columns) {
		return nil, nil, fault.Permanent(fmt.Errorf("open table: it has the columns %q, the query gives %q; use another table",
			w.store.columns, columns))
	}
	return columns, key, nil
}

// State returns what is committed.
func (w *Writer) State(ctx context.Context) (sink.State, error) {
	if err := w.ready(ctx); err != nil {
		return sink.State{}, err
	}
	if w.store.Faults.State != nil {
		if err := w.store.Faults.State(); err != nil {
			return sink.State{}, err
		}
	}
	return w.store.CommitState().State, nil
}

// Apply makes the changes; see [sink.Writer].
func (w *Writer) Apply(ctx context.Context, changes []sink.Change) (sink.Applied, error) {
	if err := w.ready(ctx); err != nil {
		return sink.Applied{}, err
	}
	s := w.store
	if s.Faults.Begin != nil {
		if err := s.Faults.Begin(ctx, changes); err != nil {
			return sink.Applied{}, err
		}
	}
	applied, err := w.commit(ctx, changes)
	if err != nil {
		return sink.Applied{}, err
	}
	if s.Faults.Committed != nil {
		if err := s.Faults.Committed(); err != nil {
			return sink.Applied{}, err
		}
	}
	return applied, nil
}

// Prune removes the rows of old blocks; see [sink.Pruner].
func (w *Writer) Prune(ctx context.Context, o sink.PruneOptions) (sink.Pruned, error) {
	if err := w.ready(ctx); err != nil {
		return sink.Pruned{}, err
	}
	s := w.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.key) > 0 && !slices.Contains(s.key, w.table.BlockColumn) {
		return sink.Pruned{}, fault.Permanent(errors.New("the key lacks the block column, so a row of an old block is what its key is today"))
	}
	next := s.state.Clone()
	next.Prune(o.Before)
	done := sink.Pruned{Before: next.Pruned}
	below := block.Range{End: next.Pruned}
	if o.Dry {
		for n, rows := range s.rows {
			if below.Has(n) {
				done.Rows += uint64(len(rows))
			}
		}
		return done, nil
	}
	s.state, done.Rows = *next, s.remove(below)
	return done, nil
}

// stepRows is a step with its rows read out of Arrow.
type stepRows struct {
	sink.Step
	rows []Row
}

func (w *Writer) commit(ctx context.Context, changes []sink.Change) (sink.Applied, error) {
	s := w.store
	take := s.Take
	if take == nil {
		take = (*sink.CommitState).Take
	}
	s.mu.Lock()
	defer s.mu.Unlock()

	// Everything that can go wrong comes before the first row is touched.
	state := s.state.Clone()
	steps := make([]stepRows, 0, len(changes))
	for _, c := range changes {
		step, err := take(state, c, w.table.BlockColumn)
		if err != nil {
			return sink.Applied{}, err
		}
		rows, err := w.read(step.Write, s.Faults.Row)
		if err != nil {
			return sink.Applied{}, err
		}
		steps = append(steps, stepRows{step, rows})
	}
	if s.Faults.Commit != nil {
		if err := s.Faults.Commit(); err != nil {
			return sink.Applied{}, err
		}
	}
	if err := ctx.Err(); err != nil {
		return sink.Applied{}, err
	}

	var applied sink.Applied
	for _, step := range steps {
		for _, r := range step.Delete {
			applied.Deleted += s.remove(r)
		}
		for _, row := range step.rows {
			s.put(row)
		}
		applied.Rows += uint64(len(step.rows))
		applied.Skipped += step.Skipped
	}
	s.state = *state
	return applied, nil
}

// read copies rows out of Arrow. check, if not nil, may refuse them.
func (w *Writer) read(runs []sink.RowRange, check func(Row) error) ([]Row, error) {
	var rows []Row
	for _, run := range runs {
		blocks, err := sink.BlocksOf(run.Record, w.table.BlockColumn)
		if err != nil {
			return nil, err
		}
		for i := run.From; i < run.To; i++ {
			row := Row{Block: blocks.At(i), Values: make([]any, run.Record.NumCols())}
			for c, col := range run.Record.Columns() {
				if !col.IsNull(i) {
					row.Values[c] = valueOf(col, i)
				}
			}
			if check != nil {
				if err := check(row); err != nil {
					return nil, w.place(err, row.Block, run.Entry+i-run.From)
				}
			}
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// valueOf copies a value out of an array; of nested types it is the text.
func valueOf(a arrow.Array, i int) any {
	if _, nested := a.DataType().(arrow.NestedType); nested {
		return layout.Text(a, i)
	}
	return owned(a.GetOneForMarshal(i))
}

// owned copies what still points into the record.
func owned(v any) any {
	switch v := v.(type) {
	case string:
		return strings.Clone(v)
	case []byte:
		return bytes.Clone(v)
	default:
		return v
	}
}

// place fills in where a refused row stands.
func (w *Writer) place(err error, n block.Number, row int) error {
	if bad, ok := errors.AsType[*sink.BadRowError](err); ok {
		return fault.Permanent(&sink.BadRowError{Block: n, Row: row, Column: bad.Column, Reason: bad.Reason})
	}
	return err
}

// Close forgets the table.
func (w *Writer) Close() error {
	w.table = sink.Table{}
	return nil
}

func (w *Writer) ready(ctx context.Context) error {
	if w.table.Schema == nil {
		return fault.Permanent(errClosed)
	}
	return ctx.Err()
}
