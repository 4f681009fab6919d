package entry

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/zeebo/xxh3"
)

// Fingerprint returns a hash of what a sink depends on: the columns, their order, names and
// types, down to the fields of structs. Metadata and the names of list items do
// not count, and neither does nullability, which is the source planner's guess
// and may change between two answers to one query (AP 1.6). It is 32 hex
// digits, the 128-bit xxh3 of a text of our own, so that it stays the same when
// the Arrow library changes its way of printing types.
func Fingerprint(schema *arrow.Schema) string {
	var text strings.Builder
	for _, f := range schema.Fields() {
		fmt.Fprintf(&text, "%q ", f.Name)
		describe(&text, f.Type)
		text.WriteByte('\n')
	}
	sum := xxh3.HashString128(text.String()).Bytes()
	return fmt.Sprintf("%x", sum[:])
}

// describe writes everything about a type that changes the meaning of its
// bytes.
func describe(w *strings.Builder, t arrow.DataType) {
	switch t := t.(type) {
	case arrow.ExtensionType:
		fmt.Fprintf(w, "extension %q ", t.ExtensionName())
		describe(w, t.StorageType())
		return
	case *arrow.DictionaryType:
		w.WriteString("dictionary ")
		describe(w, t.IndexType)
		w.WriteByte(' ')
		describe(w, t.ValueType)
		return
	}
	w.WriteString(strings.ToLower(t.ID().String()))
	switch t := t.(type) {
	case *arrow.FixedSizeBinaryType:
		fmt.Fprintf(w, "(%d)", t.ByteWidth)
	case arrow.DecimalType:
		fmt.Fprintf(w, "(%d,%d)", t.GetPrecision(), t.GetScale())
	case *arrow.TimestampType:
		fmt.Fprintf(w, "(%s,%q)", t.Unit, t.TimeZone)
	case *arrow.Time32Type:
		fmt.Fprintf(w, "(%s)", t.Unit)
	case *arrow.Time64Type:
		fmt.Fprintf(w, "(%s)", t.Unit)
	case *arrow.DurationType:
		fmt.Fprintf(w, "(%s)", t.Unit)
	case *arrow.FixedSizeListType:
		fmt.Fprintf(w, "(%d)", t.Len())
	case arrow.UnionType:
		fmt.Fprintf(w, "(%v)", t.TypeCodes())
	}
	nested, ok := t.(arrow.NestedType)
	if !ok {
		return
	}
	named := t.ID() == arrow.STRUCT || t.ID() == arrow.SPARSE_UNION || t.ID() == arrow.DENSE_UNION
	w.WriteByte('<')
	for i, f := range nested.Fields() {
		if i > 0 {
			w.WriteString(", ")
		}
		if named {
			fmt.Fprintf(w, "%q ", f.Name)
		}
		// The entries of a map are a struct whose field names are free.
		if entries, isStruct := f.Type.(*arrow.StructType); isStruct && t.ID() == arrow.MAP {
			for _, part := range entries.Fields() {
				describe(w, part.Type)
				w.WriteByte(' ')
			}
			continue
		}
		describe(w, f.Type)
	}
	w.WriteByte('>')
}

// MarshalSchema returns a schema as an Arrow IPC stream without batches.
func MarshalSchema(schema *arrow.Schema) ([]byte, error) {
	var buf bytes.Buffer
	w := ipc.NewWriter(&buf, ipc.WithSchema(schema))
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("write schema: %w", err)
	}
	return buf.Bytes(), nil
}

// UnmarshalSchema reads what [MarshalSchema] writes. It never panics, whatever
// the bytes are.
func UnmarshalSchema(b []byte) (*arrow.Schema, error) {
	schema, recs, err := readStream(memory.NewBufferBytes(aligned(b)))
	if err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	if len(recs) > 0 {
		release(recs)
		return nil, errors.New("read schema: the stream holds rows")
	}
	return schema, nil
}

func release(recs []arrow.RecordBatch) {
	for _, rec := range recs {
		rec.Release()
	}
}
