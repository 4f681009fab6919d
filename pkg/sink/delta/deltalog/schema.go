package deltalog

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
)

// primitives are the types that are a word.
var primitives = map[arrow.Type]string{
	arrow.BOOL: "boolean", arrow.INT8: "byte", arrow.INT16: "short", arrow.INT32: "integer", arrow.INT64: "long", arrow.FLOAT32: "float",
	arrow.FLOAT64: "double", arrow.DATE32: "date", arrow.TIMESTAMP: "timestamp", arrow.BINARY: "binary", arrow.STRING: "string",
}

// TypeOf returns a type as the protocol writes it: a word or an object. Delta: Schema
// Serialization Format.
func TypeOf(t arrow.DataType) any {
	switch t := t.(type) {
	case *arrow.Decimal128Type:
		return fmt.Sprintf("decimal(%d,%d)", t.Precision, t.Scale)
	case *arrow.ListType:
		return map[string]any{"type": "array", "elementType": TypeOf(t.Elem()), "containsNull": true}
	case *arrow.MapType:
		return map[string]any{"type": "map", "keyType": TypeOf(t.KeyType()), "valueType": TypeOf(t.ItemType()), "valueContainsNull": true}
	case *arrow.StructType:
		return SchemaOf(t.Fields())
	default:
		return primitives[t.ID()]
	}
}

// SchemaField is a column of a table, or a field of a struct.
type SchemaField struct {
	Name     string         `json:"name"`
	Type     any            `json:"type"`
	Nullable bool           `json:"nullable"`
	Metadata map[string]any `json:"metadata"`
}

// Schema is that of a table, or a struct.
type Schema struct {
	Type   string        `json:"type"`
	Fields []SchemaField `json:"fields"`
}

// SchemaOf returns the schema of columns, all of which may be NULL.
func SchemaOf(fields []arrow.Field) Schema {
	s := Schema{Type: "struct"}
	for _, f := range fields {
		s.Fields = append(s.Fields, SchemaField{Name: f.Name, Type: TypeOf(f.Type), Nullable: true, Metadata: map[string]any{}})
	}
	return s
}

// TypeText writes a type so that equal ones are equal texts: nullability and
// metadata of nested fields do not count.
func TypeText(t any) string {
	switch t := t.(type) {
	case string:
		return t
	case Schema:
		var parts []string
		for _, f := range t.Fields {
			parts = append(parts, f.Name+": "+TypeText(f.Type))
		}
		return "struct<" + strings.Join(parts, ", ") + ">"
	case map[string]any:
		switch t["type"] {
		case "array":
			return "array<" + TypeText(t["elementType"]) + ">"
		case "map":
			return "map<" + TypeText(t["keyType"]) + ", " + TypeText(t["valueType"]) + ">"
		case "struct":
			var s Schema
			if again, err := json.Marshal(t); err == nil && json.Unmarshal(again, &s) == nil {
				return TypeText(s)
			}
		}
	}
	return fmt.Sprint(t)
}
