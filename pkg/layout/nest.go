package layout

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// nesting returns arrays of a type that holds another, around an array of that.
type nesting func(inside shape) []shape

// nest puts every shape inside others.
func nest(inside []shape, with nesting) []shape {
	var all []shape
	for _, s := range inside {
		for _, outside := range with(s) {
			outside.name += ", in it: " + s.name
			all = append(all, outside)
		}
	}
	return all
}

func made(t arrow.DataType, rows, nulls int, buffers []*memory.Buffer, children ...arrow.Array) arrow.Array {
	data := make([]arrow.ArrayData, len(children))
	for i, c := range children {
		data[i] = c.Data()
	}
	d := array.NewData(t, rows, buffers, data, nulls, 0)
	defer d.Release()
	return array.MakeFromData(d)
}

func structOf(in shape) []shape {
	t := arrow.StructOf(
		arrow.Field{Name: "b", Type: in.array.DataType(), Nullable: true},
		arrow.Field{Name: "a", Type: in.array.DataType(), Nullable: true},
	)
	rows := in.array.Len()
	whole, holes := make([]any, rows), make([]any, rows)
	nulls := 0
	for i := range rows {
		whole[i] = []any{in.values[i], in.values[i]}
		if i%3 != 1 {
			holes[i] = whole[i]
		} else {
			nulls++
		}
	}
	all := []shape{{"structs", made(t, rows, 0, []*memory.Buffer{nil}, in.array, in.array), whole}}
	if rows > 0 {
		gone := made(t, rows, rows, []*memory.Buffer{bitmap(rows, func(int) bool { return false })}, in.array, in.array)
		all = append(all, shape{"nulls instead of structs", gone, make([]any, rows)})
	}
	if rows > 2 {
		over := made(t, rows, nulls, []*memory.Buffer{bitmap(rows, func(i int) bool { return i%3 != 1 })}, in.array, in.array)
		all = append(all, shape{"nulls over structs", over, holes},
			shape{"a slice of structs", array.NewSlice(over, 1, int64(rows)-1), holes[1 : rows-1]})
	}
	return all
}

func listOf(in shape) []shape {
	t := arrow.ListOf(in.array.DataType())
	return lists(t, in.array, in, func(v []any) any { return listed(v) }, offsets[int32])
}

func largeListOf(in shape) []shape {
	t := arrow.LargeListOf(in.array.DataType())
	return lists(t, in.array, in, func(v []any) any { return listed(v) }, offsets[int64])
}

func mapOf(in shape) []shape {
	t := arrow.MapOf(arrow.BinaryTypes.String, in.array.DataType())
	keys := array.NewStringBuilder(memory.DefaultAllocator)
	defer keys.Release()
	first := min(1, in.array.Len()) // where the last map begins: the keys of each begin anew
	for i := range in.array.Len() {
		if i >= first {
			i -= first
		}
		keys.Append(keyOf(i))
	}
	all := keys.NewArray()
	if in.array.Len() == 0 {
		all = Empty(arrow.BinaryTypes.String)
	}
	entries := made(t.Elem(), in.array.Len(), 0, []*memory.Buffer{nil}, all, in.array)
	return lists(t, entries, in, func(v []any) any { return pairs(v) }, offsets[int32])
}

func offsets[O int32 | int64](at ...int) *memory.Buffer {
	all := make([]O, len(at))
	for i, n := range at {
		all[i] = O(n)
	}
	return memory.NewBufferBytes(arrow.GetBytes(all))
}

