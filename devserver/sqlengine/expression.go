package sqlengine

import (
	"github.com/apache/arrow-go/v18/arrow"
)

// expression checks the columns an expression names and resolves its
// subqueries. A subquery sees the columns of inner.
func (r *resolver) expression(e *expr, with *env, names, inner *scope) error {
	switch e.Class {
	case "COLUMN_REF":
		if _, found := names.find(e.Names); !found {
			return noField(e.Names, inner)
		}
	case "LAMBDA":
		return nil // its parameters look like columns; DuckDB checks them
	}
	if e.Subquery != nil {
		r.nested++
		defer func() { r.nested-- }()
		if _, err := r.query(e.Subquery.Node, with, inner); err != nil {
			return err
		}
	}
	for _, p := range e.parts() {
		if err := r.expression(p, with, names, inner); err != nil {
			return err
		}
	}
	return nil
}

// aggregates lists the functions whose presence makes a query an aggregation.
var aggregates = map[string]bool{
	"count": true, "count_star": true, "sum": true, "avg": true, "min": true, "max": true, "any_value": true,
	"first": true, "last": true, "list": true, "array_agg": true, "string_agg": true, "approx_count_distinct": true,
	"bool_and": true, "bool_or": true, "bit_and": true, "bit_or": true, "bit_xor": true, "median": true,
	"stddev": true, "stddev_pop": true, "stddev_samp": true, "variance": true, "var_pop": true, "var_samp": true,
}

func isAggregate(e *expr) bool { return e.Class == "FUNCTION" && aggregates[e.Function] }

// literalField returns the Amp type of the expressions for which DuckDB's own
// would map to another one.
func literalField(e *expr, here *scope) *arrow.Field {
	field := func(t arrow.DataType, nullable bool) *arrow.Field {
		return &arrow.Field{Name: e.Alias, Type: t, Nullable: nullable}
	}
	if v, isInt := e.integer(); isInt && e.Class == "CONSTANT" {
		switch {
		case v.IsInt64():
			return field(arrow.PrimitiveTypes.Int64, false)
		case v.IsUint64():
			return field(arrow.PrimitiveTypes.Uint64, false)
		}
	}
	switch {
	case e.Class == "CONSTANT" && !e.Value.Null && e.Value.Type.ID == "DECIMAL":
		return field(arrow.PrimitiveTypes.Float64, false)
	case e.isText():
		return field(arrow.BinaryTypes.String, false)
	case e.Class == "FUNCTION" && e.Function == "from_hex" && len(e.Children) == 1 && e.Children[0].isText():
		return field(arrow.BinaryTypes.Binary, false)
	case e.Class == "FUNCTION" && (e.Function == "count" || e.Function == "count_star"):
		return field(arrow.PrimitiveTypes.Int64, false)
	case e.Class == "FUNCTION" && (e.Function == "min" || e.Function == "max") && len(e.Children) == 1:
		if c, found := here.find(e.Children[0].Names); e.Children[0].Class == "COLUMN_REF" && found && c.field != nil {
			return field(c.field.Type, true)
		}
	case e.Class == "FUNCTION" && e.Function == "sum" && len(e.Children) == 1 && e.Children[0].Class == "COLUMN_REF":
		if c, found := here.find(e.Children[0].Names); found && c.field != nil {
			return sumField(e.Alias, c.field.Type)
		}
	case e.Class == "WINDOW" && e.Type == "WINDOW_ROW_NUMBER":
		return field(arrow.PrimitiveTypes.Uint64, false)
	}
	return nil
}

// sumField widens as DataFusion does; nil where DuckDB's type is the same.
func sumField(name string, t arrow.DataType) *arrow.Field {
	switch {
	case arrow.IsUnsignedInteger(t.ID()):
		return &arrow.Field{Name: name, Type: arrow.PrimitiveTypes.Uint64, Nullable: true}
	case arrow.IsSignedInteger(t.ID()):
		return &arrow.Field{Name: name, Type: arrow.PrimitiveTypes.Int64, Nullable: true}
	}
	return nil
}
