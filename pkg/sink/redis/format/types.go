package format

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/arrowfmt"
)

// checkType reports whether values of a type can be written without loss.
func checkType(dt arrow.DataType) error {
	switch dt := arrowfmt.Underlying(dt).(type) {
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
	case arrow.ListLikeType:
		return checkType(dt.Elem())
	case arrow.UnionType, *arrow.RunEndEncodedType:
		return fmt.Errorf("the type %s cannot be written to Redis; cast it in the query, or name the columns wanted under columns", dt)
	default:
		return nil
	}
}

// DescribeType returns how values of a type are written; the table of types of
// docs/redis.md.
func DescribeType(dt arrow.DataType) string {
	dt = arrowfmt.Underlying(dt)
	if _, nested := dt.(arrow.NestedType); nested {
		return "JSON"
	}
	switch {
	case arrow.IsDecimal(dt.ID()):
		return "decimal text"
	case arrow.IsInteger(dt.ID()), arrow.IsFloating(dt.ID()):
		return "decimal digits"
	case dt.ID() == arrow.BOOL:
		return "true or false"
	case arrowfmt.IsBytes(dt):
		return "0x hex"
	case arrowfmt.IsText(dt):
		return "text"
	case dt.ID() == arrow.NULL:
		return "null"
	default:
		return "ISO 8601"
	}
}
