package pgcopy_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math/big"
	"reflect"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/sink/postgres/pgcopy"
)

// fixedTypes are types whose values may have any bits.
var fixedTypes = []arrow.DataType{
	arrow.PrimitiveTypes.Int8, arrow.PrimitiveTypes.Int16, arrow.PrimitiveTypes.Int32, arrow.PrimitiveTypes.Int64,
	arrow.PrimitiveTypes.Uint8, arrow.PrimitiveTypes.Uint16, arrow.PrimitiveTypes.Uint32, arrow.PrimitiveTypes.Uint64,
	arrow.FixedWidthTypes.Float16, arrow.PrimitiveTypes.Float32, arrow.PrimitiveTypes.Float64, arrow.FixedWidthTypes.Date32,
	arrow.FixedWidthTypes.Date64, arrow.FixedWidthTypes.Time32s, arrow.FixedWidthTypes.Time64ns, arrow.FixedWidthTypes.Timestamp_s,
	arrow.FixedWidthTypes.Timestamp_ms, arrow.FixedWidthTypes.Timestamp_us, arrow.FixedWidthTypes.Timestamp_ns,
	arrow.FixedWidthTypes.Duration_s, arrow.FixedWidthTypes.Duration_ns, arrow.FixedWidthTypes.MonthInterval,
	arrow.FixedWidthTypes.DayTimeInterval, arrow.FixedWidthTypes.MonthDayNanoInterval, &arrow.FixedSizeBinaryType{ByteWidth: 16},
	&arrow.Decimal32Type{Precision: 9, Scale: 3}, &arrow.Decimal64Type{Precision: 18, Scale: 18}, &arrow.Decimal128Type{Precision: 38},
	&arrow.Decimal256Type{Precision: 76, Scale: -3}, extensions.NewUUIDType(),
}

// thereTypes are types of columns that may be there.
var thereTypes = []pgcopy.Type{
	{SQL: "smallint", Base: "smallint", Modifier: -1}, {SQL: "integer", Base: "integer", Modifier: -1}, {SQL: "bigint", Base: "bigint", Modifier: -1},
	{SQL: "numeric", Base: "numeric", Modifier: -1}, {SQL: "numeric(4,0)", Base: "numeric", Modifier: 4 + 4<<16},
	{SQL: "numeric(38,9)", Base: "numeric", Modifier: 4 + 38<<16 + 9}, {SQL: "double precision", Base: "double precision", Modifier: -1},
	{SQL: "timestamp(3) with time zone", Base: "timestamp with time zone", Modifier: 3}, {SQL: "uuid", Base: "uuid", Modifier: -1},
	{SQL: "character(20)", Base: "character", Modifier: 24}, {SQL: "time(0) without time zone", Base: "time without time zone"},
	{SQL: "text", Base: "text", Modifier: -1}, {SQL: "jsonb", Base: "jsonb", Modifier: -1}, {SQL: "json", Base: "json", Modifier: -1},
	{SQL: "mood", Name: "mood", Base: pgcopy.Enum, Modifier: -1, Labels: []string{"sad"}},
}

