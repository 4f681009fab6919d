package layout

import (
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// Text returns value i of an array as text: the same for the same value in any
// layout. (The Arrow library's own comparison looks at what stands under the nulls
// of structs.)
func Text(a arrow.Array, i int) string {
	if a.IsNull(i) {
		return "null"
	}
	switch a := a.(type) {
	case array.ExtensionArray:
		return Text(a.Storage(), i)
	case *array.Dictionary:
		return Text(a.Dictionary(), a.GetValueIndex(i))
	case *array.Struct:
		var parts []string
		for f := range a.NumField() {
			parts = append(parts, Text(a.Field(f), i))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case array.ListLike:
		var parts []string
		from, to := a.ValueOffsets(i)
		for k := from; k < to; k++ {
			parts = append(parts, Text(a.ListValues(), int(k)))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	default:
		return a.ValueStr(i)
	}
}

// Equal reports whether two arrays have the same values, and returns in which row they
// do not; the row is -1 if their lengths differ.
func Equal(a, b arrow.Array) (row int, same bool) {
	if a.Len() != b.Len() {
		return -1, false
	}
	for i := range a.Len() {
		if Text(a, i) != Text(b, i) {
			return i, false
		}
	}
	return 0, true
}
