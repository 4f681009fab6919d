package delta

import (
	"context"
	"fmt"
	"sort"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/compute"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// structConverter converts the fields.
func structConverter(t arrow.DataType, fields []converter) converter {
	return func(a arrow.Array) (arrow.Array, error) {
		s := a.(*array.Struct)
		children := make([]arrow.ArrayData, len(fields))
		for i, convert := range fields {
			child, err := convert.apply(s.Field(i))
			if err != nil {
				return nil, err
			}
			defer child.Release()
			children[i] = child.Data()
		}
		return build(t, a, children), nil
	}
}

// listConverter makes a plain list of any kind of list.
func listConverter(t arrow.DataType, element converter) converter {
	return func(a arrow.Array) (arrow.Array, error) {
		values, offsets, err := elements(a)
		if err != nil {
			return nil, err
		}
		defer values.Release()
		converted, err := element.apply(values)
		if err != nil {
			return nil, inRow(err, holder(offsets))
		}
		defer converted.Release()
		return build(t, a, []arrow.ArrayData{converted.Data()}, memory.NewBufferBytes(arrow.GetBytes(offsets))), nil
	}
}

// mapConverter converts keys and values.
func mapConverter(t *arrow.MapType, key, value converter) converter {
	return func(a arrow.Array) (arrow.Array, error) {
		m := a.(*array.Map)
		_, offsets, from, to := window(m)
		pairs := make([]arrow.ArrayData, 2)
		for i, side := range []struct {
			values  arrow.Array
			convert converter
		}{{m.Keys(), key}, {m.Items(), value}} {
			some := array.NewSlice(side.values, from, to)
			defer some.Release()
			converted, err := side.convert.apply(some)
			if err != nil {
				return nil, inRow(err, holder(offsets))
			}
			defer converted.Release()
			pairs[i] = converted.Data()
		}
		entries := array.NewData(t.Elem(), int(to-from), []*memory.Buffer{nil}, pairs, 0, 0)
		defer entries.Release()
		return build(t, a, []arrow.ArrayData{entries}, memory.NewBufferBytes(arrow.GetBytes(offsets))), nil
	}
}

// holder finds the list that an element is of.
func holder(offsets []int32) func(int) int {
	return func(at int) int {
		return sort.Search(len(offsets)-1, func(i int) bool { return int(offsets[i+1]) > at })
	}
}

// window gives the values that a list refers to as [from, to) of all its values,
// and offsets that count from there.
func window(a array.ListLike) (values arrow.Array, offsets []int32, from, to int64) {
	values = a.ListValues()
	offsets = make([]int32, a.Len()+1)
	if a.Len() == 0 {
		return values, offsets, 0, 0
	}
	from, _ = a.ValueOffsets(0)
	for i := range a.Len() {
		_, to = a.ValueOffsets(i)
		offsets[i+1] = int32(to - from)
	}
	return values, offsets, from, to
}

// elements gives the values of all lists behind each other, and where each list
// ends. The caller releases them.
func elements(a arrow.Array) (arrow.Array, []int32, error) {
	switch a := a.(type) {
	case *array.List, *array.LargeList, *array.FixedSizeList:
		values, offsets, from, to := window(a.(array.ListLike))
		return array.NewSlice(values, from, to), offsets, nil
	case array.ListLike: // the views: their lists may lie anywhere
		offsets := make([]int32, a.Len()+1)
		b := array.NewInt64Builder(memory.DefaultAllocator)
		defer b.Release()
		for i := range a.Len() {
			if a.IsValid(i) {
				from, to := a.ValueOffsets(i)
				for at := from; at < to; at++ {
					b.Append(at)
				}
			}
			offsets[i+1] = int32(b.Len())
		}
		indices := b.NewArray()
		defer indices.Release()
		values, err := compute.TakeArray(context.Background(), a.ListValues(), indices)
		if err != nil {
			return nil, nil, fmt.Errorf("gather the elements of a list: %w", err)
		}
		return values, offsets, nil
	default:
		return nil, nil, fmt.Errorf("the type %s is not a list", a.DataType())
	}
}

// decoded looks the values of a dictionary up.
func decoded(inner converter) converter {
	return func(a arrow.Array) (arrow.Array, error) {
		d := a.(*array.Dictionary)
		values, err := compute.TakeArray(context.Background(), d.Dictionary(), d.Indices())
		if err != nil {
			return nil, fmt.Errorf("decode a dictionary: %w", err)
		}
		defer values.Release()
		return inner.apply(values)
	}
}

// stored takes the values out of an extension type.
func stored(inner converter) converter {
	return func(a arrow.Array) (arrow.Array, error) { return inner.apply(a.(array.ExtensionArray).Storage()) }
}
