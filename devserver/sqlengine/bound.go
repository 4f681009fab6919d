package sqlengine

import (
	"math/big"

	"github.com/ampipe/ampipe/pkg/block"
)

// bound narrows the tables below by the limits that a WHERE puts on their block
// numbers, and returns the parts of it that are about something else, joined by AND.
func bound(where *expr, here *scope) (rest []*expr) {
	switch {
	case where == nil:
		return nil
	case where.Class == "CONJUNCTION" && where.Type == "CONJUNCTION_AND":
		for i := range where.Children {
			rest = append(rest, bound(&where.Children[i], here)...)
		}
		return rest
	case where.Class == "BETWEEN":
		lower := limit(where.Input, "COMPARE_GREATERTHANOREQUALTO", where.Lower, here)
		upper := limit(where.Input, "COMPARE_LESSTHANOREQUALTO", where.Upper, here)
		if lower && upper {
			return nil
		}
	case where.Class == "COMPARISON" && where.Right.Class == "COLUMN_REF":
		if limit(where.Right, mirrored[where.Type], where.Left, here) {
			return nil
		}
	case where.Class == "COMPARISON":
		if limit(where.Left, where.Type, where.Right, here) {
			return nil
		}
	}
	return []*expr{where}
}

var mirrored = map[string]string{
	"COMPARE_EQUAL": "COMPARE_EQUAL", "COMPARE_LESSTHAN": "COMPARE_GREATERTHAN",
	"COMPARE_GREATERTHAN": "COMPARE_LESSTHAN", "COMPARE_LESSTHANOREQUALTO": "COMPARE_GREATERTHANOREQUALTO",
	"COMPARE_GREATERTHANOREQUALTO": "COMPARE_LESSTHANOREQUALTO",
}

// limit applies "column comparison constant", if that is what it is.
func limit(e *expr, comparison string, to *expr, here *scope) bool {
	if e == nil || e.Class != "COLUMN_REF" {
		return false
	}
	value, isInt := to.integer()
	c, found := here.find(e.Names)
	if !isInt || !found || !c.pass || !c.isBlock() {
		return false
	}
	r := everything
	at, after := clamp(value), clamp(new(big.Int).Add(value, big.NewInt(1)))
	switch comparison {
	case "COMPARE_EQUAL":
		r.Start, r.End = at, after
	case "COMPARE_LESSTHAN":
		r.End = at
	case "COMPARE_LESSTHANOREQUALTO":
		r.End = after
	case "COMPARE_GREATERTHAN":
		r.Start = after
	case "COMPARE_GREATERTHANOREQUALTO":
		r.Start = at
	default:
		return false
	}
	c.use.blocks = c.use.blocks.Intersect(r)
	return true
}

func clamp(v *big.Int) block.Number {
	switch {
	case v.Sign() < 0:
		return 0
	case v.IsUint64() && v.Uint64() <= uint64(everything.End):
		return block.Number(v.Uint64())
	default:
		return everything.End
	}
}