// copied writes the rows of an array that are valid, and takes the COPY apart again. It
// returns their fields, nil for NULL, and whether each row was valid.
func copied(t *testing.T, e pgcopy.Encoding, arr arrow.Array) (fields [][]byte, valid []bool) {
	t.Helper()
	values := e.Bind(arr)
	rows := pgcopy.Rows{Values: []pgcopy.Values{values, values}, To: arr.Len(), Drop: make([]bool, arr.Len())}
	for i := range arr.Len() {
		bad, reason := values.Invalid(i, i+1)
		if (bad >= 0) != (reason != "") || (bad >= 0 && (bad != i || arr.IsNull(i))) {
			t.Fatalf("%s into %s: row %d is invalid at %d: %q", arr.DataType(), e.SQL, i, bad, reason)
		}
		rows.Drop[i] = bad >= 0
		valid = append(valid, bad < 0)
	}
	if first, _ := values.Invalid(0, arr.Len()); first >= 0 && (valid[first] || bytes.Contains(boolBytes(valid[:first]), []byte{0})) {
		t.Fatalf("%s into %s: the first invalid row is %d of %v", arr.DataType(), e.SQL, first, valid)
	}
	r := pgcopy.NewReader([]*pgcopy.Rows{&rows}, nil)
	var copy bytes.Buffer
	if _, err := copy.ReadFrom(r); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Stop(); err != nil {
		t.Fatal(err)
	}
	all, err := split(2, 1, copy.Bytes())
	if err != nil {
		t.Fatalf("%s into %s: %v", arr.DataType(), e.SQL, err)
	}
	for i := range arr.Len() {
		if !valid[i] {
			fields = append(fields, nil)
			continue
		}
		if len(all) == 0 || (all[0].field == nil) != arr.IsNull(i) {
			t.Fatalf("%s into %s: row %d of %v is lacking or NULL", arr.DataType(), e.SQL, i, arr)
		}
		fields, all = append(fields, all[0].field), all[1:]
	}
	return fields, valid
}

func boolBytes(all []bool) []byte {
	bytes := make([]byte, len(all))
	for i, b := range all {
		if b {
			bytes[i] = 1
		}
	}
	return bytes
}

// FuzzFixedWidth writes any bits as every type: each row comes back whole, and numbers that
// are taken are what was sent.
func FuzzFixedWidth(f *testing.F) {
	f.Add([]byte{}, byte(0))
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00"), byte(2))
	f.Add(bytes.Repeat([]byte{0xff}, 96), byte(0xfe))
	f.Add(bytes.Repeat([]byte{0, 0, 0, 0x80}, 24), byte(1))
	f.Add(bytes.Repeat([]byte{0xff, 0xff, 0xff, 0x7f}, 24), byte(0xaa))
	f.Fuzz(func(t *testing.T, raw []byte, validity byte) {
		for _, dt := range fixedTypes {
			storage := dt
			if x, ok := dt.(arrow.ExtensionType); ok {
				storage = x.StorageType()
			}
			n := min(8, len(raw)/(storage.(arrow.FixedWidthDataType).BitWidth()/8))
			data := array.NewData(dt, n, []*memory.Buffer{memory.NewBufferBytes([]byte{validity}), memory.NewBufferBytes(raw)}, nil, array.UnknownNullCount, 0)
			arr := array.MakeFromData(data)
			own, err := pgcopy.Default(dt)
			if err != nil {
				t.Fatal(err)
			}
			encodings := []pgcopy.Encoding{own}
			for _, as := range []string{pgcopy.AsBigint, pgcopy.AsNumeric, pgcopy.AsHex} {
				if e, ok := pgcopy.Override(dt, as); ok {
					encodings = append(encodings, e)
				}
			}
			for _, there := range thereTypes {
				if e, ok := pgcopy.Fit(dt, "", there); ok {
					encodings = append(encodings, e)
				}
			}
			for _, e := range encodings {
				fields, valid := copied(t, e, arr)
				wantNumbers(t, e, arr, fields, valid)
			}
		}
	})
}

// wantNumbers compares integers with what was written of them.
func wantNumbers(t *testing.T, e pgcopy.Encoding, arr arrow.Array, fields [][]byte, valid []bool) {
	t.Helper()
	if !arrow.IsInteger(arr.DataType().ID()) {
		return
	}
	for i, field := range fields {
		if arr.IsNull(i) || !valid[i] {
			continue
		}
		want := arr.ValueStr(i)
		got := new(big.Int)
		if e.Base == "numeric" {
			got = numericOf(t, field).Num()
		} else {
			n, err := pgcopy.Integer(field, false)
			if err != nil {
				t.Fatal(err)
			}
			got.SetInt64(n)
		}
		if got.String() != want {
			t.Errorf("%s %s is written as %s %s", arr.DataType(), want, e.SQL, got)
		}
	}
}

