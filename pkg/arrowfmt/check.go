package arrowfmt

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// Check returns why value i of an array is refused, "" if it is not.
type Check func(i int) (reason string)

// Checks are what a destination checks in the values of an array, however deep they are
// nested.
type Checks struct {
	// Leaf returns the check of values that hold no others and are not NULL; nil if none of
	// them is refused.
	Leaf func(arr arrow.Array) Check
	// Map, if it is not nil, returns what is asked before each entry of a map, by its place
	// among all entries, and what is asked of a value after all of its entries. Both may be
	// nil.
	Map func(a *array.Map) (entry, value Check)
}

// Of returns the check of the values of an array, NULL among them, and nil if nothing in
// them can be refused. The first reason found counts.
func (c Checks) Of(arr arrow.Array) Check {
	value := c.value(arr)
	nulls := NullsOf(arr)
	if value == nil || !nulls.Any() {
		return value
	}
	return func(i int) string {
		if nulls.Null(i) {
			return ""
		}
		return value(i)
	}
}

func (c Checks) value(arr arrow.Array) Check {
	switch a := arr.(type) {
	case *array.Dictionary:
		values := c.Of(a.Dictionary())
		if values == nil {
			return nil
		}
		return func(i int) string { return values(a.GetValueIndex(i)) }
	case array.ExtensionArray:
		return c.Of(a.Storage())
	case *array.Struct:
		var fields []Check
		for k := range a.NumField() {
			fields = append(fields, c.Of(a.Field(k)))
		}
		return all(fields...)
	case *array.Map:
		var entry, value Check
		if c.Map != nil {
			entry, value = c.Map(a)
		}
		return all(elements(a, all(entry, c.Of(a.Keys()), c.Of(a.Items()))), value)
	case array.ListLike:
		return elements(a, c.Of(a.ListValues()))
	default:
		return c.Leaf(arr)
	}
}

// elements checks the elements of lists.
func elements(a array.ListLike, element Check) Check {
	if element == nil {
		return nil
	}
	return func(i int) string {
		from, to := a.ValueOffsets(i)
		for k := from; k < to; k++ {
			if reason := element(int(k)); reason != "" {
				return reason
			}
		}
		return ""
	}
}

// all makes one check of several, in their order, of which some may be nil.
func all(checks ...Check) Check {
	var some []Check
	for _, c := range checks {
		if c != nil {
			some = append(some, c)
		}
	}
	switch len(some) {
	case 0:
		return nil
	case 1:
		return some[0]
	}
	return func(i int) string {
		for _, c := range some {
			if reason := c(i); reason != "" {
				return reason
			}
		}
		return ""
	}
}
