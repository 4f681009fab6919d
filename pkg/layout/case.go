package layout

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Case is an array in some layout. Go's collector owns its memory.
type Case struct {
	Name  string
	Array arrow.Array
	// Plain has the same type and values as Array, as a builder lays them out.
	Plain arrow.Array
}

// Column is a type and arrays of it.
type Column struct {
	Name  string
	Type  arrow.DataType
	Cases []Case
}

// Columns returns every type of [Leaves] by itself and nested, in every layout. Under
// the race detector it returns one in seven of these columns.
func Columns() []Column { return columnsOf(Leaves()...) }

// Some returns the columns of a few types that stand for others of their kind, for
// tests that take long; fewer under the race detector.
func Some() []Column {
	return columnsOf(arrow.Null, arrow.FixedWidthTypes.Boolean, arrow.PrimitiveTypes.Uint64,
		arrow.BinaryTypes.String, arrow.BinaryTypes.BinaryView, &arrow.Decimal128Type{Precision: 38})
}

func columnsOf(types ...arrow.DataType) []Column {
	var all []Column
	for i, t := range types {
		for j, c := range Of(t) {
			if (i*nestings+j)%stride == 0 {
				all = append(all, c)
			}
		}
	}
	return all
}

// nestings is how many columns there are of one leaf type.
const nestings = 8

// Of returns the columns of one leaf type: itself, and each kind of nested type
// that holds it.
func Of(t arrow.DataType) []Column {
	leaf := leafShapes(t)
	deep := nest(nest(nest(leaf[:5], listOf)[:20], structOf), listOf)
	columns := []Column{column(t.String(), leaf)}
	for _, n := range []struct {
		name string
		nest nesting
	}{
		{"struct", structOf}, {"list", listOf}, {"large list", largeListOf}, {"list view", listViewOf},
		{"fixed-size list", fixedListOf}, {"map", mapOf},
	} {
		columns = append(columns, column(n.name+" of "+t.String(), nest(leaf, n.nest)))
	}
	return append(columns, column("list of struct of list of "+t.String(), deep))
}

func column(name string, shapes []shape) Column {
	c := Column{Name: name, Type: shapes[0].array.DataType()}
	for _, s := range shapes {
		c.Cases = append(c.Cases, Case{Name: s.name, Array: s.array, Plain: plain(c.Type, s.values)})
	}
	return c
}

// shape is an array and the values that it stands for.
type shape struct {
	name   string
	array  arrow.Array
	values []any // see [appendTo]
}

// leafRows is enough that a slice begins behind the first byte of a bitmap.
const leafRows = 20

// leafShapes returns a leaf type in every layout.
func leafShapes(t arrow.DataType) []shape {
	mixed, sound := make([]any, leafRows), make([]any, leafRows)
	for i := range leafRows {
		sound[i] = i
		if i%5 != 3 {
			mixed[i] = i
		}
	}
	nulls := make([]any, 4)
	rows, whole := plain(t, mixed), plain(t, sound)
	all := []shape{
		{"rows with nulls", rows, mixed},
		{"rows", whole, sound},
		{"no rows", plain(t, nil), nil},
		{"no rows and empty buffers", Empty(t), nil},
		{"no rows and no buffers", unbacked(t), nil},
		{"a slice of no rows", array.NewSlice(rows, 9, 9), nil},
		{"a slice of no rows at the end", array.NewSlice(rows, leafRows, leafRows), nil},
		{"a slice", array.NewSlice(rows, 9, 15), mixed[9:15]},
		{"a slice of a slice", array.NewSlice(array.NewSlice(rows, 2, 19), 9, 13), mixed[11:15]},
		{"a slice without nulls", array.NewSlice(rows, 9, 13), mixed[9:13]},
		{"nulls", array.MakeArrayOfNull(memory.DefaultAllocator, t, len(nulls)), nulls},
	}
	if t.ID() == arrow.NULL {
		return all
	}
	return append(all,
		shape{"nulls over values", valid(whole, leafRows, func(int) bool { return false }), make([]any, leafRows)},
		shape{"a slice of nulls over values", array.NewSlice(valid(whole, leafRows, func(int) bool { return false }), 9, 13), nulls},
		shape{"rows under a validity without nulls", valid(whole, 0, func(int) bool { return true }), sound},
		shape{"rows with nulls that nobody has counted", valid(whole, array.UnknownNullCount, func(i int) bool { return i%5 != 3 }), mixed},
	)
}

// valid returns an array with another validity, over the same values.
func valid(a arrow.Array, nulls int, set func(int) bool) arrow.Array {
	d := a.Data()
	buffers := append([]*memory.Buffer{bitmap(a.Len(), set)}, d.Buffers()[1:]...)
	var data *array.Data
	if a.DataType().ID() == arrow.DICTIONARY {
		data = array.NewDataWithDictionary(a.DataType(), d.Len(), buffers, nulls, 0, d.Dictionary().(*array.Data))
	} else {
		data = array.NewData(a.DataType(), d.Len(), buffers, d.Children(), nulls, 0)
	}
	defer data.Release()
	return array.MakeFromData(data)
}

func bitmap(n int, set func(int) bool) *memory.Buffer {
	bits := make([]byte, bitutil.BytesForBits(int64(n)))
	for i := range n {
		bitutil.SetBitTo(bits, i, set(i))
	}
	return memory.NewBufferBytes(bits)
}