// numericOf reads a numeric, and fails if it is not in the one form that PostgreSQL has.
func numericOf(t *testing.T, field []byte) *big.Rat {
	t.Helper()
	n, weight := int(binary.BigEndian.Uint16(field)), int(int16(binary.BigEndian.Uint16(field[2:])))
	if len(field) != 8+2*n {
		t.Fatalf("the numeric %x has not %d digits", field, n)
	}
	sum := new(big.Int)
	for k := range n {
		digit := binary.BigEndian.Uint16(field[8+2*k:])
		if digit > 9999 || (digit == 0 && (k == 0 || k == n-1)) {
			t.Fatalf("the numeric %x is not in its normal form", field)
		}
		sum.Add(sum.Mul(sum, big.NewInt(10000)), big.NewInt(int64(digit)))
	}
	if binary.BigEndian.Uint16(field[4:]) != 0 {
		sum.Neg(sum)
	}
	exponent := weight - n + 1
	power := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10000), big.NewInt(int64(max(exponent, -exponent))), nil))
	if exponent < 0 {
		power.Inv(power)
	}
	return power.Mul(power, new(big.Rat).SetInt(sum))
}

func textOf(text string) arrow.Array {
	b := array.NewStringBuilder(memory.DefaultAllocator)
	defer b.Release()
	b.Append(text)
	b.AppendNull()
	return b.NewArray()
}

// FuzzText writes a text as every type that takes it: numbers and JSON keep their value,
// and JSON has one form.
func FuzzText(f *testing.F) {
	for _, seed := range []string{"", "sad", "a\x00", "\xff", "äö", "0", "-1.50", ".5", "1e18", "+12e-3", "99999", "1e131073", "null", `"\u00e4\ud83d\ude00"`,
		`{"b": 1, "a": [1.0, 1e2, {}], "b": "x"}`, `{"aa":1,"b":2}`, "[[[]]", `"\ud800"`, "\u3042 "} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		arr := textOf(text)
		for _, there := range thereTypes {
			e, ok := pgcopy.Fit(arr.DataType(), "", there)
			if !ok {
				continue
			}
			fields, valid := copied(t, e, arr)
			switch {
			case !valid[0]:
			case there.Base == "text" && string(fields[0]) != text:
				t.Errorf("%q is written as %q", text, fields[0])
			case there.Base == "numeric" && len(text) < 100:
				want, ok := new(big.Rat).SetString(text)
				if got := numericOf(t, fields[0]); !ok || got.Cmp(want) != 0 {
					t.Errorf("%q is written as the number %v", text, got)
				}
			case there.Base == "jsonb" && len(text) < 100:
				wantJSON(t, text, fields[0][1:])
			}
		}
	})
}

// wantJSON compares a text with the JSON that it became.
func wantJSON(t *testing.T, text string, got []byte) {
	t.Helper()
	again, _ := pgcopy.Fit(arrow.BinaryTypes.String, "", pgcopy.Type{SQL: "jsonb", Base: "jsonb", Modifier: -1})
	if fields, valid := copied(t, again, textOf(string(got))); !valid[0] || !bytes.Equal(fields[0][1:], got) {
		t.Errorf("%q becomes %q, and that %q", text, got, fields[0])
	}
	if a, b := decoded(t, []byte(text)), decoded(t, got); !reflect.DeepEqual(a, b) {
		t.Errorf("%q becomes %q", text, got)
	}
}

// decoded reads JSON with its numbers as fractions.
func decoded(t *testing.T, text []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%q is no JSON: %v", text, err)
	}
	return fractions(v)
}

func fractions(v any) any {
	switch v := v.(type) {
	case json.Number:
		r, _ := new(big.Rat).SetString(v.String())
		return r.String()
	case []any:
		for i := range v {
			v[i] = fractions(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = fractions(v[k])
		}
	}
	return v
}
