package delta

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// appendValue writes a value so that different ones give different bytes, however
// the array that it is in is laid out. It knows the types of the table.
func appendValue(b []byte, a arrow.Array, i int) ([]byte, error) {
	if a.IsNull(i) {
		return append(b, 0), nil
	}
	b = append(b, 1)
	switch a := a.(type) {
	case *array.Boolean:
		if a.Value(i) {
			return append(b, 1), nil
		}
		return append(b, 0), nil
	case *array.Int8:
		return append(b, byte(a.Value(i))), nil
	case *array.Int16:
		return binary.LittleEndian.AppendUint16(b, uint16(a.Value(i))), nil
	case *array.Int32:
		return binary.LittleEndian.AppendUint32(b, uint32(a.Value(i))), nil
	case *array.Int64:
		return binary.LittleEndian.AppendUint64(b, uint64(a.Value(i))), nil
	case *array.Float32:
		return binary.LittleEndian.AppendUint32(b, math.Float32bits(a.Value(i))), nil
	case *array.Float64:
		return binary.LittleEndian.AppendUint64(b, math.Float64bits(a.Value(i))), nil
	case *array.Date32:
		return binary.LittleEndian.AppendUint32(b, uint32(a.Value(i))), nil
	case *array.Timestamp:
		return binary.LittleEndian.AppendUint64(b, uint64(a.Value(i))), nil
	case *array.Decimal128:
		v := a.Value(i)
		b = binary.LittleEndian.AppendUint64(b, uint64(v.HighBits()))
		return binary.LittleEndian.AppendUint64(b, v.LowBits()), nil
	case *array.String:
		v := a.Value(i)
		return append(binary.AppendUvarint(b, uint64(len(v))), v...), nil
	case *array.Binary:
		v := a.Value(i)
		return append(binary.AppendUvarint(b, uint64(len(v))), v...), nil
	case *array.Struct:
		var err error
		for f := range a.NumField() {
			if b, err = appendValue(b, a.Field(f), i); err != nil {
				return b, err
			}
		}
		return b, nil
	case *array.Map:
		from, to := a.ValueOffsets(i)
		return appendValues(b, from, to, a.Keys(), a.Items())
	case *array.List:
		from, to := a.ValueOffsets(i)
		return appendValues(b, from, to, a.ListValues())
	}
	return b, fmt.Errorf("hash a value of the type %s: it is not one of the table's", a.DataType())
}

func appendValues(b []byte, from, to int64, of ...arrow.Array) ([]byte, error) {
	b = binary.AppendUvarint(b, uint64(to-from))
	var err error
	for i := int(from); i < int(to); i++ {
		for _, a := range of {
			if b, err = appendValue(b, a, i); err != nil {
				return b, err
			}
		}
	}
	return b, nil
}
