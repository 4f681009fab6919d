package arrowguard

import (
	"bytes"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// completed returns a batch, which the caller releases, with what its reader may ask
// for and a message may leave out: the one offset of text, binaries and lists without
// values, which Amp leaves out, those of a dense union, and the form in which the
// library's own builder makes nulls.
func completed(rec arrow.RecordBatch) arrow.RecordBatch {
	if !slices.ContainsFunc(rec.Columns(), func(col arrow.Array) bool { return incomplete(col.Data()) }) {
		rec.Retain()
		return rec
	}
	cols := make([]arrow.Array, rec.NumCols())
	for i, col := range rec.Columns() {
		data := complete(col.Data())
		defer data.Release()
		cols[i] = array.MakeFromData(data)
		defer cols[i].Release()
	}
	return array.NewRecordBatch(rec.Schema(), cols, rec.NumRows())
}

// incomplete reports whether something of data, or of what is inside, is left out.
func incomplete(data arrow.ArrayData) bool {
	return lacks(data) || slices.ContainsFunc(data.Children(), incomplete) || (dictionaryOf(data) != nil && incomplete(dictionaryOf(data)))
}

// lacks reports that of data without what is inside.
func lacks(data arrow.ArrayData) bool {
	switch id := data.DataType().ID(); id {
	case arrow.NULL:
		return len(data.Buffers()) == 0
	case arrow.BINARY, arrow.STRING, arrow.LIST, arrow.MAP, arrow.LARGE_BINARY, arrow.LARGE_STRING, arrow.LARGE_LIST:
		return data.Len() == 0 && !beginsAtZero(data.Buffers()[1], id)
	case arrow.DENSE_UNION:
		return data.Len() == 0 && data.Buffers()[2] == nil
	}
	return false
}

// zeros are the offsets of no values. A buffer that was read is never written to.
var zeros = memory.NewBufferBytes(make([]byte, 8))

// complete returns data, which the caller releases, with what it lacks.
func complete(data arrow.ArrayData) arrow.ArrayData {
	if !incomplete(data) {
		data.Retain()
		return data
	}
	buffers, nulls := slices.Clone(data.Buffers()), data.NullN()
	if lacks(data) {
		switch data.DataType().ID() {
		case arrow.NULL:
			buffers, nulls = []*memory.Buffer{nil}, data.Len()
		case arrow.DENSE_UNION:
			buffers[2] = zeros
		default:
			buffers[1] = zeros
		}
	}
	children := make([]arrow.ArrayData, len(data.Children()))
	for i, child := range data.Children() {
		children[i] = complete(child)
		defer children[i].Release()
	}
	made := array.NewData(data.DataType(), data.Len(), buffers, children, nulls, data.Offset())
	if d := dictionaryOf(data); d != nil {
		whole := complete(d)
		defer whole.Release()
		made.SetDictionary(whole)
	}
	return made
}

// dictionaryOf returns the dictionary of indices, or nil.
func dictionaryOf(data arrow.ArrayData) arrow.ArrayData {
	if d, _ := data.Dictionary().(*array.Data); d != nil {
		return d
	}
	return nil
}

// beginsAtZero reports whether offsets hold the one of no values.
func beginsAtZero(offsets *memory.Buffer, id arrow.Type) bool {
	size := arrow.Int32SizeBytes
	if id == arrow.LARGE_BINARY || id == arrow.LARGE_STRING || id == arrow.LARGE_LIST {
		size = arrow.Int64SizeBytes
	}
	return offsets != nil && offsets.Len() >= size && bytes.Equal(offsets.Bytes()[:size], zeros.Bytes()[:size])
}
