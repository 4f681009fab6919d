package sqlengine

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/compute"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/arrow/scalar"
)

// condition is a WHERE that can be decided without DuckDB: one of Arrow's functions
// over others, columns of a table and constants. Its value is a boolean for each row,
// null where SQL does not know.
type condition struct {
	function string
	args     []condition
	// Of a condition without a function: a constant or, if that is nil, the column
	// with this index in the table.
	constant scalar.Scalar
	column   int
}

// columns lists the columns that c needs, some of them twice.
func (c condition) columns() []int {
	if c.function == "" && c.constant == nil {
		return []int{c.column}
	}
	var all []int
	for _, arg := range c.args {
		all = append(all, arg.columns()...)
	}
	return all
}

// eval returns the value of c, which the caller releases.
func (c condition) eval(ctx context.Context, column func(index int) arrow.Array) (compute.Datum, error) {
	switch {
	case c.constant != nil:
		return compute.NewDatum(c.constant), nil
	case c.function == "":
		return compute.NewDatum(column(c.column)), nil
	}
	args := make([]compute.Datum, len(c.args))
	for i, arg := range c.args {
		var err error
		if args[i], err = arg.eval(ctx, column); err != nil {
			return nil, err
		}
		defer args[i].Release()
	}
	return compute.CallFunction(ctx, c.function, nil, args...)
}

func call(function string, args ...condition) condition {
	return condition{function: function, args: args}
}

// compile makes a condition of an expression over columns of one table; false
// if DuckDB has to decide it.
func compile(e *expr, here *scope) (condition, bool) {
	switch e.Type {
	case "CONJUNCTION_AND":
		return compileAll("and_kleene", e.Children, here)
	case "CONJUNCTION_OR":
		return compileAll("or_kleene", e.Children, here)
	case "OPERATOR_NOT":
		inner, ok := compile(&e.Children[0], here)
		return call("not", inner), ok
	case "OPERATOR_IS_NULL":
		column, _, ok := stored(&e.Children[0], here)
		return call("is_null", column), ok
	case "OPERATOR_IS_NOT_NULL":
		column, _, ok := stored(&e.Children[0], here)
		return call("is_not_null", column), ok
	case "COMPARE_IN", "COMPARE_NOT_IN":
		var any []expr
		for _, value := range e.Children[1:] {
			any = append(any, expr{Class: "COMPARISON", Type: "COMPARE_EQUAL", Left: &e.Children[0], Right: &value})
		}
		in, ok := compileAll("or_kleene", any, here)
		if e.Type == "COMPARE_NOT_IN" {
			return call("not", in), ok
		}
		return in, ok
	}
	switch {
	case e.Class != "COMPARISON":
		return condition{}, false
	case e.Right.Class == "COLUMN_REF" && e.Left.Class != "COLUMN_REF":
		return comparison(e.Right, mirrored[e.Type], e.Left, here)
	default:
		return comparison(e.Left, e.Type, e.Right, here)
	}
}

// compileAll joins conditions by a function of two of them.
func compileAll(function string, parts []expr, here *scope) (all condition, ok bool) {
	for i := range parts {
		c, ok := compile(&parts[i], here)
		if !ok {
			return condition{}, false
		}
		if i > 0 {
			c = call(function, all, c)
		}
		all = c
	}
	return all, len(parts) > 0
}

// stored finds the column of a table that e names.
func stored(e *expr, here *scope) (condition, arrow.DataType, bool) {
	if e.Class != "COLUMN_REF" {
		return condition{}, nil, false
	}
	c, found := here.find(e.Names)
	if !found || c.use == nil || !c.pass {
		return condition{}, nil, false
	}
	return condition{column: c.index}, c.field.Type, true
}

// comparisons are Arrow's names of DuckDB's.
var comparisons = map[string]string{
	"COMPARE_EQUAL": "equal", "COMPARE_NOTEQUAL": "not_equal",
	"COMPARE_LESSTHAN": "less", "COMPARE_LESSTHANOREQUALTO": "less_equal",
	"COMPARE_GREATERTHAN": "greater", "COMPARE_GREATERTHANOREQUALTO": "greater_equal",
}

func comparison(e *expr, kind string, to *expr, here *scope) (condition, bool) {
	column, t, ok := stored(e, here)
	if !ok || comparisons[kind] == "" {
		return condition{}, false
	}
	constant := to.scalar(t)
	return call(comparisons[kind], column, condition{constant: constant}), constant != nil
}

// scalar returns a constant that the values of a column of type t can be compared
// with; nil if e is none.
func (e *expr) scalar(t arrow.DataType) scalar.Scalar {
	switch t.ID() {
	case arrow.UINT64, arrow.UINT32:
		v, isInt := e.integer()
		switch {
		case !isInt || !v.IsUint64():
			return nil
		case t.ID() == arrow.UINT32 && v.Uint64() <= math.MaxUint32:
			return scalar.NewUint32Scalar(uint32(v.Uint64()))
		}
		return scalar.NewUint64Scalar(v.Uint64())
	case arrow.STRING:
		var text string
		if e.isText() && json.Unmarshal(e.Value.Value, &text) == nil {
			return scalar.NewStringScalar(text)
		}
	case arrow.BINARY, arrow.FIXED_SIZE_BINARY:
		raw, isBinary := e.binary()
		switch buffer := memory.NewBufferBytes(raw); {
		case !isBinary:
			return nil
		case t.ID() == arrow.BINARY:
			return scalar.NewBinaryScalar(buffer, t)
		default: // also of another width than the column
			return scalar.NewFixedSizeBinaryScalar(buffer, &arrow.FixedSizeBinaryType{ByteWidth: len(raw)})
		}
	}
	return nil
}

// binary returns the bytes of what was x'…' in the query.
func (e *expr) binary() ([]byte, bool) {
	if e.Class != "FUNCTION" || e.Function != "from_hex" || len(e.Children) != 1 || !e.Children[0].isText() {
		return nil, false
	}
	var digits string
	if json.Unmarshal(e.Children[0].Value.Value, &digits) != nil {
		return nil, false
	}
	raw, err := hex.DecodeString(digits)
	return raw, err == nil
}
