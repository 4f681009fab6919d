package sqlengine

import (
	"context"
	"fmt"
	"iter"
	"sync"

	"github.com/ampipe/ampipe/devserver/table"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/duckdb/duckdb-go/v2"
)

// readFunction is the name of the table function behind every view.
const readFunction = "amp_read"

// read is a table as one query sees it.
type read struct {
	ctx      context.Context
	schema   *arrow.Schema
	snapshot table.Snapshot // nil while only types are asked for
	blocks   block.Range

	mu      sync.Mutex
	readers []*reader
}

// readFunction lets DuckDB read what has been registered under a number.
func (e *Engine) readFunction() duckdb.ChunkTableFunction {
	number, err := duckdb.NewTypeInfo(duckdb.TYPE_BIGINT)
	if err != nil {
		panic(err) // BIGINT is a type
	}
	return duckdb.ChunkTableFunction{
		Config: duckdb.TableFunctionConfig{Arguments: []duckdb.TypeInfo{number}},
		BindArguments: func(_ map[string]any, args ...any) (duckdb.ChunkTableSource, error) {
			id, isNumber := args[0].(int64)
			r := e.reading(id)
			if !isNumber || r == nil {
				return nil, fmt.Errorf("no table %v", args[0])
			}
			return r.newReader()
		},
	}
}

// reader hands a table to DuckDB, chunk by chunk. DuckDB calls it from one
// thread at a time.
type reader struct {
	read    *read
	columns []duckdb.ColumnInfo

	projected []int // columns that DuckDB wants, known with the first chunk
	batches   <-chan table.Pulled
	stop      func()
	batch     arrow.RecordBatch
	at        int
}

func (r *read) newReader() (*reader, error) {
	out := &reader{read: r}
	for _, f := range r.schema.Fields() {
		info, err := duckType(f.Type)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", f.Name, err)
		}
		out.columns = append(out.columns, duckdb.ColumnInfo{Name: f.Name, T: info})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.readers = append(r.readers, out)
	return out, nil
}

// close waits for the scans that a query has left unfinished.
func (r *read) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, reader := range r.readers {
		reader.close()
	}
}

// ColumnInfos implements [duckdb.ChunkTableSource].
func (r *reader) ColumnInfos() []duckdb.ColumnInfo { return r.columns }

// Cardinality implements [duckdb.ChunkTableSource].
func (r *reader) Cardinality() *duckdb.CardinalityInfo { return nil }

// Init implements [duckdb.ChunkTableSource].
func (r *reader) Init() {}

// FillChunk implements [duckdb.ChunkTableSource].
func (r *reader) FillChunk(chunk duckdb.DataChunk) error {
	if r.batches == nil {
		r.start(chunk)
	}
	if err := r.advance(); err != nil || r.batch == nil {
		return err // an empty chunk ends the table
	}
	rows := min(duckdb.GetDataChunkCapacity(), int(r.batch.NumRows())-r.at)
	for i, column := range r.projected {
		if err := setColumn(chunk, column, r.batch.Column(i), r.at, rows); err != nil {
			return fmt.Errorf("column %s: %w", r.columns[column].Name, err)
		}
	}
	r.at += rows
	return chunk.SetSize(rows)
}

// start scans only what DuckDB asks for: a column that it does not want has no
// vector. The block column stands in for none at all (count(*)).
func (r *reader) start(chunk duckdb.DataChunk) {
	for i := range r.columns {
		if _, err := chunk.GetVector(i); err == nil {
			r.projected = append(r.projected, i)
		}
	}
	wanted := r.projected
	if len(wanted) == 0 {
		wanted = r.read.schema.FieldIndices(table.BlockColumn)
	}
	r.batches, r.stop = table.Pull(r.read.ctx, func(ctx context.Context) iter.Seq2[arrow.RecordBatch, error] {
		return r.read.snapshot.Scan(ctx, r.read.blocks, wanted)
	})
}

// advance makes sure that there is a row to give, or no batch at the end.
func (r *reader) advance() error {
	if r.batch != nil && r.at < int(r.batch.NumRows()) {
		return nil
	}
	if r.batch != nil {
		r.batch.Release()
	}
	next, more := <-r.batches
	r.batch, r.at = next.Batch, 0
	if !more {
		return r.read.ctx.Err() // a scan that was cut off is not a short table
	}
	return next.Err
}

func (r *reader) close() {
	if r.batches == nil {
		return
	}
	r.stop()
	if r.batch != nil {
		r.batch.Release()
		r.batch = nil
	}
}
