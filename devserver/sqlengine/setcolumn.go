package sqlengine

import (
	"fmt"
	"math/big"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/duckdb/duckdb-go/v2"
)

// setColumn copies rows of an Arrow column, from the row given on, to a column
// of a chunk.
func setColumn(chunk duckdb.DataChunk, column int, from arrow.Array, at, rows int) error {
	switch a := from.(type) {
	case *array.Uint64:
		return setEach(chunk, column, a, at, rows, a.Value)
	case *array.Uint32:
		return setEach(chunk, column, a, at, rows, a.Value)
	case *array.Int32:
		return setEach(chunk, column, a, at, rows, a.Value)
	case *array.Int64:
		return setEach(chunk, column, a, at, rows, a.Value)
	case *array.Boolean:
		return setEach(chunk, column, a, at, rows, a.Value)
	case *array.FixedSizeBinary:
		return setEach(chunk, column, a, at, rows, a.Value)
	case *array.Binary:
		return setEach(chunk, column, a, at, rows, a.Value)
	case *array.String:
		return setEach(chunk, column, a, at, rows, a.Value)
	default:
		for i := range rows {
			value, err := goValue(from, at+i)
			if err != nil {
				return err
			}
			if err := chunk.SetValue(column, i, value); err != nil {
				return err
			}
		}
		return nil
	}
}

func setEach[T any](chunk duckdb.DataChunk, column int, from arrow.Array, at, rows int, value func(int) T) error {
	for i := range rows {
		var err error
		if from.IsNull(at + i) {
			err = chunk.SetValue(column, i, nil)
		} else {
			err = duckdb.SetChunkValue(chunk, column, i, value(at+i))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// goValue returns a value in a form that DuckDB's driver takes.
func goValue(a arrow.Array, i int) (any, error) {
	if a.IsNull(i) {
		return nil, nil
	}
	switch a := a.(type) {
	case *array.Boolean:
		return a.Value(i), nil
	case *array.Int8:
		return a.Value(i), nil
	case *array.Int16:
		return a.Value(i), nil
	case *array.Int32:
		return a.Value(i), nil
	case *array.Int64:
		return a.Value(i), nil
	case *array.Uint8:
		return a.Value(i), nil
	case *array.Uint16:
		return a.Value(i), nil
	case *array.Uint32:
		return a.Value(i), nil
	case *array.Uint64:
		return a.Value(i), nil
	case *array.Float16:
		return a.Value(i).Float32(), nil
	case *array.Float32:
		return a.Value(i), nil
	case *array.Float64:
		return a.Value(i), nil
	case *array.FixedSizeBinary:
		return a.Value(i), nil
	case *array.Binary:
		return a.Value(i), nil
	case *array.LargeBinary:
		return a.Value(i), nil
	case *array.BinaryView:
		return a.Value(i), nil
	case array.StringLike:
		return a.Value(i), nil
	case *array.Decimal128:
		return decimal(a.Value(i), a.DataType().(*arrow.Decimal128Type)), nil
	case *array.Timestamp:
		return a.Value(i).ToTime(a.DataType().(*arrow.TimestampType).Unit), nil
	case *array.Date32:
		return a.Value(i).ToTime(), nil
	case *array.Date64:
		return a.Value(i).ToTime(), nil
	case array.ListLike:
		return goList(a, i)
	case *array.Struct:
		return goStruct(a, i)
	}
	return nil, fmt.Errorf("no SQL over columns of type %s", a.DataType())
}

func decimal(v decimal128.Num, t *arrow.Decimal128Type) duckdb.Decimal {
	return duckdb.Decimal{Width: uint8(t.Precision), Scale: uint8(t.Scale), Value: v.BigInt()}
}

func goList(a array.ListLike, i int) (any, error) {
	from, to := a.ValueOffsets(i)
	if m, isMap := a.(*array.Map); isMap {
		var out duckdb.OrderedMap
		for j := int(from); j < int(to); j++ {
			key, err := goValue(m.Keys(), j)
			if err != nil {
				return nil, err
			}
			item, err := goValue(m.Items(), j)
			if err != nil {
				return nil, err
			}
			out.Set(key, item)
		}
		return out, nil
	}
	out := make([]any, 0, to-from)
	for j := int(from); j < int(to); j++ {
		item, err := goValue(a.ListValues(), j)
		if err != nil {
			return nil, err
		}
		out = append(out, item)
	}
	return out, nil
}

func goStruct(a *array.Struct, i int) (any, error) {
	out := make(map[string]any, a.NumField())
	for f, field := range a.DataType().(*arrow.StructType).Fields() {
		value, err := goValue(a.Field(f), i)
		if err != nil {
			return nil, err
		}
		out[field.Name] = value
	}
	return out, nil
}

// integer widens any of the driver's numbers.
func integer(value any) (*big.Int, bool) {
	switch v := value.(type) {
	case int8:
		return big.NewInt(int64(v)), true
	case int16:
		return big.NewInt(int64(v)), true
	case int32:
		return big.NewInt(int64(v)), true
	case int64:
		return big.NewInt(v), true
	case uint8:
		return new(big.Int).SetUint64(uint64(v)), true
	case uint16:
		return new(big.Int).SetUint64(uint64(v)), true
	case uint32:
		return new(big.Int).SetUint64(uint64(v)), true
	case uint64:
		return new(big.Int).SetUint64(v), true
	case *big.Int:
		return v, true
	case duckdb.Decimal:
		if v.Scale == 0 {
			return v.Value, true
		}
	}
	return nil, false
}
