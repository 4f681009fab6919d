package delta

import (
	"errors"
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/ampipe/ampipe/pkg/fault"
)

// column is a column of the table and where its values come from.
type column struct {
	field   arrow.Field // as it is written
	source  int         // index in the query's schema
	convert converter   // nil: as it is
	bucket  uint64      // not 0: the value is the source's, rounded down to a multiple of it
}

// micros is Delta's timestamp: microseconds, UTC.
var micros = &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}

// forbidden are the characters that names cannot have without column mapping,
// which would keep older readers out.
const forbidden = " ,;{}()\n\t="

// columnsOf maps a schema, or says everything that is wrong with it. dropped are
// the columns of type Null, which Delta cannot hold.
func columnsOf(schema *arrow.Schema, block int) (columns []column, dropped []string, err error) {
	var wrong []error
	seen := map[string]string{}
	for i, f := range schema.Fields() {
		if f.Type.ID() == arrow.NULL && i != block {
			dropped = append(dropped, f.Name)
			continue
		}
		if err := checkName("column", f.Name); err != nil {
			wrong = append(wrong, err)
		}
		if first, twice := seen[strings.ToLower(f.Name)]; twice {
			wrong = append(wrong, fmt.Errorf("columns %q and %q differ by case only, which Delta does not tell apart; rename one with AS",
				first, f.Name))
		}
		seen[strings.ToLower(f.Name)] = f.Name
		if i == block {
			t, c, err := blockColumn(f)
			wrong = append(wrong, err)
			columns = append(columns, column{field: nullable(f.Name, t), source: i, convert: c})
			continue
		}
		t, c, err := mapType(f.Type)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("column %q: %w", f.Name, err))
			continue
		}
		columns = append(columns, column{field: nullable(f.Name, t), source: i, convert: c})
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, nil, fault.Permanent(err)
	}
	return columns, dropped, nil
}

// nullable is a field of the table: what Amp says about nullability is a guess.
func nullable(name string, t arrow.DataType) arrow.Field {
	return arrow.Field{Name: name, Type: t, Nullable: true}
}

func checkName(what, name string) error {
	if name == "" {
		return fmt.Errorf("a %s has no name; give it one with AS", what)
	}
	if i := strings.IndexAny(name, forbidden); i >= 0 {
		return fmt.Errorf("%s %q has a %q in its name, which Delta does not allow; rename it in the query, as in \"…\" AS %s",
			what, name, name[i], strings.Map(func(r rune) rune {
				if strings.ContainsRune(forbidden, r) {
					return '_'
				}
				return r
			}, name))
	}
	return nil
}

// blockColumn is a long unless it is smaller: block numbers fit, and are then
// cheap to compare.
func blockColumn(f arrow.Field) (arrow.DataType, converter, error) {
	if !arrow.IsInteger(f.Type.ID()) {
		return nil, nil, fmt.Errorf("the block column %q is of the Arrow type %s and has to be an integer; set source.block_column",
			f.Name, f.Type)
	}
	if f.Type.ID() == arrow.UINT64 {
		return arrow.PrimitiveTypes.Int64, longFromUint64, nil
	}
	return mapType(f.Type)
}

