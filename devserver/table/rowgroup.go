package table

import (
	"context"
	"fmt"

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

// readGroup reads some columns of a row group, in the order given.
func readGroup(ctx context.Context, path string, schema *arrow.Schema, group int, columns []int) ([]arrow.RecordBatch, error) {
	r, err := file.OpenParquetFile(path, false)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	arrows, err := pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		return nil, err
	}
	return readColumns(ctx, arrows, schema, group, columns)
}

func readColumns(ctx context.Context, r *pqarrow.FileReader, schema *arrow.Schema, group int, columns []int) ([]arrow.RecordBatch, error) {
	leaves := r.Manifest.Fields
	var wanted []int // leaf columns of the file, each once, ascending
	position := map[int]int{}
	for c := range leaves {
		for _, want := range columns {
			if want == c {
				position[c] = len(position)
				wanted = append(wanted, leafColumns(leaves[c])...)
				break
			}
		}
	}
	whole, err := r.ReadRowGroups(ctx, wanted, []int{group})
	if err != nil {
		return nil, fmt.Errorf("read row group %d: %w", group, err)
	}
	defer whole.Release()
	reader := array.NewTableReader(whole, batchRows)
	defer reader.Release()
	var batches []arrow.RecordBatch
	for reader.Next() {
		got := reader.RecordBatch()
		fields := make([]arrow.Field, len(columns))
		arrays := make([]arrow.Array, len(columns))
		for i, c := range columns {
			fields[i], arrays[i] = schema.Field(c), got.Column(position[c])
		}
		batches = append(batches, array.NewRecordBatch(arrow.NewSchema(fields, nil), arrays, got.NumRows()))
	}
	return batches, reader.Err()
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

// groupBlocks reads the block column of a row group for its bounds.
func groupBlocks(r *pqarrow.FileReader, schema *arrow.Schema, group int) (block.Range, error) {
	index := schema.FieldIndices(BlockColumn)
	if len(index) != 1 {
		return block.Range{}, fmt.Errorf("no column %s", BlockColumn)
	}
	batches, err := readColumns(context.Background(), r, schema, group, index)
	if err != nil {
		return block.Range{}, err
	}
	var blocks block.Range
	for _, b := range batches {
		defer b.Release()
		numbers, err := blockNumbers(b)
		if err != nil {
			return block.Range{}, err
		}
		first, last := block.Number(numbers[0]), block.Number(numbers[len(numbers)-1])
		if blocks.Empty() {
			blocks.Start = first
		} else if first < blocks.Last() {
			return block.Range{}, errUnsorted
		}
		blocks.End = last + 1
	}
	return blocks, nil
}
