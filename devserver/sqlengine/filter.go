package sqlengine

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"math/big"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// truth is the value of a condition for a row, in SQL's three values.
type truth int8

const (
	no truth = iota
	unknown
	yes
)

// condition is a WHERE that can be decided without DuckDB. It is bound to the
// columns of a batch, given by their index in the table, and then asked row by
// row.
type condition struct {
	columns []int
	bind    func(column func(index int) arrow.Array) func(row int) truth
}

// compile makes a condition of an expression over columns of one table; false
// if DuckDB has to decide it.
func compile(e *expr, here *scope) (condition, bool) {
	switch {
	case e.Class == "CONJUNCTION":
		return compileAll(e.Children, here, e.Type == "CONJUNCTION_OR")
	case e.Type == "OPERATOR_NOT":
		inner, ok := compile(&e.Children[0], here)
		return inner.negated(), ok
	case e.Type == "OPERATOR_IS_NULL" || e.Type == "OPERATOR_IS_NOT_NULL":
		wanted := e.Type == "OPERATOR_IS_NULL"
		index, _, ok := stored(&e.Children[0], here)
		return condition{[]int{index}, func(column func(int) arrow.Array) func(int) truth {
			values := column(index)
			return func(row int) truth { return truthOf(values.IsNull(row) == wanted) }
		}}, ok
	case e.Type == "COMPARE_IN" || e.Type == "COMPARE_NOT_IN":
		var any []expr
		for _, value := range e.Children[1:] {
			any = append(any, expr{Class: "COMPARISON", Type: "COMPARE_EQUAL", Left: &e.Children[0], Right: &value})
		}
		in, ok := compileAll(any, here, true)
		if e.Type == "COMPARE_NOT_IN" {
			in = in.negated()
		}
		return in, ok
	case e.Class == "COMPARISON" && e.Right.Class == "COLUMN_REF" && e.Left.Class != "COLUMN_REF":
		return comparison(e.Right, mirrored[e.Type], e.Left, here)
	case e.Class == "COMPARISON":
		return comparison(e.Left, e.Type, e.Right, here)
	}
	return condition{}, false
}

// negated returns NOT c.
func (c condition) negated() condition {
	return condition{c.columns, func(column func(int) arrow.Array) func(int) truth {
		is := c.bind(column)
		return func(row int) truth { return yes - is(row) }
	}}
}

// compileAll joins conditions by AND or, if any, by OR.
func compileAll(parts []expr, here *scope, any bool) (condition, bool) {
	var all condition
	var binds []func(func(int) arrow.Array) func(int) truth
	for i := range parts {
		c, ok := compile(&parts[i], here)
		if !ok {
			return condition{}, false
		}
		all.columns = append(all.columns, c.columns...)
		binds = append(binds, c.bind)
	}
	all.bind = func(column func(int) arrow.Array) func(int) truth {
		rows := make([]func(int) truth, len(binds))
		for i, bind := range binds {
			rows[i] = bind(column)
		}
		return func(row int) truth {
			result := yes
			if any {
				result = no
			}
			for _, is := range rows {
				if any {
					result = max(result, is(row))
				} else {
					result = min(result, is(row))
				}
			}
			return result
		}
	}
	return all, len(parts) > 0
}

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

// stored finds the column of a table that e names.
func stored(e *expr, here *scope) (int, arrow.DataType, bool) {
	if e.Class != "COLUMN_REF" {
		return 0, nil, false
	}
	c, found := here.find(e.Names)
	if !found || c.use == nil || !c.pass {
		return 0, nil, false
	}
	return c.index, c.field.Type, true
}

// verdicts are the results of a comparison for less (-1), equal (0) and greater (1).
var verdicts = map[string]func(order int) bool{
	"COMPARE_EQUAL":                func(o int) bool { return o == 0 },
	"COMPARE_NOTEQUAL":             func(o int) bool { return o != 0 },
	"COMPARE_LESSTHAN":             func(o int) bool { return o < 0 },
	"COMPARE_LESSTHANOREQUALTO":    func(o int) bool { return o <= 0 },
	"COMPARE_GREATERTHAN":          func(o int) bool { return o > 0 },
	"COMPARE_GREATERTHANOREQUALTO": func(o int) bool { return o >= 0 },
}

func comparison(column *expr, kind string, constant *expr, here *scope) (condition, bool) {
	verdict := verdicts[kind]
	index, t, ok := stored(column, here)
	if !ok || verdict == nil {
		return condition{}, false
	}
	order, ok := orderTo(t, constant)
	if !ok {
		return condition{}, false
	}
	return condition{[]int{index}, func(column func(int) arrow.Array) func(int) truth {
		values := column(index)
		compare := order(values)
		return func(row int) truth {
			if values.IsNull(row) {
				return unknown
			}
			return truthOf(verdict(compare(row)))
		}
	}}, true
}

// orderTo returns how the values of a column of type t compare with a constant.
func orderTo(t arrow.DataType, constant *expr) (func(arrow.Array) func(row int) int, bool) {
	switch {
	case t.ID() == arrow.UINT64 || t.ID() == arrow.UINT32:
		to, ok := constant.integer()
		return func(a arrow.Array) func(int) int { return unsigned(a, to) }, ok
	case t.ID() == arrow.STRING && constant.isText():
		var to string
		err := json.Unmarshal(constant.Value.Value, &to)
		return func(a arrow.Array) func(int) int {
			return func(row int) int { return cmp.Compare(a.(*array.String).Value(row), to) }
		}, err == nil
	case t.ID() == arrow.FIXED_SIZE_BINARY:
		to, ok := constant.binary()
		return func(a arrow.Array) func(int) int {
			return func(row int) int { return bytes.Compare(a.(*array.FixedSizeBinary).Value(row), to) }
		}, ok
	case t.ID() == arrow.BINARY:
		to, ok := constant.binary()
		return func(a arrow.Array) func(int) int {
			return func(row int) int { return bytes.Compare(a.(*array.Binary).Value(row), to) }
		}, ok
	}
	return nil, false
}

func unsigned(a arrow.Array, to *big.Int) func(row int) int {
	if to.Sign() < 0 {
		return func(int) int { return 1 }
	}
	if !to.IsUint64() {
		return func(int) int { return -1 }
	}
	limit := to.Uint64()
	if narrow, is := a.(*array.Uint32); is {
		return func(row int) int { return cmp.Compare(uint64(narrow.Value(row)), limit) }
	}
	return func(row int) int { return cmp.Compare(a.(*array.Uint64).Value(row), limit) }
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
