package entry

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Concatenate copies arrays of one type into one, as the Arrow library does, but
// also takes arrays that hold others without values and without offsets: those of
// lists that are all empty, for example. The caller releases the result.
func Concatenate(parts []arrow.Array) (arrow.Array, error) {
	grounded := make([]arrow.Array, len(parts))
	for i, p := range parts {
		if len(p.Data().Children()) == 0 {
			p.Retain()
			grounded[i] = p
		} else {
			data := ground(p.Data())
			grounded[i] = array.MakeFromData(data)
			data.Release()
		}
		defer grounded[i].Release()
	}
	whole, err := array.Concatenate(grounded, memory.DefaultAllocator)
	if err != nil {
		return nil, fmt.Errorf("put arrays together: %w", err)
	}
	return whole, nil
}

// ground returns data in which every nested array without values has the buffers
// that the Arrow library expects. The caller releases the result.
func ground(data arrow.ArrayData) arrow.ArrayData {
	if len(data.Children()) == 0 {
		data.Retain()
		return data
	}
	if data.Len() == 0 {
		b := array.NewBuilder(memory.DefaultAllocator, data.DataType())
		defer b.Release()
		empty := b.NewArray()
		defer empty.Release()
		empty.Data().Retain()
		return empty.Data()
	}
	children := make([]arrow.ArrayData, len(data.Children()))
	for i, child := range data.Children() {
		children[i] = ground(child)
		defer children[i].Release()
	}
	return array.NewData(data.DataType(), data.Len(), data.Buffers(), children, data.NullN(), data.Offset())
}