// mapType returns the type of the table for one of the query, and how values get
// there; nil if they stay as they are.
func mapType(t arrow.DataType) (arrow.DataType, converter, error) {
	switch t := t.(type) {
	case *arrow.BooleanType, *arrow.Int8Type, *arrow.Int16Type, *arrow.Int32Type, *arrow.Int64Type,
		*arrow.Float32Type, *arrow.Float64Type, *arrow.Date32Type, *arrow.BinaryType:
		return t, nil, nil
	case *arrow.StringType:
		return t, checkText, nil
	case *arrow.Uint8Type:
		return arrow.PrimitiveTypes.Int16, widened[*array.Uint8, uint8, int16](arrow.PrimitiveTypes.Int16), nil
	case *arrow.Uint16Type:
		return arrow.PrimitiveTypes.Int32, widened[*array.Uint16, uint16, int32](arrow.PrimitiveTypes.Int32), nil
	case *arrow.Uint32Type:
		return arrow.PrimitiveTypes.Int64, widened[*array.Uint32, uint32, int64](arrow.PrimitiveTypes.Int64), nil
	case *arrow.Uint64Type:
		return decimal20, decimalFromUint64, nil
	case *arrow.Float16Type:
		return arrow.PrimitiveTypes.Float32, floatFromHalf, nil
	case *arrow.LargeStringType, *arrow.StringViewType:
		return arrow.BinaryTypes.String, textFrom, nil
	case *arrow.LargeBinaryType, *arrow.BinaryViewType:
		return arrow.BinaryTypes.Binary, binaryFrom, nil
	case *arrow.FixedSizeBinaryType:
		return arrow.BinaryTypes.Binary, binaryFromFixed, nil
	case *arrow.TimestampType:
		return micros, timestampFrom(t.Unit), nil
	case *arrow.Date64Type:
		return arrow.FixedWidthTypes.Date32, dateFromMillis, nil
	case *arrow.Time32Type, *arrow.Time64Type, *arrow.MonthIntervalType, *arrow.DayTimeIntervalType, *arrow.MonthDayNanoIntervalType,
		*arrow.Decimal256Type:
		return arrow.BinaryTypes.String, asText, nil
	case *arrow.DurationType:
		return arrow.PrimitiveTypes.Int64, longFromDuration, nil
	case arrow.DecimalType:
		return mapDecimal(t)
	case *arrow.NullType:
		return arrow.BinaryTypes.String, textOfNull, nil
	case *arrow.DictionaryType:
		to, inner, err := mapType(t.ValueType)
		return to, decoded(inner), err
	case arrow.ExtensionType:
		to, inner, err := mapType(t.StorageType())
		return to, stored(inner), err
	case arrow.NestedType:
		return mapNested(t)
	}
	return nil, nil, fmt.Errorf("the Arrow type %s has no type in Delta Lake; cast it in the query", t)
}

func mapDecimal(t arrow.DecimalType) (arrow.DataType, converter, error) {
	if t.GetScale() < 0 || t.GetScale() > t.GetPrecision() {
		return nil, nil, fmt.Errorf("the type %s has a scale that Delta Lake does not know; cast it in the query", t)
	}
	to := &arrow.Decimal128Type{Precision: t.GetPrecision(), Scale: t.GetScale()}
	return to, decimalFrom(t.GetPrecision()), nil
}

func mapNested(t arrow.NestedType) (arrow.DataType, converter, error) {
	switch t := t.(type) {
	case *arrow.StructType:
		return mapStruct(t)
	case *arrow.MapType:
		key, convertKey, err := mapType(t.KeyType())
		if err != nil {
			return nil, nil, fmt.Errorf("the key of a map: %w", err)
		}
		value, convertValue, err := mapType(t.ItemType())
		if err != nil {
			return nil, nil, fmt.Errorf("the value of a map: %w", err)
		}
		to := arrow.MapOfFields(arrow.Field{Name: "key", Type: key}, nullable("value", value))
		return to, mapConverter(to, convertKey, convertValue), nil
	case arrow.ListLikeType:
		element, convert, err := mapType(t.Elem())
		if err != nil {
			return nil, nil, fmt.Errorf("the element of a list: %w", err)
		}
		to := arrow.ListOfField(nullable("element", element))
		return to, listConverter(to, convert), nil
	default:
		return nil, nil, fmt.Errorf("the Arrow type %s has no type in Delta Lake; cast it in the query", t)
	}
}

func mapStruct(t *arrow.StructType) (arrow.DataType, converter, error) {
	if t.NumFields() == 0 {
		return nil, nil, errors.New("a struct without fields has no type in Delta Lake; leave the column out of the query")
	}
	fields := make([]arrow.Field, t.NumFields())
	converts := make([]converter, t.NumFields())
	seen := map[string]bool{}
	for i, f := range t.Fields() {
		if err := checkName("field", f.Name); err != nil {
			return nil, nil, err
		}
		if seen[strings.ToLower(f.Name)] {
			return nil, nil, fmt.Errorf("two fields are called %q, which Delta does not tell apart; rename one", f.Name)
		}
		seen[strings.ToLower(f.Name)] = true
		to, convert, err := mapType(f.Type)
		if err != nil {
			return nil, nil, fmt.Errorf("field %q: %w", f.Name, err)
		}
		fields[i], converts[i] = nullable(f.Name, to), convert
	}
	to := arrow.StructOf(fields...)
	return to, structConverter(to, converts), nil
}
