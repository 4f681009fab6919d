package arrowguard

import (
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// completed returns a batch, which the caller releases, in the form that may be read:
// see [complete].
func completed(rec arrow.RecordBatch) arrow.RecordBatch {
	cols := make([]arrow.Array, rec.NumCols())
	same := true
	for i, col := range rec.Columns() {
		data := complete(col.Data())
		if data == nil {
			col.Retain()
			cols[i] = col
			continue
		}
		same = false
		cols[i] = array.MakeFromData(data)
		data.Release()
	}
	defer func() {
		for _, col := range cols {
			col.Release()
		}
	}()
	if same {
		rec.Retain()
		return rec
	}
	return array.NewRecordBatch(rec.Schema(), cols, rec.NumRows())
}

// zeros are the offsets of no values. Nobody writes into a buffer that was read.
var zeros = memory.NewBufferBytes(make([]byte, 8))

// complete returns a copy of data, to be released, with what its reader may ask for
// and a message may leave out; nil: nothing is missing. That is the one offset of text,
// binaries and lists without values, which Amp leaves out, those of a dense union, and
// the form of nulls, whose buffers the library's own check wants to see.
func complete(data arrow.ArrayData) arrow.ArrayData {
	buffers, children, nulls := data.Buffers(), data.Children(), data.NullN()
	changed := false
	put := func(i int, b *memory.Buffer) {
		buffers, changed = slices.Clone(buffers), true
		buffers[i] = b
	}
	switch id := data.DataType().ID(); id {
	case arrow.NULL:
		buffers, nulls, changed = []*memory.Buffer{nil}, data.Len(), true
	case arrow.BINARY, arrow.STRING, arrow.LIST, arrow.MAP, arrow.LARGE_BINARY, arrow.LARGE_STRING, arrow.LARGE_LIST:
		if data.Len() == 0 && !beginsAtZero(buffers[1], id) {
			put(1, zeros)
		}
	case arrow.DENSE_UNION:
		if data.Len() == 0 && buffers[2] == nil {
			put(2, zeros)
		}
	}
	for i, child := range data.Children() {
		if whole := complete(child); whole != nil {
			children, changed = slices.Clone(children), true
			children[i] = whole
			defer whole.Release()
		}
	}
	dictionary, _ := data.Dictionary().(*array.Data)
	if dictionary != nil {
		if whole := complete(dictionary); whole != nil {
			dictionary, changed = whole.(*array.Data), true
			defer whole.Release()
		}
	}
	if !changed {
		return nil
	}
	made := array.NewData(data.DataType(), data.Len(), buffers, children, nulls, data.Offset())
	if dictionary != nil {
		made.SetDictionary(dictionary)
	}
	return made
}

// beginsAtZero reports whether offsets hold the one of no values.
func beginsAtZero(offsets *memory.Buffer, id arrow.Type) bool {
	size := arrow.Int32SizeBytes
	if id == arrow.LARGE_BINARY || id == arrow.LARGE_STRING || id == arrow.LARGE_LIST {
		size = arrow.Int64SizeBytes
	}
	if offsets == nil || offsets.Len() < size {
		return false
	}
	for _, b := range offsets.Bytes()[:size] {
		if b != 0 {
			return false
		}
	}
	return true
}
