package pgcopy_test

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/sink/postgres/pgcopy"
)

// TestArraysAreLimitedAsTheirElements holds that what an array may refuse, or cuts off, is
// known as it is of a column of its elements.
func TestArraysAreLimitedAsTheirElements(t *testing.T) {
	for _, c := range []struct {
		element  arrow.DataType
		base     string
		modifier int32
		wider    string
		cuts     bool
	}{
		{arrow.FixedWidthTypes.Timestamp_ns, "timestamp with time zone", 3, "", true},
		{arrow.FixedWidthTypes.Timestamp_ns, "timestamp with time zone", -1, "", false},
		{arrow.FixedWidthTypes.Time64us, "time without time zone", 0, "", true},
		{arrow.PrimitiveTypes.Int64, "integer", -1, "bigint", false},
		{arrow.BinaryTypes.String, "character varying", 24, "text", false},
		{arrow.PrimitiveTypes.Int64, "numeric", 4 + 4<<16, "numeric", false},
	} {
		e, ok := pgcopy.Fit(c.element, "", pgcopy.Type{SQL: c.base, Base: c.base, Modifier: c.modifier})
		if !ok || e.Wider != c.wider || e.Cuts != c.cuts {
			t.Errorf("%s into %s: %v, wider %q, cuts %v", c.element, c.base, ok, e.Wider, e.Cuts)
		}
		wider := c.wider
		switch wider {
		case "numeric": // rows that are there would keep their scale
			wider = ""
		case "":
		default:
			wider += "[]"
		}
		e, ok = pgcopy.Fit(arrow.ListOf(c.element), "",
			pgcopy.Type{SQL: c.base + "[]", Base: c.base + "[]", Modifier: c.modifier, Element: c.base})
		if !ok || e.Wider != wider || e.Cuts != c.cuts {
			t.Errorf("a list of %s into %s[]: %v, wider %q, cuts %v", c.element, c.base, ok, e.Wider, e.Cuts)
		}
	}
}
