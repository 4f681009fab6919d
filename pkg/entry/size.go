package entry

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/util"
)

// rowsSize returns about how many bytes rows [i, j) of rec take in an IPC stream,
// before compression. It costs a few reads per column, whatever the number of
// rows, and grows with j: a cut can be searched for.
func rowsSize(rec arrow.RecordBatch, i, j int) int {
	size := 0
	for _, col := range rec.Columns() {
		size += columnSize(col, i, j)
	}
	return size
}

func columnSize(col arrow.Array, i, j int) int {
	if i >= j {
		return 0
	}
	rows := j - i
	size := 0
	if col.NullN() > 0 {
		size = (rows + 7) / 8
	}
	switch col := col.(type) {
	case array.ExtensionArray:
		return columnSize(col.Storage(), i, j)
	case *array.Null:
		return 0
	case *array.Dictionary:
		return size + columnSize(col.Indices(), i, j) + columnSize(col.Dictionary(), 0, col.Dictionary().Len())
	case array.BinaryLike:
		// Also of 64-bit offsets: 4 bytes a value do not move a cut.
		end := col.ValueOffset64(j-1) + int64(col.ValueLen(j-1))
		return size + 4*rows + int(end-col.ValueOffset64(i))
	case *array.StringView:
		return size + viewSize(col, i, j)
	case *array.BinaryView:
		return size + viewSize(col, i, j)
	case *array.FixedSizeList:
		start, _ := col.ValueOffsets(i)
		_, end := col.ValueOffsets(j - 1)
		return size + columnSize(col.ListValues(), int(start), int(end))
	case *array.List, *array.LargeList, *array.Map:
		list := col.(array.ListLike)
		start, _ := list.ValueOffsets(i)
		_, end := list.ValueOffsets(j - 1)
		return size + 4*rows + columnSize(list.ListValues(), int(start), int(end))
	case *array.Struct:
		for f := range col.NumField() {
			size += columnSize(col.Field(f), i, j)
		}
		return size
	}
	if fixed, ok := col.DataType().(arrow.FixedWidthDataType); ok {
		return size + (rows*fixed.BitWidth()+7)/8
	}
	// The rare rest (unions, list views, runs): by the share of rows.
	return int(float64(util.TotalArraySize(col)) * float64(rows) / float64(col.Len()))
}

// viewSize returns 16 bytes a value and those that do not fit into them.
func viewSize(col interface {
	ValueLen(int) int
	IsNull(int) bool
}, i, j int) int {
	size := arrow.ViewHeaderSizeBytes * (j - i)
	for ; i < j; i++ {
		if n := col.ValueLen(i); n > 12 && !col.IsNull(i) {
			size += n
		}
	}
	return size
}
