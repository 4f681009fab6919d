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
	w.setFlag(1, f.Nullable)
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
		w.begin(0)
		typ = w.end()
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

func (w *schemaWriter) number(t arrow.FixedWidthDataType) (byte, at) {
	if arrow.IsFloating(t.ID()) {
		w.begin(1)
		w.set(0, 2, uint64(map[int]int16{16: 0, 32: 1, 64: 2}[t.BitWidth()]), 0)
		return typeFloat, w.end()
	}
	w.begin(2)
	w.setFlag(1, arrow.IsSignedInteger(t.ID()))
	w.set(0, 4, uint64(int32(t.BitWidth())), 0)
	return typeInt, w.end()
}

func (w *schemaWriter) nested(t arrow.NestedType) (kind byte, typ, children at) {
	var items []at
	for _, f := range t.Fields() {
		items = append(items, w.field(f))
	}
	switch t := t.(type) {
	case *arrow.FixedSizeListType:
		kind = typeFixedList
		w.begin(1)
		w.set(0, 4, uint64(t.Len()), 0)
	case *arrow.MapType:
		kind = typeMap
		w.begin(1)
		w.setFlag(0, t.KeysSorted)
	case *arrow.ListType:
		kind = typeList
		w.begin(0)
	case *arrow.LargeListType:
		kind = typeLargeList
		w.begin(0)
	case *arrow.StructType:
		kind = typeStruct
		w.begin(0)
	default:
		w.err = unsupported(t)
		return 0, 0, 0
	}
	typ = w.end()
	return kind, typ, w.list(items)
}

func (w *schemaWriter) fixed(t arrow.DataType) (byte, at) {
	const second, millisecond, month = 0, 1, 0
	switch t := t.(type) {
	case *arrow.FixedSizeBinaryType:
		w.begin(1)
		w.set(0, 4, uint64(int32(t.ByteWidth)), 0)
		return typeFixedBinary, w.end()
	case *arrow.Date32Type, *arrow.Date64Type:
		w.begin(1)
		w.set(0, 2, uint64(map[arrow.Type]int16{arrow.DATE32: 0, arrow.DATE64: millisecond}[t.ID()]), millisecond)
		return typeDate, w.end()
	case *arrow.Time32Type:
		return w.time(32, t.Unit)
	case *arrow.Time64Type:
		return w.time(64, t.Unit)
	case *arrow.TimestampType:
		zone := w.text(t.TimeZone)
		w.begin(2)
		w.set(0, 2, uint64(int16(t.Unit)), second)
		if t.TimeZone != "" {
			w.refer(1, zone)
		}
		return typeTimestamp, w.end()
	case *arrow.DurationType:
		w.begin(1)
		w.set(0, 2, uint64(int16(t.Unit)), millisecond)
		return typeDuration, w.end()
	case *arrow.MonthIntervalType, *arrow.DayTimeIntervalType, *arrow.MonthDayNanoIntervalType:
		unit := map[arrow.Type]int16{arrow.INTERVAL_DAY_TIME: 1, arrow.INTERVAL_MONTH_DAY_NANO: 2}[t.ID()]
		w.begin(1)
		w.set(0, 2, uint64(unit), month)
		return typeInterval, w.end()
	case arrow.DecimalType:
		w.begin(3)
		w.set(0, 4, uint64(t.GetPrecision()), 0)
		w.set(1, 4, uint64(t.GetScale()), 0)
		w.set(2, 4, uint64(int32(t.BitWidth())), 128)
		return typeDecimal, w.end()
	default:
		w.err = unsupported(t)
		return 0, 0
	}
}

func (w *schemaWriter) time(bits int32, unit arrow.TimeUnit) (byte, at) {
	const millisecond = 1
	w.begin(2)
	w.set(1, 4, uint64(bits), 32)
	w.set(0, 2, uint64(int16(unit)), millisecond)
	return typeTime, w.end()
}

func unsupported(t arrow.DataType) error {
	return fmt.Errorf("columns of type %s are not offered by this server", t)
}