// lists returns lists of elements, whose values are those of in: an empty one, one
// of the first element and one of the rest.
func lists(t arrow.DataType, elements arrow.Array, in shape, list func([]any) any, offsets func(...int) *memory.Buffer) []shape {
	n, one := elements.Len(), min(1, elements.Len())
	at := offsets(0, 0, one, n)
	over := made(t, 3, 1, []*memory.Buffer{bitmap(3, func(i int) bool { return i != 1 }), at}, elements)
	first, last := list(in.values[:one]), list(in.values[one:])
	return []shape{
		{"lists", made(t, 3, 0, []*memory.Buffer{nil, at}, elements), []any{list(nil), first, last}},
		{"nulls over lists", over, []any{list(nil), nil, last}},
		{"a slice of lists", array.NewSlice(over, 1, 3), []any{nil, last}},
		{"the last list", array.NewSlice(over, 2, 3), []any{last}},
		{"no lists", array.NewSlice(over, 1, 1), nil},
		{"no lists and empty buffers", made(t, 0, 0, []*memory.Buffer{nil, memory.NewBufferBytes([]byte{})}, elements), nil},
		{"no lists and no buffers", made(t, 0, 0, []*memory.Buffer{nil, nil}, elements), nil},
		{
			"nulls instead of lists",
			made(t, 2, 2, []*memory.Buffer{bitmap(2, func(int) bool { return false }), offsets(0, 0, 0)}, elements), []any{nil, nil},
		},
	}
}

// listViewOf returns lists that stand in another order than their elements.
func listViewOf(in shape) []shape {
	t := arrow.ListViewOf(in.array.DataType())
	n, one := in.array.Len(), min(1, in.array.Len())
	starts, sizes := offsets[int32](one, 0, 0), offsets[int32](n-one, 0, one)
	over := made(t, 3, 1, []*memory.Buffer{bitmap(3, func(i int) bool { return i != 0 }), starts, sizes}, in.array)
	first, last := listed(in.values[:one]), listed(in.values[one:])
	return []shape{
		{"lists", made(t, 3, 0, []*memory.Buffer{nil, starts, sizes}, in.array), []any{last, listed(nil), first}},
		{"nulls over lists", over, []any{nil, listed(nil), first}},
		{"a slice of lists", array.NewSlice(over, 1, 3), []any{listed(nil), first}},
		{"no lists and no buffers", made(t, 0, 0, []*memory.Buffer{nil, nil, nil}, in.array), nil},
		{
			"nulls instead of lists",
			made(t, 3, 3, []*memory.Buffer{bitmap(3, func(int) bool { return false }), starts, sizes}, in.array), []any{nil, nil, nil},
		},
	}
}

func fixedListOf(in shape) []shape {
	const size = 2
	t := arrow.FixedSizeListOf(size, in.array.DataType())
	rows := in.array.Len() / size
	whole, holes := make([]any, rows), make([]any, rows)
	nulls := 0
	for i := range rows {
		whole[i] = listed(in.values[i*size : (i+1)*size])
		if i%3 != 1 {
			holes[i] = whole[i]
		} else {
			nulls++
		}
	}
	all := []shape{{"lists", made(t, rows, 0, []*memory.Buffer{nil}, in.array), whole}}
	if rows > 1 {
		over := made(t, rows, nulls, []*memory.Buffer{bitmap(rows, func(i int) bool { return i%3 != 1 })}, in.array)
		all = append(all, shape{"nulls over lists", over, holes}, shape{"a slice of lists", array.NewSlice(over, 1, int64(rows)), holes[1:]})
	}
	return all
}

// Batch returns a batch of a block column and a column of the given array. Rows are
// of ascending blocks, from first on; the block column is in a layout that suits:
// without bytes if there are no rows, else a slice.
func Batch(schema *arrow.Schema, first uint64, a arrow.Array) arrow.RecordBatch {
	if schema.NumFields() != 2 || schema.Field(0).Type.ID() != arrow.UINT64 {
		panic(fmt.Sprintf("layout: a block column of uint64 and another, not %v", schema))
	}
	blocks := Empty(arrow.PrimitiveTypes.Uint64)
	if a.Len() > 0 {
		b := array.NewUint64Builder(memory.DefaultAllocator)
		defer b.Release()
		b.Append(0)
		for i := range a.Len() {
			b.Append(first + uint64(i))
		}
		blocks = array.NewSlice(b.NewArray(), 1, int64(a.Len())+1)
	}
	return array.NewRecordBatch(schema, []arrow.Array{blocks, a}, int64(a.Len()))
}
