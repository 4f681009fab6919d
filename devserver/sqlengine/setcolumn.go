package sqlengine

import (
	"errors"
	"fmt"
	"math/big"
	"reflect"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/duckdb/duckdb-go/v2"
)

// setColumn copies rows of an Arrow column, from the row given on, to a column
// of a chunk.
func setColumn(chunk duckdb.DataChunk, column int, from arrow.Array, at, rows int) error {
	switch a := from.(type) { // what most columns are is copied without boxing it
	case *array.Uint64:
		return setEach(chunk, column, a, at, rows)
	case *array.Uint32:
		return setEach(chunk, column, a, at, rows)
	case *array.Int32:
		return setEach(chunk, column, a, at, rows)
	case *array.Int64:
		return setEach(chunk, column, a, at, rows)
	case *array.Boolean:
		return setEach(chunk, column, a, at, rows)
	case *array.String:
		return setEach(chunk, column, a, at, rows)
	case values[[]byte]:
		return setEach(chunk, column, a, at, rows)
	}
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

// values is an array of values of type T.
type values[T any] interface {
	arrow.Array
	Value(int) T
}

func setEach[T any](chunk duckdb.DataChunk, column int, from values[T], at, rows int) error {
	for i := range rows {
		var err error
		if from.IsNull(at + i) {
			err = chunk.SetValue(column, i, nil)
		} else {
			err = duckdb.SetChunkValue(chunk, column, i, from.Value(at+i))
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
	case values[[]byte]:
		return a.Value(i), nil
	case array.StringLike:
		return a.Value(i), nil
	case *array.Decimal128:
		t := a.DataType().(*arrow.Decimal128Type)
		return duckdb.Decimal{Width: uint8(t.Precision), Scale: uint8(t.Scale), Value: a.Value(i).BigInt()}, nil
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

func goList(a array.ListLike, i int) (any, error) {
	from, to := a.ValueOffsets(i)
	if m, isMap := a.(*array.Map); isMap {
		var out duckdb.OrderedMap
		for j := int(from); j < int(to); j++ {
			key, keyErr := goValue(m.Keys(), j)
			item, err := goValue(m.Items(), j)
			if err := errors.Join(keyErr, err); err != nil {
				return nil, err
			}
			out.Set(key, item)
		}
		return out, nil
	}
	out := make([]any, to-from)
	for j := range out {
		var err error
		if out[j], err = goValue(a.ListValues(), int(from)+j); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func goStruct(a *array.Struct, i int) (any, error) {
	out := make(map[string]any, a.NumField())
	for f, field := range a.DataType().(*arrow.StructType).Fields() {
		var err error
		if out[field.Name], err = goValue(a.Field(f), i); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// integer widens any of the driver's numbers.
func integer(value any) (*big.Int, bool) {
	switch v := value.(type) {
	case *big.Int:
		return v, true
	case duckdb.Decimal:
		return v.Value, v.Scale == 0
	}
	switch v := reflect.ValueOf(value); {
	case v.CanInt():
		return big.NewInt(v.Int()), true
	case v.CanUint():
		return new(big.Int).SetUint64(v.Uint()), true
	}
	return nil, false
}
