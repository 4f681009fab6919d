package chain

import (
	"fmt"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// row appends the values of one row from the first column to the last. A value
// of the wrong type is a bug of this package and panics.
type row struct {
	b      *array.RecordBuilder
	column *int
}

func (r row) field() array.Builder {
	f := r.b.Field(*r.column)
	*r.column++
	return f
}

func (r row) null()            { r.field().AppendNull() }
func (r row) uint64(v uint64)  { r.field().(*array.Uint64Builder).Append(v) }
func (r row) uint32(v uint32)  { r.field().(*array.Uint32Builder).Append(v) }
func (r row) int32(v int32)    { r.field().(*array.Int32Builder).Append(v) }
func (r row) bool(v bool)      { r.field().(*array.BooleanBuilder).Append(v) }
func (r row) text(v string)    { r.field().(*array.StringBuilder).Append(v) }
func (r row) decimal(v uint64) { r.field().(*array.Decimal128Builder).Append(decimal128.FromU64(v)) }
func (r row) time(v time.Time) {
	r.field().(*array.TimestampBuilder).Append(arrow.Timestamp(v.UnixNano()))
}

func (r row) bytes(v []byte) {
	switch f := r.field().(type) {
	case *array.FixedSizeBinaryBuilder:
		f.Append(v)
	case *array.BinaryBuilder:
		f.Append(v)
	default:
		panic(fmt.Sprintf("column %d is a %T", *r.column-1, f))
	}
}

// optional appends v or, if there is none, null.
func (r row) optional(there bool, v []byte) {
	if !there {
		r.null()
		return
	}
	r.bytes(v)
}
