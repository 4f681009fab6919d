package redis

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// checkType tells whether values of a type can be written without loss.
func checkType(dt arrow.DataType) error {
	switch dt := dt.(type) {
	case *arrow.StructType:
		seen := make(map[string]bool)
		for _, f := range dt.Fields() {
			if seen[f.Name] {
				return fmt.Errorf("a struct has two fields called %q; rename one in the query", f.Name)
			}
			seen[f.Name] = true
			if err := checkType(f.Type); err != nil {
				return err
			}
		}
		return nil
	case *arrow.MapType:
		if err := checkType(dt.KeyType()); err != nil {
			return err
		}
		return checkType(dt.ItemType())
	case *arrow.DictionaryType:
		return checkType(dt.ValueType)
	case arrow.ExtensionType:
		return checkType(dt.StorageType())
	}
	switch dt.ID() {
	case arrow.SPARSE_UNION, arrow.DENSE_UNION, arrow.RUN_END_ENCODED:
		return fmt.Errorf("the type %s cannot be written to Redis; cast it in the query, or name the columns wanted under columns", dt)
	case arrow.LIST, arrow.LARGE_LIST, arrow.FIXED_SIZE_LIST, arrow.LIST_VIEW, arrow.LARGE_LIST_VIEW:
		return checkType(dt.(arrow.ListLikeType).Elem())
	default:
		return nil
	}
}

// describeType says how values of a type are written; the table of types of
// docs/redis.md.
func describeType(dt arrow.DataType) string {
	switch dt := dt.(type) {
	case *arrow.DictionaryType:
		return describeType(dt.ValueType)
	case arrow.ExtensionType:
		return describeType(dt.StorageType())
	case arrow.NestedType:
		return "JSON"
	case arrow.DecimalType:
		return "decimal text"
	case arrow.BinaryDataType:
		if dt.IsUtf8() {
			return "text"
		}
		return "0x hex"
	}
	switch {
	case arrow.IsInteger(dt.ID()):
		return "decimal digits"
	case arrow.IsFloating(dt.ID()):
		return "decimal digits"
	case dt.ID() == arrow.BOOL:
		return "true or false"
	case dt.ID() == arrow.FIXED_SIZE_BINARY:
		return "0x hex"
	case dt.ID() == arrow.BINARY_VIEW:
		return "0x hex"
	case dt.ID() == arrow.STRING_VIEW:
		return "text"
	case dt.ID() == arrow.NULL:
		return "null"
	default:
		return "ISO 8601"
	}
}

// documentsOf binds an array of nested values, which are JSON in every
// structure: without spaces, fields in the order of the schema.
func documentsOf(arr arrow.Array) cells {
	var c cells
	switch a := arr.(type) {
	case *array.Map:
		c = mapsOf(a)
	case array.ListLike:
		values := cellsOf(a.ListValues())
		c.text = func(dst []byte, i int) []byte {
			dst = append(dst, '[')
			from, to := a.ValueOffsets(i)
			for k := from; k < to; k++ {
				if k > from {
					dst = append(dst, ',')
				}
				dst = values.appendJSON(dst, int(k))
			}
			return append(dst, ']')
		}
		c.flaw = func(i int) string {
			from, to := a.ValueOffsets(i)
			for k := from; k < to; k++ {
				if reason := values.flawed(int(k)); reason != "" {
					return reason
				}
			}
			return ""
		}
	case *array.Struct:
		c = structs(a)
	}
	return c
}

func structs(a *array.Struct) cells {
	fields := make([]cells, a.NumField())
	labels := make([][]byte, a.NumField())
	for k, f := range a.DataType().(*arrow.StructType).Fields() {
		fields[k], labels[k] = cellsOf(a.Field(k)), append(appendQuoted(nil, f.Name), ':')
	}
	return cells{
		text: func(dst []byte, i int) []byte {
			dst = append(dst, '{')
			for k := range fields {
				if k > 0 {
					dst = append(dst, ',')
				}
				dst = fields[k].appendJSON(append(dst, labels[k]...), i)
			}
			return append(dst, '}')
		},
		flaw: func(i int) string {
			for k := range fields {
				if reason := fields[k].flawed(i); reason != "" {
					return reason
				}
			}
			return ""
		}}
}

// mapsOf: maps are lists of pairs [[key,value],…]: keys of any type, in their order, and
// one that comes twice is not lost.
func mapsOf(a *array.Map) cells {
	keys, items := cellsOf(a.Keys()), cellsOf(a.Items())
	return cells{
		text: func(dst []byte, i int) []byte {
			dst = append(dst, '[')
			from, to := a.ValueOffsets(i)
			for k := from; k < to; k++ {
				if k > from {
					dst = append(dst, ',')
				}
				dst = append(keys.appendJSON(append(dst, '['), int(k)), ',')
				dst = append(items.appendJSON(dst, int(k)), ']')
			}
			return append(dst, ']')
		},
		flaw: func(i int) string {
			from, to := a.ValueOffsets(i)
			for k := from; k < to; k++ {
				if reason := keys.flawed(int(k)); reason != "" {
					return reason
				}
				if reason := items.flawed(int(k)); reason != "" {
					return reason
				}
			}
			return ""
		}}
}

// appendQuoted writes a JSON string.
func appendQuoted[T string | []byte](dst []byte, text T) []byte {
	dst = append(dst, '"')
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c >= 0x20:
			dst = append(dst, c)
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(dst, '"')
}
