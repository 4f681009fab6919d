package arrowguard

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	flatbuffers "github.com/google/flatbuffers/go"

	"github.com/ampipe/ampipe/pkg/arrowguard/guardtest"
)

// encapsulated is a schema as a FlightInfo holds it.
func encapsulated(t testing.TB, schema *arrow.Schema) []byte {
	t.Helper()
	payload := ipc.GetSchemaPayload(schema, memory.DefaultAllocator)
	defer payload.Release()
	var text strings.Builder
	if _, err := payload.WritePayload(&text); err != nil {
		t.Fatal(err)
	}
	return []byte(text.String())
}

func TestReadSchema(t *testing.T) {
	text := encapsulated(t, guardtest.Schema)
	for name, text := range map[string][]byte{
		"with a mark":    text,
		"without one":    text[4:],
		"with something": append(text[:len(text):len(text)], 1, 2, 3),
	} {
		got, err := ReadSchema(text)
		if err != nil || !got.Equal(guardtest.Schema) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	for i := range text {
		if _, err := ReadSchema(text[:i]); err == nil {
			t.Errorf("%d bytes of %d are a schema", i, len(text))
		}
	}
}

// TestSchemasThatGrow: a few bytes may not become a large schema, whose parts refer
// to each other.
func TestSchemasThatGrow(t *testing.T) {
	nested := arrow.DataType(arrow.PrimitiveTypes.Int8)
	for range maxDepth + 1 {
		nested = arrow.ListOf(nested)
	}
	word := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}
	many := make([]arrow.Field, 1000)
	for i := range many {
		many[i] = arrow.Field{Name: fmt.Sprint(i), Type: arrow.PrimitiveTypes.Int8}
	}
	many[0].Name = strings.Repeat("x", 100_000)
	wide := make([]arrow.Field, 300)
	for i := range wide {
		wide[i] = arrow.Field{Name: fmt.Sprint(i), Type: arrow.StructOf(many[1:300]...)}
	}
	for _, c := range []struct {
		name   string
		schema []arrow.Field
		forge  func(schema table)
		want   string
	}{
		{"depth", []arrow.Field{{Name: "a", Type: nested}}, nil, "nested more than 64 deep"},
		{"dictionaries in dictionaries", []arrow.Field{{Name: "a", Type: &arrow.DictionaryType{
			IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.ListOf(word),
		}}}, nil, "a dictionary inside a dictionary"},
		{"text that all fields share", many, func(schema table) {
			fields := schema.list(slotSchemaFields, 4)
			first := fields.item(0)
			for i := range fields.len {
				at := fields.start + flatbuffers.UOffsetT(4*i)
				binary.LittleEndian.PutUint32(schema.Bytes[at:], uint32(first.Pos-at))
			}
		}, "more than 4 times as long"},
		{"fields", wide, nil, "more than 65536 fields"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := encapsulated(t, arrow.NewSchema(c.schema, nil))
			if c.forge != nil {
				c.forge(parse(text[8:]).child(slotMessageHeader))
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := ReadSchema(text)
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			if took := after.TotalAlloc - before.TotalAlloc; took > 64<<20 {
				t.Errorf("%d bytes were allocated for %d bytes", took, len(text))
			}
		})
	}
}
