package delta

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/delta/deltalog"
	"github.com/ampipe/ampipe/pkg/sink/delta/storage"
)

// readBatch is how many rows are in memory at a time.
const readBatch = 8192

// readRows reads the rows of a file of a partition, of any writer, as records with the
// columns that ours have, and the blocks that they are of. The records are borrowed.
func (g *target) readRows(
	ctx context.Context, f parquet.ReaderAtSeeker, p partition, each func(arrow.RecordBatch, sink.Blocks) error,
) error {
	r, err := file.NewParquetReader(f)
	if err != nil {
		return fault.Permanent(err)
	}
	reader, err := pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{BatchSize: readBatch}, memory.DefaultAllocator)
	if err != nil {
		return fault.Permanent(err)
	}
	var wanted []int
	schema := r.MetaData().Schema
	for i := range schema.NumColumns() {
		name := schema.Column(i).ColumnPath()[0]
		if slices.ContainsFunc(g.file.Fields(), func(f arrow.Field) bool { return f.Name == name }) {
			wanted = append(wanted, i)
		}
	}
	records, err := reader.GetRecordReader(ctx, wanted, nil)
	if err != nil {
		return fault.Permanent(err)
	}
	defer records.Release()
	for records.Next() {
		rec, err := g.asOurs(records.RecordBatch())
		if err != nil {
			return err
		}
		blocks, err := g.numbers(rec, p)
		if err == nil {
			err = each(rec, blocks)
		}
		rec.Release()
		if err != nil {
			return err
		}
	}
	if err := records.Err(); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// asOurs returns the columns in our order and types: another writer may have a
// column as, say, a large string.
func (g *target) asOurs(rec arrow.RecordBatch) (arrow.RecordBatch, error) {
	columns := make([]arrow.Array, g.file.NumFields())
	defer releaseAll(columns)
	for i, f := range g.file.Fields() {
		found := rec.Schema().FieldIndices(f.Name)
		if len(found) == 0 {
			columns[i] = array.MakeArrayOfNull(memory.DefaultAllocator, f.Type, int(rec.NumRows()))
			continue
		}
		a := rec.Column(found[0])
		t, convert, err := mapType(a.DataType())
		if err == nil && !arrow.TypeEqual(t, f.Type) {
			err = fmt.Errorf("it is of the type %s, and the table says %s", a.DataType(), deltalog.TypeText(deltalog.TypeOf(f.Type)))
		}
		if err == nil {
			columns[i], err = convert.apply(a)
		}
		if err != nil {
			return nil, fault.Permanent(fmt.Errorf("column %q: %w", f.Name, err))
		}
	}
	return array.NewRecordBatch(g.file, columns, rec.NumRows()), nil
}

// readFile is readRows of a file of the log.
func (w *Writer) readFile(ctx context.Context, a *deltalog.Add, each func(arrow.RecordBatch, sink.Blocks) error) error {
	f, err := openFile(ctx, w.store, a.Path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	return w.target.readRows(ctx, f, w.target.partitionFor(a), each)
}

// openFile opens a file of the table by the path that the log has.
func openFile(ctx context.Context, store storage.Store, path string) (storage.File, error) {
	name, err := deltalog.FileName(path)
	if err != nil {
		return nil, err
	}
	f, err := store.Open(ctx, name)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, fault.Permanent(fmt.Errorf("the log names the file %s, and it is gone: "+
			"a vacuum with a retention that is too short, or somebody's hand; load into a new table: %w", name, err))
	}
	return f, err
}
