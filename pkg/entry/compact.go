package entry

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// compact returns rec under the given schema, with its views rewritten. A slice
// of any other column is cut out of its buffers when it is written; a slice of
// views takes the whole buffers they point into with it. Any cast to text in a
// query yields views (AP 5), so this is common. A slice of list views cannot be
// written at all: the Arrow library reads its elements from a wrong place.
func compact(schema *arrow.Schema, rec arrow.RecordBatch) (arrow.RecordBatch, error) {
	cols := make([]arrow.Array, 0, rec.NumCols())
	defer func() {
		for _, col := range cols {
			col.Release()
		}
	}()
	for i, col := range rec.Columns() {
		if !contains(col.DataType(), func(t arrow.DataType) bool { return isView(t) || isListView(t) }) {
			col.Retain()
			cols = append(cols, col)
			continue
		}
		tight, err := compactColumn(col)
		if err != nil {
			return nil, fmt.Errorf("compact column %q: %w", rec.ColumnName(i), err)
		}
		cols = append(cols, tight)
	}
	return array.NewRecordBatch(schema, cols, rec.NumRows()), nil
}

func compactColumn(col arrow.Array) (arrow.Array, error) {
	if isView(col.DataType()) {
		return compactViews(col), nil
	}
	// Copying cuts the children of lists down to what the slice shows.
	whole, err := Concatenate([]arrow.Array{col})
	if err != nil {
		return nil, err
	}
	defer whole.Release()
	data := rewrite(whole.Data(), isView, func(views arrow.ArrayData) arrow.ArrayData {
		loose := array.MakeFromData(views)
		defer loose.Release()
		tight := compactViews(loose)
		defer tight.Release()
		tight.Data().Retain()
		return tight.Data()
	})
	defer data.Release()
	return array.MakeFromData(data), nil
}

// rewrite returns data with every part of a certain type, however deep, replaced
// by what the function makes of it. The caller releases the result.
func rewrite(data arrow.ArrayData, what func(arrow.DataType) bool, with func(arrow.ArrayData) arrow.ArrayData) arrow.ArrayData {
	if what(data.DataType()) {
		return with(data)
	}
	if !contains(data.DataType(), what) {
		data.Retain()
		return data
	}
	children := make([]arrow.ArrayData, len(data.Children()))
	for i, child := range data.Children() {
		children[i] = rewrite(child, what, with)
		defer children[i].Release()
	}
	return array.NewData(data.DataType(), data.Len(), data.Buffers(), children, data.NullN(), data.Offset())
}

// compactViews copies the values into buffers of their own.
func compactViews(col arrow.Array) arrow.Array {
	switch col := col.(type) {
	case *array.StringView:
		b := array.NewStringViewBuilder(memory.DefaultAllocator)
		defer b.Release()
		b.Reserve(col.Len())
		for i := range col.Len() {
			if col.IsNull(i) {
				b.AppendNull()
			} else {
				b.Append(col.Value(i))
			}
		}
		return b.NewArray()
	case *array.BinaryView:
		b := array.NewBinaryViewBuilder(memory.DefaultAllocator)
		defer b.Release()
		b.Reserve(col.Len())
		for i := range col.Len() {
			if col.IsNull(i) {
				b.AppendNull()
			} else {
				b.Append(col.Value(i))
			}
		}
		return b.NewArray()
	default:
		col.Retain()
		return col
	}
}
