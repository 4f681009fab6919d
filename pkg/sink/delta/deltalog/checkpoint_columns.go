package deltalog

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet/file"
)

// columns are the fields of a structure as a checkpoint has them: those of [Action] are
// its columns, in each row of which one is set. Delta: Checkpoint Schema.
type columns []column

type column struct {
	name string
	at   int // index of the field
	kind arrow.DataType
	omit bool    // what is empty is NULL; a map never is
	of   columns // a structure
}

// columnsOf returns the fields of a structure under their names in JSON.
func columnsOf(t reflect.Type) columns {
	var all columns
	for i := range t.NumField() {
		f := t.Field(i)
		name, option, _ := strings.Cut(f.Tag.Get("json"), ",")
		c := column{name: name, at: i, omit: option == "omitempty" && f.Type.Kind() != reflect.Map}
		if f.Type.Kind() == reflect.Pointer {
			f.Type = f.Type.Elem()
		}
		switch f.Type.Kind() {
		case reflect.Struct:
			c.of = columnsOf(f.Type)
			c.kind = arrow.StructOf(c.of.fields()...)
		case reflect.String:
			c.kind = arrow.BinaryTypes.String
		case reflect.Int64:
			c.kind = arrow.PrimitiveTypes.Int64
		case reflect.Int32:
			c.kind = arrow.PrimitiveTypes.Int32
		case reflect.Bool:
			c.kind = arrow.FixedWidthTypes.Boolean
		case reflect.Slice:
			c.kind = arrow.ListOfField(optional("element", arrow.BinaryTypes.String))
		case reflect.Map:
			c.kind = arrow.MapOfFields(arrow.Field{Name: "key", Type: arrow.BinaryTypes.String}, optional("value", arrow.BinaryTypes.String))
		default:
			continue // what is said about a commit is not in a checkpoint
		}
		all = append(all, c)
	}
	return all
}

func optional(name string, t arrow.DataType) arrow.Field {
	return arrow.Field{Name: name, Type: t, Nullable: true}
}

// fields returns the columns as the schema has them.
func (all columns) fields() []arrow.Field {
	fields := make([]arrow.Field, len(all))
	for i, c := range all {
		fields[i] = optional(c.name, c.kind)
	}
	return fields
}

// named returns the column of a name, or nil.
func (all columns) named(name string) *column {
	if i := slices.IndexFunc(all, func(c column) bool { return c.name == name }); i >= 0 {
		return &all[i]
	}
	return nil
}

// leavesIn picks the columns of a checkpoint that we use: others, such as parsed
// statistics, may be there and large.
func (all columns) leavesIn(r *file.Reader) []int {
	var leaves []int
	schema := r.MetaData().Schema
	for i := range schema.NumColumns() {
		path := schema.Column(i).ColumnPath()
		if c := all.named(path[0]); c != nil && (len(path) == 1 || c.of.named(path[1]) != nil) {
			leaves = append(leaves, i)
		}
	}
	return leaves
}

// append appends a field to the builder of its column.
func (c *column) append(to array.Builder, v reflect.Value) {
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	} else if c.omit && v.IsZero() {
		to.AppendNull()
		return
	}
	switch from := v.Addr().Interface().(type) {
	case *string:
		to.(*array.StringBuilder).Append(*from)
	case *int64:
		to.(*array.Int64Builder).Append(*from)
	case *int32:
		to.(*array.Int32Builder).Append(*from)
	case *bool:
		to.(*array.BooleanBuilder).Append(*from)
	case *[]string:
		b := to.(*array.ListBuilder)
		b.Append(true)
		b.ValueBuilder().(*array.StringBuilder).AppendValues(*from, nil)
	case *map[string]string:
		pairs := make(map[string]*string, len(*from))
		for k, v := range *from {
			pairs[k] = &v
		}
		appendPairs(to, pairs)
	case *map[string]*string:
		appendPairs(to, *from)
	default:
		b := to.(*array.StructBuilder)
		b.Append(true)
		for i := range c.of {
			c.of[i].append(b.FieldBuilder(i), v.Field(c.of[i].at))
		}
	}
}

func appendPairs(to array.Builder, pairs map[string]*string) {
	b := to.(*array.MapBuilder)
	b.Append(true)
	for _, k := range slices.Sorted(maps.Keys(pairs)) {
		b.KeyBuilder().(*array.StringBuilder).Append(k)
		if pairs[k] == nil {
			b.ItemBuilder().AppendNull()
		} else {
			b.ItemBuilder().(*array.StringBuilder).Append(*pairs[k])
		}
	}
}

// read sets a field to what a row of its column says. What is NULL, or of another type
// than it should be, leaves it empty.
func (c *column) read(from arrow.Array, row int, v reflect.Value) {
	if from.IsNull(row) {
		return
	}
	switch into := v.Addr().Interface().(type) {
	case *string:
		*into = from.ValueStr(row)
	case *int64:
		*into = integer(from, row)
	case *int32:
		*into = int32(integer(from, row))
	case *bool:
		a, ok := from.(*array.Boolean)
		*into = ok && a.Value(row)
	case *[]string:
		if a, ok := from.(*array.List); ok {
			low, high := a.ValueOffsets(row)
			*into = make([]string, 0, high-low)
			for i := int(low); i < int(high); i++ {
				*into = append(*into, a.ListValues().ValueStr(i))
			}
		}
	case *map[string]string:
		for k, v := range pairsIn(from, row) {
			if *into == nil {
				*into = map[string]string{}
			}
			if v != nil {
				(*into)[k] = *v
			}
		}
	case *map[string]*string:
		*into = pairsIn(from, row)
	default:
		if a, ok := from.(*array.Struct); ok {
			c.readStruct(a, row, v)
		}
	}
}

func (c *column) readStruct(from *array.Struct, row int, v reflect.Value) {
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	kind := from.DataType().(*arrow.StructType)
	for i := range c.of {
		if at, ok := kind.FieldIdx(c.of[i].name); ok {
			c.of[i].read(from.Field(at), row, v.Field(c.of[i].at))
		}
	}
}

func integer(from arrow.Array, row int) int64 {
	switch a := from.(type) {
	case *array.Int64:
		return a.Value(row)
	case *array.Int32:
		return int64(a.Value(row))
	default:
		return 0
	}
}

func pairsIn(from arrow.Array, row int) map[string]*string {
	a, ok := from.(*array.Map)
	if !ok {
		return nil
	}
	low, high := a.ValueOffsets(row)
	pairs := make(map[string]*string, high-low)
	for i := int(low); i < int(high); i++ {
		var value *string
		if a.Items().IsValid(i) {
			value = new(a.Items().ValueStr(i))
		}
		pairs[a.Keys().ValueStr(i)] = value
	}
	return pairs
}
