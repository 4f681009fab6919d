package table

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// All lists every column of a schema, for [Snapshot.Scan].
func All(schema *arrow.Schema) []int {
	columns := make([]int, schema.NumFields())
	for i := range columns {
		columns[i] = i
	}
	return columns
}

// Project returns a batch of the columns named by index, sharing their memory. The
// caller releases it.
func Project(batch arrow.RecordBatch, columns []int) arrow.RecordBatch {
	fields := make([]arrow.Field, len(columns))
	arrays := make([]arrow.Array, len(columns))
	for i, c := range columns {
		fields[i], arrays[i] = batch.Schema().Field(c), batch.Column(c)
	}
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), arrays, batch.NumRows())
}
