package flightserver

import (
	"encoding/binary"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
)

// A schema is written here by hand because arrow-go, given the same schema,
// writes other bytes than a real server: it lays tables out in another order
// and leaves out the empty list of children. Tests hold the bytes against
// recorded ones.

// schemaMessage returns the IPC message of a schema, as DoGet sends it first. It fails
// for a type that no table of an Amp server has, such as a dictionary.
func schemaMessage(schema *arrow.Schema) ([]byte, error) {
	w := &schemaWriter{flatbuffer: newFlatbuffer()}
	fields := make([]at, schema.NumFields())
	for i, f := range schema.Fields() {
		fields[i] = w.field(f)
	}
	list := w.list(fields)
	w.begin(4)
	w.refer(1, list)
	header := w.end()
	const version5, schemaHeader = 4, 1
	w.begin(5)
	w.set(0, 2, uint64(version5), 0)
	w.set(1, 1, uint64(schemaHeader), 0)
	w.refer(2, header)
	return w.finish(w.end()), w.err
}

// encapsulated returns the schema as FlightInfo carries it: marker, length, message,
// padded to 64 bytes; no end-of-stream marker after it (AP 1.3).
func encapsulated(schema *arrow.Schema) ([]byte, error) {
	const prefix, alignment = 8, 64
	message, err := schemaMessage(schema)
	if err != nil {
		return nil, err
	}
	size := (prefix + len(message) + alignment - 1) / alignment * alignment
	out := make([]byte, size)
	binary.LittleEndian.PutUint32(out, 0xffffffff)
	binary.LittleEndian.PutUint32(out[4:], uint32(size-prefix))
	copy(out[prefix:], message)
	return out, nil
}

type schemaWriter struct {
	*flatbuffer
	err error
}

func (w *schemaWriter) field(f arrow.Field) at {
	name := w.text(f.Name)
	kind, typ, children := w.dataType(f.Type)
	w.begin(7)
	w.refer(0, name)
	w.set(2, 1, uint64(kind), 0)
	w.set(1, 1, flag(1, f.Nullable).v, 0)
	w.refer(5, children)
	w.refer(3, typ)
	return w.end()
}

// The numbers of the union Type in Arrow's Schema.fbs.
const (
	typeNull byte = iota + 1
	typeInt
	typeFloat
	typeBinary
	typeUtf8
	typeBool
	typeDecimal
	typeDate
	typeTime
	typeTimestamp
	typeInterval
	typeList
	typeStruct
	_ // Union
	typeFixedBinary
	typeFixedList
	typeMap
	typeDuration
	typeLargeBinary
	typeLargeUtf8
	typeLargeList
	_ // RunEndEncoded
	typeBinaryView
	typeUtf8View
)

// bare lists the types whose table has no fields.
var bare = map[arrow.Type]byte{
	arrow.NULL: typeNull, arrow.BOOL: typeBool, arrow.BINARY: typeBinary, arrow.STRING: typeUtf8,
	arrow.LARGE_BINARY: typeLargeBinary, arrow.LARGE_STRING: typeLargeUtf8,
	arrow.BINARY_VIEW: typeBinaryView, arrow.STRING_VIEW: typeUtf8View,
}

// dataType writes the table of a type and the list of its children.
func (w *schemaWriter) dataType(t arrow.DataType) (kind byte, typ, children at) {
	if kind, found := bare[t.ID()]; found {
		typ = w.table(0)
		return kind, typ, w.list(nil)
	}
	if nested, is := t.(arrow.NestedType); is {
		return w.nested(nested)
	}
	// Integers and floats have their empty list first, other types last.
	if arrow.IsInteger(t.ID()) || arrow.IsFloating(t.ID()) {
		children = w.list(nil)
		kind, typ = w.number(t.(arrow.FixedWidthDataType))
		return kind, typ, children
	}
	kind, typ = w.fixed(t)
	return kind, typ, w.list(nil)
}

