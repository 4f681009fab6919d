package delta

import (
	"context"
	"fmt"
	"sort"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/compute"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/entry"
)

// structConverter converts the fields.
func structConverter(t arrow.DataType, fields []converter) converter {
	return func(a arrow.Array) (arrow.Array, error) {
		s := a.(*array.Struct)
		children := make([]arrow.ArrayData, len(fields))
		for i, convert := range fields {
			field := underNulls(s.Field(i), a)
			child, err := convert.apply(field)
			field.Release()
			if err != nil {
				return nil, err
			}
			defer child.Release()
			children[i] = child.Data()
		}
		return build(t, a, children), nil
	}
}

// underNulls returns the field of a struct with the nulls of the struct: what
// stands under them may be anything, and is not the table's business. The Parquet
// writer would even take such decimals for those of other rows.
func underNulls(field, of arrow.Array) arrow.Array {
	if of.NullN() == 0 || field.DataType().ID() == arrow.NULL {
		field.Retain()
		return field
	}
	d := field.Data()
	bits := make([]byte, bitutil.BytesForBits(int64(d.Offset()+d.Len())))
	nulls := 0
	for i := range d.Len() {
		if of.IsValid(i) && field.IsValid(i) {
			bitutil.SetBit(bits, d.Offset()+i)
		} else {
			nulls++
		}
	}
	buffers := append([]*memory.Buffer{memory.NewBufferBytes(bits)}, d.Buffers()[1:]...)
	var masked *array.Data
	if values, ok := d.Dictionary().(*array.Data); ok && values != nil {
		masked = array.NewDataWithDictionary(d.DataType(), d.Len(), buffers, nulls, d.Offset(), values)
	} else {
		masked = array.NewData(d.DataType(), d.Len(), buffers, d.Children(), nulls, d.Offset())
	}
	defer masked.Release()
	return array.MakeFromData(masked)
}

// listConverter makes a plain list of any kind of list.
func listConverter(t arrow.DataType, element converter) converter {
	return func(a arrow.Array) (arrow.Array, error) {
		list := a.(array.ListLike)
		s := spanOf(list)
		values, err := s.convert(list.ListValues(), element)
		if err != nil {
			return nil, err
		}
		defer values.Release()
		return build(t, a, []arrow.ArrayData{values.Data()}, memory.NewBufferBytes(arrow.GetBytes(s.offsets))), nil
	}
}

// mapConverter converts keys and values.
func mapConverter(t *arrow.MapType, key, value converter) converter {
	return func(a arrow.Array) (arrow.Array, error) {
		m := a.(*array.Map)
		s := spanOf(m)
		keys, err := s.convert(m.Keys(), key)
		if err != nil {
			return nil, err
		}
		defer keys.Release()
		values, err := s.convert(m.Items(), value)
		if err != nil {
			return nil, err
		}
		defer values.Release()
		pairs := []arrow.ArrayData{keys.Data(), values.Data()}
		entries := array.NewData(t.Elem(), keys.Len(), []*memory.Buffer{nil}, pairs, 0, 0)
		defer entries.Release()
		return build(t, a, []arrow.ArrayData{entries}, memory.NewBufferBytes(arrow.GetBytes(s.offsets))), nil
	}
}

// span is the elements of all lists of an array, one behind the other, and where
// each list ends.
type span struct {
	offsets  []int32
	from, to int64 // of the elements, if they stand like that already
	picked   []stretch
	scatter  bool // they do not: picked are those wanted
}

// stretch is elements next to each other.
type stretch struct{ from, to int64 }

func spanOf(a array.ListLike) span {
	s := span{offsets: make([]int32, a.Len()+1)}
	for i := range a.Len() {
		from, to := a.ValueOffsets(i)
		if i == 0 {
			s.from, s.to = from, from
		}
		// A null may stand over elements, and the lists of a view anywhere.
		if a.IsNull(i) && from < to || a.IsValid(i) && from < to && from != s.to {
			s.scatter = true
			break
		}
		if a.IsValid(i) && from < to {
			s.to = to
		}
		s.offsets[i+1] = int32(s.to - s.from)
	}
	if !s.scatter {
		return s
	}
	count := int32(0)
	for i := range a.Len() {
		if from, to := a.ValueOffsets(i); a.IsValid(i) && from < to {
			count += int32(to - from)
			if last := len(s.picked) - 1; last >= 0 && s.picked[last].to == from {
				s.picked[last].to = to
			} else {
				s.picked = append(s.picked, stretch{from, to})
			}
		}
		s.offsets[i+1] = count
	}
	return s
}

// convert returns the elements, converted. A refused one is placed in its list.
func (s span) convert(values arrow.Array, c converter) (arrow.Array, error) {
	some, err := s.elements(values)
	if err != nil {
		return nil, err
	}
	defer some.Release()
	converted, err := c.apply(some)
	if err != nil {
		return nil, inRow(err, s.holder)
	}
	return converted, nil
}

func (s span) elements(values arrow.Array) (arrow.Array, error) {
	if !s.scatter {
		return array.NewSlice(values, s.from, s.to), nil
	}
	if len(s.picked) == 0 {
		return array.NewSlice(values, 0, 0), nil
	}
	parts := make([]arrow.Array, len(s.picked))
	for i, p := range s.picked {
		parts[i] = array.NewSlice(values, p.from, p.to)
		defer parts[i].Release()
	}
	some, err := entry.Concatenate(parts)
	if err != nil {
		return nil, fmt.Errorf("collect the elements of a list: %w", err)
	}
	return some, nil
}

// holder finds the list that an element is of.
func (s span) holder(at int) int {
	return sort.Search(len(s.offsets)-1, func(i int) bool { return int(s.offsets[i+1]) > at })
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
