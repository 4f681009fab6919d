package entry

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
)

// tiny is the mean size of batches below which they are copied together: each
// batch costs its metadata and padding on the wire, and a call per column in
// every reader.
const tiny = 128 << 10

// endOfStream is the marker that ends an Arrow IPC stream.
var endOfStream = []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}

// streamWriter writes Arrow IPC streams of one schema. A writer of the Arrow
// library is kept open and only its batches are collected; the message of the
// schema, which it would write once, is put before them each time. A schema
// with dictionaries needs a new one for each stream, because their messages
// must be in every stream too.
type streamWriter struct {
	schema     *arrow.Schema
	dictionary bool
	start      []byte // the schema's message
	ipc        *ipc.Writer
	fresh      bool // ipc has yet to write its schema
	buf        *bytes.Buffer
}

func (w *streamWriter) open(schema *arrow.Schema) error {
	start, err := MarshalSchema(schema)
	if err != nil {
		return err
	}
	w.schema, w.start = schema, bytes.TrimSuffix(start, endOfStream)
	for _, f := range schema.Fields() {
		w.dictionary = w.dictionary || contains(f.Type, isDictionary)
	}
	return nil
}

// Start makes the streamWriter the payload writer of its Arrow writer.
func (w *streamWriter) Start() error { return nil }

// WritePayload appends one message.
func (w *streamWriter) WritePayload(p ipc.Payload) error {
	if w.fresh {
		w.fresh = false
		return nil
	}
	_, err := p.WritePayload(w.buf)
	return err
}

// Close writes nothing: the end of the stream is write's part.
func (w *streamWriter) Close() error { return nil }

// write returns the stream of recs, in buf.
func (w *streamWriter) write(buf *bytes.Buffer, recs []arrow.RecordBatch) ([]byte, error) {
	w.buf = buf
	defer func() { w.buf = nil }()
	ready, err := prepare(w.schema, recs)
	if err != nil {
		return nil, err
	}
	defer release(ready)
	if w.ipc == nil {
		w.ipc = ipc.NewWriterWithPayloadWriter(w, ipc.WithSchema(w.schema))
		w.fresh = true
	}
	w.buf.Reset()
	w.buf.Write(w.start)
	for _, rec := range ready {
		if err := w.ipc.Write(rec); err != nil {
			// It would repeat its first error for ever.
			err = errors.Join(err, w.ipc.Close())
			w.ipc = nil
			return nil, err
		}
	}
	if w.dictionary {
		err, w.ipc = w.ipc.Close(), nil // it holds the dictionaries it has written
	}
	w.buf.Write(endOfStream)
	return w.buf.Bytes(), err
}

// prepare returns the batches as they are to be written, to be released by the
// caller: without empty ones, under one schema, tiny ones put together, and
// views freed of what they do not show.
func prepare(schema *arrow.Schema, recs []arrow.RecordBatch) ([]arrow.RecordBatch, error) {
	var out []arrow.RecordBatch
	size := 0
	for _, rec := range recs {
		if !sameTypes(schema, rec.Schema()) {
			release(out)
			return nil, fmt.Errorf("%w: %v, announced was %v", errSchema, rec.Schema(), schema)
		}
		if rec.NumRows() == 0 {
			continue
		}
		tight, err := compact(schema, rec)
		if err != nil {
			release(out)
			return nil, err
		}
		out = append(out, tight)
		size += rowsSize(tight, 0, int(tight.NumRows()))
	}
	if len(out) < 2 || size/len(out) >= tiny {
		return out, nil
	}
	one, err := concatenate(schema, out)
	if err != nil {
		// Some types cannot be put together; many small batches are as right.
		return out, nil
	}
	release(out)
	return []arrow.RecordBatch{one}, nil
}

// concatenate copies all rows into one batch.
func concatenate(schema *arrow.Schema, recs []arrow.RecordBatch) (arrow.RecordBatch, error) {
	cols := make([]arrow.Array, schema.NumFields())
	defer func() {
		for _, col := range cols {
			if col != nil {
				col.Release()
			}
		}
	}()
	parts := make([]arrow.Array, len(recs))
	rows := int64(0)
	for _, rec := range recs {
		rows += rec.NumRows()
	}
	for i := range cols {
		for j, rec := range recs {
			parts[j] = rec.Column(i)
		}
		col, err := Concatenate(parts)
		if err != nil {
			return nil, err
		}
		cols[i] = col
	}
	return array.NewRecordBatch(schema, cols, rows), nil
}

// sameTypes reports whether two schemas differ at most in metadata and
// nullability.
func sameTypes(a, b *arrow.Schema) bool {
	if a == b {
		return true
	}
	if a.NumFields() != b.NumFields() {
		return false
	}
	for i, f := range a.Fields() {
		if g := b.Field(i); f.Name != g.Name || !arrow.TypeEqual(f.Type, g.Type) {
			return false
		}
	}
	return true
}

// contains reports whether a type, or one inside it, is what is asked for.
func contains(t arrow.DataType, what func(arrow.DataType) bool) bool {
	if what(t) {
		return true
	}
	if ext, ok := t.(arrow.ExtensionType); ok {
		return contains(ext.StorageType(), what)
	}
	if nested, ok := t.(arrow.NestedType); ok {
		for _, f := range nested.Fields() {
			if contains(f.Type, what) {
				return true
			}
		}
	}
	return false
}

func isDictionary(t arrow.DataType) bool { return t.ID() == arrow.DICTIONARY }

func isListView(t arrow.DataType) bool {
	return t.ID() == arrow.LIST_VIEW || t.ID() == arrow.LARGE_LIST_VIEW
}

func isView(t arrow.DataType) bool {
	return t.ID() == arrow.BINARY_VIEW || t.ID() == arrow.STRING_VIEW
}
