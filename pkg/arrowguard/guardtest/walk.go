// Package guardtest reads everything in a record batch, for tests of what package
// arrowguard lets pass.
package guardtest

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// Walk reads every value of every column, nested ones included, in each way that a
// consumer may. It panics, as a consumer would, where that is not possible, and
// returns the number of bytes of text and binaries that it has seen.
func Walk(rec arrow.RecordBatch) int {
	total := 0
	for _, col := range rec.Columns() {
		if col.Len() != int(rec.NumRows()) {
			panic(fmt.Sprintf("a column has %d values in %d rows", col.Len(), rec.NumRows()))
		}
		total += walk(col)
	}
	return total
}

func walk(a arrow.Array) int {
	if a.DataType().ID() == arrow.NULL {
		return 0 // the library counts its nulls, but says of none that it is one
	}
	nulls := 0
	for i := range a.Len() {
		if a.IsNull(i) != !a.IsValid(i) {
			panic("a value is both null and valid, or neither")
		}
		if a.IsNull(i) {
			nulls++
		}
	}
	// Runs and unions hold their nulls in their children.
	if nulls != a.NullN() {
		panic(fmt.Sprintf("%d nulls, announced were %d", nulls, a.NullN()))
	}
	switch a := a.(type) {
	case array.ExtensionArray:
		return walk(a.Storage())
	case *array.String:
		return len(a.ValueBytes()) + values(a, a.Value)
	case *array.LargeString:
		return len(a.ValueBytes()) + values(a, a.Value)
	case *array.Binary:
		return len(a.ValueBytes()) + values(a, a.ValueString)
	case *array.LargeBinary:
		return len(a.ValueBytes()) + values(a, a.ValueString)
	case *array.StringView:
		return values(a, a.Value)
	case *array.BinaryView:
		return values(a, a.ValueString)
	case *array.Dictionary:
		for i := range a.Len() {
			if !a.IsNull(i) {
				a.Dictionary().IsNull(a.GetValueIndex(i))
			}
		}
		return walk(a.Dictionary())
	case *array.RunEndEncoded:
		for i := range a.Len() {
			a.Values().IsNull(a.GetPhysicalIndex(i))
		}
		return walk(a.RunEndsArr()) + walk(a.Values())
	case *array.SparseUnion:
		return union(a, func(i int) int { return i })
	case *array.DenseUnion:
		return union(a, func(i int) int { return int(a.ValueOffset(i)) })
	case array.ListLike:
		return list(a)
	case *array.Struct:
		total := 0
		for i := range a.NumField() {
			total += walk(a.Field(i))
		}
		return total
	}
	fixed := a.DataType().(arrow.FixedWidthDataType)
	if have := a.Data().Buffers()[1]; a.Len() > 0 && have.Len() < (a.Len()*fixed.BitWidth()+7)/8 {
		panic(fmt.Sprintf("%d values of type %v in %d bytes", a.Len(), fixed, have.Len()))
	}
	return 0
}

// values reads texts and binaries, to their last byte.
func values(a arrow.Array, value func(int) string) int {
	total := 0
	for i := range a.Len() {
		if a.IsNull(i) {
			continue
		}
		for _, b := range []byte(value(i)) {
			total += int(b & 1)
		}
		total += len(value(i))
	}
	return total
}

func list(a array.ListLike) int {
	for i := range a.Len() {
		start, end := a.ValueOffsets(i)
		if !a.IsNull(i) {
			array.NewSlice(a.ListValues(), start, end).Release()
		}
	}
	switch a := a.(type) {
	case *array.List:
		_ = a.Offsets()[a.Len()]
	case *array.LargeList:
		_ = a.Offsets()[a.Len()]
	case *array.Map:
		_ = a.Offsets()[a.Len()]
		return walk(a.Keys()) + walk(a.Items())
	}
	return walk(a.ListValues())
}

func union(a array.Union, at func(int) int) int {
	for i := range a.Len() {
		a.Field(a.ChildID(i)).IsNull(at(i))
	}
	total := 0
	for i := range a.NumFields() {
		total += walk(a.Field(i))
	}
	return total
}
