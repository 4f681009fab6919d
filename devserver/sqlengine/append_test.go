package sqlengine

import (
	"math/big"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// TestNumbersThatDoNotFit: a number becomes a value of a column's type as it is, or an
// error.
func TestNumbersThatDoNotFit(t *testing.T) {
	wide := new(big.Int).Lsh(big.NewInt(1), 70)
	for _, test := range []struct {
		column arrow.DataType
		want   string // "" where the value does not fit
		value  any
	}{
		{arrow.PrimitiveTypes.Int8, "-1", int64(-1)}, {arrow.PrimitiveTypes.Int8, "", uint8(200)},
		{arrow.PrimitiveTypes.Uint8, "200", int32(200)}, {arrow.PrimitiveTypes.Uint8, "", int8(-1)},
		{arrow.PrimitiveTypes.Uint16, "", int32(70000)}, {arrow.PrimitiveTypes.Int32, "70000", int32(70000)},
		{arrow.PrimitiveTypes.Uint32, "", uint64(1) << 32}, {arrow.PrimitiveTypes.Int64, "", uint64(1) << 63},
		{arrow.PrimitiveTypes.Uint64, "9223372036854775808", uint64(1) << 63}, {arrow.PrimitiveTypes.Uint64, "", wide},
		{arrow.PrimitiveTypes.Uint64, "", int64(-1)}, {arrow.PrimitiveTypes.Uint64, "", 1.5},
	} {
		b := array.NewBuilder(memory.DefaultAllocator, test.column)
		err := appendValue(b, test.value)
		values := b.NewArray()
		if (err == nil) != (test.want != "") || (err == nil && values.ValueStr(0) != test.want) {
			t.Errorf("%v in a column of %s is %v, %v; want %q", test.value, test.column, values, err, test.want)
		}
	}
}