// value is a number field of a table, left out if it has its default.
type value struct {
	field, size  int
	v, byDefault uint64
}

func flag(field int, v bool) value {
	if v {
		return value{field, 1, 1, 0}
	}
	return value{field, 1, 0, 0}
}

// table writes a table of number fields.
func (w *schemaWriter) table(fields int, values ...value) at {
	w.begin(fields)
	for _, v := range values {
		w.set(v.field, v.size, v.v, v.byDefault)
	}
	return w.end()
}

func (w *schemaWriter) number(t arrow.FixedWidthDataType) (byte, at) {
	if arrow.IsFloating(t.ID()) {
		precision := map[int]uint64{16: 0, 32: 1, 64: 2}[t.BitWidth()]
		return typeFloat, w.table(1, value{0, 2, precision, 0})
	}
	return typeInt, w.table(2, flag(1, arrow.IsSignedInteger(t.ID())), value{0, 4, uint64(t.BitWidth()), 0})
}

func (w *schemaWriter) nested(t arrow.NestedType) (kind byte, typ, children at) {
	var items []at
	for _, f := range t.Fields() {
		items = append(items, w.field(f))
	}
	switch t := t.(type) {
	case *arrow.FixedSizeListType:
		kind, typ = typeFixedList, w.table(1, value{0, 4, uint64(t.Len()), 0})
	case *arrow.MapType:
		kind, typ = typeMap, w.table(1, flag(0, t.KeysSorted))
	case *arrow.ListType:
		kind, typ = typeList, w.table(0)
	case *arrow.LargeListType:
		kind, typ = typeLargeList, w.table(0)
	case *arrow.StructType:
		kind, typ = typeStruct, w.table(0)
	default:
		w.err = unsupported(t)
		return 0, 0, 0
	}
	return kind, typ, w.list(items)
}

func (w *schemaWriter) fixed(t arrow.DataType) (byte, at) {
	const second, millisecond, day, month, dayTime, monthDayNano = 0, 1, 0, 0, 1, 2
	unit := func(v, byDefault uint64) value { return value{0, 2, v, byDefault} }
	switch t := t.(type) {
	case *arrow.FixedSizeBinaryType:
		return typeFixedBinary, w.table(1, value{0, 4, uint64(t.ByteWidth), 0})
	case *arrow.Date32Type:
		return typeDate, w.table(1, unit(day, millisecond))
	case *arrow.Date64Type:
		return typeDate, w.table(1, unit(millisecond, millisecond))
	case *arrow.Time32Type:
		return typeTime, w.table(2, value{1, 4, 32, 32}, unit(uint64(t.Unit), millisecond))
	case *arrow.Time64Type:
		return typeTime, w.table(2, value{1, 4, 64, 32}, unit(uint64(t.Unit), millisecond))
	case *arrow.TimestampType:
		zone := w.text(t.TimeZone)
		w.begin(2)
		w.set(0, 2, uint64(t.Unit), second)
		if t.TimeZone != "" {
			w.refer(1, zone)
		}
		return typeTimestamp, w.end()
	case *arrow.DurationType:
		return typeDuration, w.table(1, unit(uint64(t.Unit), millisecond))
	case *arrow.MonthIntervalType:
		return typeInterval, w.table(1, unit(month, month))
	case *arrow.DayTimeIntervalType:
		return typeInterval, w.table(1, unit(dayTime, month))
	case *arrow.MonthDayNanoIntervalType:
		return typeInterval, w.table(1, unit(monthDayNano, month))
	case arrow.DecimalType:
		return typeDecimal, w.table(3, value{0, 4, uint64(t.GetPrecision()), 0}, value{1, 4, uint64(t.GetScale()), 0},
			value{2, 4, uint64(t.BitWidth()), 128})
	default:
		w.err = unsupported(t)
		return 0, 0
	}
}

func unsupported(t arrow.DataType) error {
	return fmt.Errorf("columns of type %s are not offered by this server", t)
}
