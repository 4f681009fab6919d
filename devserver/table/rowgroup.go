package table

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
)

// plainSchema takes off what the Parquet reader adds to the schema that the
// writer stored: metadata of the file and field numbers.
func plainSchema(s *arrow.Schema) *arrow.Schema {
	fields := make([]arrow.Field, s.NumFields())
	for i, f := range s.Fields() {
		fields[i] = plainField(f)
	}
	return arrow.NewSchema(fields, nil)
}

func plainField(f arrow.Field) arrow.Field {
	f.Metadata = arrow.Metadata{}
	switch t := f.Type.(type) {
	case *arrow.ListType:
		f.Type = arrow.ListOfField(plainField(t.ElemField()))
	case *arrow.LargeListType:
		f.Type = arrow.LargeListOfField(plainField(t.ElemField()))
	case *arrow.FixedSizeListType:
		f.Type = arrow.FixedSizeListOfField(t.Len(), plainField(t.ElemField()))
	case *arrow.StructType:
		fields := make([]arrow.Field, t.NumFields())
		for i, child := range t.Fields() {
			fields[i] = plainField(child)
		}
		f.Type = arrow.StructOf(fields...)
	}
	return f
}

// readGroup reads all columns of a row group.
func readGroup(ctx context.Context, path string, schema *arrow.Schema, index int) ([]arrow.RecordBatch, error) {
	r, err := file.OpenParquetFile(path, false)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	arrows, err := openArrow(r)
	if err != nil {
		return nil, err
	}
	batches, err := readColumns(ctx, arrows, schema, index, All(schema))
	if err != nil {
		return nil, fmt.Errorf("read row group %d of %s: %w", index, path, err)
	}
	return batches, nil
}

func openArrow(r *file.Reader) (*pqarrow.FileReader, error) {
	return pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{BatchSize: batchRows}, memory.DefaultAllocator)
}

// readColumns reads columns, given in ascending order, of a row group, with the
// fields of schema instead of the reader's.
func readColumns(ctx context.Context, r *pqarrow.FileReader, schema *arrow.Schema, index int, columns []int) ([]arrow.RecordBatch, error) {
	var leaves []int
	var fields []arrow.Field
	for _, c := range columns {
		leaves = append(leaves, leafColumns(r.Manifest.Fields[c])...)
		fields = append(fields, schema.Field(c))
	}
	reader, err := r.GetRecordReader(ctx, leaves, []int{index})
	if err != nil {
		return nil, err
	}
	defer reader.Release()
	plain := arrow.NewSchema(fields, nil)
	var batches []arrow.RecordBatch
	for reader.Next() {
		got := reader.RecordBatch()
		batches = append(batches, array.NewRecordBatch(plain, got.Columns(), got.NumRows()))
	}
	if err := reader.Err(); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return batches, nil
}

// batchRows is how many rows a batch of a file has: the default of the query
// engine of a real server (AP 1.6).
const batchRows = 8192

func leafColumns(f pqarrow.SchemaField) []int {
	if len(f.Children) == 0 {
		return []int{f.ColIndex}
	}
	var leaves []int
	for _, child := range f.Children {
		leaves = append(leaves, leafColumns(child)...)
	}
	return leaves
}

// groupBlocks reads the block column of a row group for its bounds, and returns
// which of the other columns named hold the same numbers.
func groupBlocks(r *pqarrow.FileReader, schema *arrow.Schema, index int, others []string) (block.Range, []string, error) {
	columns := schema.FieldIndices(BlockColumn)
	if len(columns) != 1 {
		return block.Range{}, nil, fmt.Errorf("no column %s", BlockColumn)
	}
	for _, name := range others {
		columns = append(columns, schema.FieldIndices(name)...)
	}
	slices.Sort(columns)
	batches, err := readColumns(context.Background(), r, schema, index, columns)
	if err != nil {
		return block.Range{}, nil, err
	}
	var blocks block.Range
	for _, b := range batches {
		defer b.Release()
		numbers, err := blockNumbers(b)
		if err != nil {
			return block.Range{}, nil, err
		}
		first, last := block.Number(numbers[0]), block.Number(numbers[len(numbers)-1])
		if blocks.Empty() {
			blocks.Start = first
		} else if first < blocks.Last() {
			return block.Range{}, nil, errUnsorted
		}
		blocks.End = last + 1
		others = slices.DeleteFunc(others, func(name string) bool {
			other, isNumber := b.Column(b.Schema().FieldIndices(name)[0]).(*array.Uint64)
			return !isNumber || other.NullN() > 0 || !slices.Equal(other.Uint64Values(), numbers)
		})
	}
	return blocks, others, nil
}
