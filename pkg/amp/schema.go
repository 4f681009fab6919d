package amp

import (
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
)

// ErrSchemaChanged says that the table behind a name such as "latest" changed
// while the query was being asked: ask again.
var ErrSchemaChanged = errors.New("the query's columns changed between GetFlightInfo and DoGet")

// sameSchema reports whether two schemas have the same columns: names and types.
// Nullability is left out, because Amp's is its planner's guess (AP 1.6).
func sameSchema(planned, got *arrow.Schema) error {
	if planned.NumFields() != got.NumFields() {
		return fmt.Errorf("%d columns became %d", planned.NumFields(), got.NumFields())
	}
	for i, was := range planned.Fields() {
		if is := got.Field(i); was.Name != is.Name || !sameType(was.Type, is.Type) {
			return fmt.Errorf("column %d was %q (%v) and became %q (%v)", i+1, was.Name, was.Type, is.Name, is.Type)
		}
	}
	return nil
}

func sameType(a, b arrow.DataType) bool {
	x, nested := a.(arrow.NestedType)
	if !nested {
		return arrow.TypeEqual(a, b)
	}
	y, nested := b.(arrow.NestedType)
	if !nested || a.ID() != b.ID() || x.NumFields() != y.NumFields() {
		return false
	}
	if l, fixed := a.(*arrow.FixedSizeListType); fixed && l.Len() != b.(*arrow.FixedSizeListType).Len() {
		return false
	}
	for i, f := range x.Fields() {
		if g := y.Fields()[i]; f.Name != g.Name || !sameType(f.Type, g.Type) {
			return false
		}
	}
	return true
}
