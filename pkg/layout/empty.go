// Package layout makes Arrow arrays in the memory layouts that a reader may meet:
// without rows as Amp's server sends them, of nulls only, sliced, nested. The
// servers that tests talk to frame their answers with it, and the tests of every
// package that reads arrays run all of its [Cases].
package layout

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// EmptyBatch returns a batch of a schema without rows, laid out as Amp's server
// sends one: no buffer has any bytes, not even one of offsets (AP 1.6). Arrow
// allows that for an array of length 0; arrow-go's ValueBytes and ValueOffset do
// not expect it. Go's collector owns the memory.
func EmptyBatch(schema *arrow.Schema) arrow.RecordBatch {
	columns := make([]arrow.Array, schema.NumFields())
	for i, f := range schema.Fields() {
		columns[i] = Empty(f.Type)
		defer columns[i].Release()
	}
	return array.NewRecordBatch(schema, columns, 0)
}

// Empty returns an array without values, none of whose buffers has any bytes,
// those of the arrays inside it included.
func Empty(t arrow.DataType) arrow.Array {
	return emptyOf(t, func() *memory.Buffer { return memory.NewBufferBytes([]byte{}) })
}

// unbacked returns an array without values that has no buffers at all.
func unbacked(t arrow.DataType) arrow.Array {
	return emptyOf(t, func() *memory.Buffer { return nil })
}

func emptyOf(t arrow.DataType, buffer func() *memory.Buffer) arrow.Array {
	data := emptyData(t, buffer)
	defer data.Release()
	return array.MakeFromData(data)
}

func emptyData(t arrow.DataType, buffer func() *memory.Buffer) arrow.ArrayData {
	storage := t
	if ext, ok := t.(arrow.ExtensionType); ok {
		storage = ext.StorageType()
	}
	buffers := make([]*memory.Buffer, len(storage.Layout().Buffers)) // the first is the validity
	for i := range buffers[1:] {
		buffers[i+1] = buffer()
	}
	if d, ok := storage.(*arrow.DictionaryType); ok {
		values := emptyData(d.ValueType, buffer)
		defer values.Release()
		return array.NewDataWithDictionary(t, 0, buffers, 0, 0, values.(*array.Data))
	}
	var children []arrow.ArrayData
	if nested, ok := storage.(arrow.NestedType); ok {
		for _, f := range nested.Fields() {
			child := emptyData(f.Type, buffer)
			defer child.Release()
			children = append(children, child)
		}
	}
	return array.NewData(t, 0, buffers, children, 0, 0)
}
