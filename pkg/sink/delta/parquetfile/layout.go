package parquetfile

import (
	"fmt"
	"runtime"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/arrow-go/v18/parquet/schema"
)

// Layout is how the files of a table are written. Its writers share compressors and buffers.
// It is safe for concurrent use.
type Layout struct {
	schema    *schema.Schema
	props     *parquet.WriterProperties
	newColumn []func() *column
	parallel  int // columns that are encoded at the same time

	mu   sync.Mutex
	idle []*column // of a row group that has been written; nil: there are none
}

// mostParallel bounds the memory of compressors, of which each goroutine needs one: up to 2 MiB.
const mostParallel = 8

// Fits reports whether the columns are of the kinds that this package writes: nullable, not
// nested, and without a dictionary.
func Fits(fields []arrow.Field, props *parquet.WriterProperties) bool {
	for _, f := range fields {
		if !f.Nullable || newValues(f.Type) == nil || props.DictionaryEnabledFor(f.Name) {
			return false
		}
	}
	return true
}

// NewLayout returns the layout of files with these columns, for which Fits is true.
func NewLayout(columns *arrow.Schema, props *parquet.WriterProperties) (*Layout, error) {
	parquetSchema, err := pqarrow.ToParquet(columns, props, pqarrow.DefaultWriterProps())
	if err != nil {
		return nil, fmt.Errorf("lay out a Parquet file: %w", err)
	}
	l := &Layout{schema: parquetSchema, props: props, parallel: min(runtime.NumCPU(), mostParallel)}
	compressors := map[compression]compressor{}
	for i, f := range columns.Fields() {
		path := parquetSchema.Column(i).Path()
		kind := compression{props.CompressionFor(path), props.CompressionLevelFor(path)}
		if compressors[kind] == nil {
			if compressors[kind], err = newCompressor(kind, l.parallel); err != nil {
				return nil, fmt.Errorf("lay out a Parquet file: %w", err)
			}
		}
		l.newColumn = append(l.newColumn, func() *column {
			return &column{values: newValues(f.Type), compress: compressors[kind], limit: int(props.DataPageSize())}
		})
	}
	return l, nil
}

// take returns columns without rows.
func (l *Layout) take() []*column {
	l.mu.Lock()
	columns := l.idle
	l.idle = nil
	l.mu.Unlock()
	if columns == nil {
		columns = make([]*column, len(l.newColumn))
		for i, f := range l.newColumn {
			columns[i] = f()
		}
	}
	return columns
}

// put keeps the buffers of columns for the next row group, whichever file it is of.
func (l *Layout) put(columns []*column) {
	for _, c := range columns {
		c.reset()
	}
	l.mu.Lock()
	l.idle = columns
	l.mu.Unlock()
}
