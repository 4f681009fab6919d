package parquetfile

import (
	"encoding/binary"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
)

// Digits that integers of 32 and 64 bits can hold.
const (
	digitsOf32 = 9
	digitsOf64 = 18
)

// decimals writes decimals: as integers if these can hold the digits, or else as bytes, the
// highest first.
type decimals struct {
	integer   bool
	width     int
	low, high decimal128.Num
	known     bool
}

func newDecimals(t *arrow.Decimal128Type) *decimals {
	switch {
	case t.Precision <= digitsOf32:
		return &decimals{integer: true, width: 4}
	case t.Precision <= digitsOf64:
		return &decimals{integer: true, width: 8}
	}
	return &decimals{width: int(pqarrow.DecimalSize(t.Precision))}
}

func (d *decimals) encode(page []byte, _ int, a arrow.Array, from, to, limit int) ([]byte, int) {
	to = min(to, from+max((limit-len(page))/d.width, 0))
	values := a.(*array.Decimal128)
	for i := from; i < to; i++ {
		if values.IsNull(i) {
			continue
		}
		v := values.Value(i)
		page = d.append(page, v)
		switch {
		case !d.known:
			d.low, d.high, d.known = v, v, true
		case v.Less(d.low):
			d.low = v
		case d.high.Less(v):
			d.high = v
		}
	}
	return page, to
}

func (d *decimals) append(b []byte, v decimal128.Num) []byte {
	if d.integer {
		return appendNumber(b, d.width, v.LowBits())
	}
	var all [16]byte
	binary.BigEndian.PutUint64(all[:8], uint64(v.HighBits()))
	binary.BigEndian.PutUint64(all[8:], v.LowBits())
	return append(b, all[len(all)-d.width:]...)
}

func (d *decimals) bounds() (low, high []byte, ok bool) {
	return d.append(nil, d.low), d.append(nil, d.high), d.known
}

func (d *decimals) reset() { d.known = false }
