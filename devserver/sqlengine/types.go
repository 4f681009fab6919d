package sqlengine

import (
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/duckdb/duckdb-go/v2"
)

// duckType returns the DuckDB type that holds the values of an Arrow type. Where
// DuckDB has none, text or a wider type stands in.
func duckType(t arrow.DataType) (duckdb.TypeInfo, error) {
	switch t := t.(type) {
	case *arrow.Decimal128Type:
		return duckdb.NewDecimalInfo(uint8(t.Precision), uint8(t.Scale))
	case *arrow.StructType:
		return structType(t)
	case *arrow.MapType:
		key, keyErr := duckType(t.KeyType())
		item, err := duckType(t.ItemType())
		if err := errors.Join(keyErr, err); err != nil {
			return nil, err
		}
		return duckdb.NewMapInfo(key, item)
	case arrow.ListLikeType:
		item, err := duckType(t.Elem())
		if err != nil {
			return nil, err
		}
		return duckdb.NewListInfo(item)
	}
	if simple, found := duckTypes[t.ID()]; found {
		return duckdb.NewTypeInfo(simple)
	}
	return nil, fmt.Errorf("no SQL over columns of type %s", t)
}

var duckTypes = map[arrow.Type]duckdb.Type{
	arrow.BOOL: duckdb.TYPE_BOOLEAN,
	arrow.INT8: duckdb.TYPE_TINYINT, arrow.INT16: duckdb.TYPE_SMALLINT, arrow.INT32: duckdb.TYPE_INTEGER, arrow.INT64: duckdb.TYPE_BIGINT,
	arrow.UINT8: duckdb.TYPE_UTINYINT, arrow.UINT16: duckdb.TYPE_USMALLINT, arrow.UINT32: duckdb.TYPE_UINTEGER,
	arrow.UINT64:  duckdb.TYPE_UBIGINT,
	arrow.FLOAT16: duckdb.TYPE_FLOAT, arrow.FLOAT32: duckdb.TYPE_FLOAT, arrow.FLOAT64: duckdb.TYPE_DOUBLE,
	arrow.STRING: duckdb.TYPE_VARCHAR, arrow.LARGE_STRING: duckdb.TYPE_VARCHAR, arrow.STRING_VIEW: duckdb.TYPE_VARCHAR,
	arrow.BINARY: duckdb.TYPE_BLOB, arrow.LARGE_BINARY: duckdb.TYPE_BLOB, arrow.BINARY_VIEW: duckdb.TYPE_BLOB,
	arrow.FIXED_SIZE_BINARY: duckdb.TYPE_BLOB,
	arrow.TIMESTAMP:         duckdb.TYPE_TIMESTAMP_NS,
	arrow.DATE32:            duckdb.TYPE_DATE,
	arrow.DATE64:            duckdb.TYPE_DATE,
}

func structType(t *arrow.StructType) (duckdb.TypeInfo, error) {
	var entries []duckdb.StructEntry
	for _, f := range t.Fields() {
		info, err := duckType(f.Type)
		if err != nil {
			return nil, err
		}
		entry, err := duckdb.NewStructEntry(info, f.Name)
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry)
	}
	if len(entries) == 0 {
		return nil, fmt.Errorf("no SQL over columns of type %s", t)
	}
	return duckdb.NewStructInfo(entries[0], entries[1:]...)
}

// arrowType returns the Arrow type of an expression that DuckDB typed.
func arrowType(info duckdb.TypeInfo) (arrow.DataType, error) {
	switch details := info.Details().(type) {
	case *duckdb.DecimalDetails:
		return &arrow.Decimal128Type{Precision: int32(details.Width), Scale: int32(details.Scale)}, nil
	case *duckdb.ListDetails:
		item, err := arrowType(details.Child)
		if err != nil {
			return nil, err
		}
		return arrow.ListOf(item), nil
	case *duckdb.ArrayDetails:
		item, err := arrowType(details.Child)
		if err != nil {
			return nil, err
		}
		return arrow.FixedSizeListOf(int32(details.Size), item), nil
	case *duckdb.StructDetails:
		var fields []arrow.Field
		for _, entry := range details.Entries {
			t, err := arrowType(entry.Info())
			if err != nil {
				return nil, err
			}
			fields = append(fields, arrow.Field{Name: entry.Name(), Type: t, Nullable: true})
		}
		return arrow.StructOf(fields...), nil
	case *duckdb.MapDetails:
		key, keyErr := arrowType(details.Key)
		item, err := arrowType(details.Value)
		if err := errors.Join(keyErr, err); err != nil {
			return nil, err
		}
		return arrow.MapOf(key, item), nil
	}
	if simple, found := arrowTypes[info.InternalType()]; found {
		return simple, nil
	}
	return nil, fmt.Errorf("no Arrow type for DuckDB's type %d", info.InternalType())
}

// arrowTypes has no width for integers that a real server would not have:
// HUGEINT is what DuckDB makes of sums.
var arrowTypes = map[duckdb.Type]arrow.DataType{
	duckdb.TYPE_BOOLEAN: arrow.FixedWidthTypes.Boolean,
	duckdb.TYPE_TINYINT: arrow.PrimitiveTypes.Int8, duckdb.TYPE_SMALLINT: arrow.PrimitiveTypes.Int16,
	duckdb.TYPE_INTEGER: arrow.PrimitiveTypes.Int32, duckdb.TYPE_BIGINT: arrow.PrimitiveTypes.Int64,
	duckdb.TYPE_UTINYINT: arrow.PrimitiveTypes.Uint8, duckdb.TYPE_USMALLINT: arrow.PrimitiveTypes.Uint16,
	duckdb.TYPE_UINTEGER: arrow.PrimitiveTypes.Uint32, duckdb.TYPE_UBIGINT: arrow.PrimitiveTypes.Uint64,
	duckdb.TYPE_HUGEINT: &arrow.Decimal128Type{Precision: 38},
	duckdb.TYPE_FLOAT:   arrow.PrimitiveTypes.Float32, duckdb.TYPE_DOUBLE: arrow.PrimitiveTypes.Float64,
	duckdb.TYPE_VARCHAR: arrow.BinaryTypes.String, duckdb.TYPE_BLOB: arrow.BinaryTypes.Binary,
	duckdb.TYPE_DATE:         arrow.FixedWidthTypes.Date32,
	duckdb.TYPE_TIME:         arrow.FixedWidthTypes.Time64ns,
	duckdb.TYPE_TIMESTAMP:    &arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: "+00:00"},
	duckdb.TYPE_TIMESTAMP_S:  &arrow.TimestampType{Unit: arrow.Second},
	duckdb.TYPE_TIMESTAMP_MS: &arrow.TimestampType{Unit: arrow.Millisecond},
	duckdb.TYPE_TIMESTAMP_NS: &arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: "+00:00"},
	duckdb.TYPE_TIMESTAMP_TZ: &arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: "+00:00"},
	duckdb.TYPE_INTERVAL:     arrow.FixedWidthTypes.MonthDayNanoInterval,
	duckdb.TYPE_SQLNULL:      arrow.Null,
}
