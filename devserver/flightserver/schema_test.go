package flightserver

import (
	"bytes"
	"slices"
	"testing"

	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// TestRecordedSchemaBytes writes every recorded schema again and compares byte
// by byte, in the form of FlightInfo and in that of DoGet.
func TestRecordedSchemaBytes(t *testing.T) {
	compared := 0
	for _, r := range amptest.Recordings(t) {
		if r.FlightInfo == nil {
			continue
		}
		schema, err := flight.DeserializeSchema(r.FlightInfo.Schema, memory.DefaultAllocator)
		if err != nil {
			t.Fatal(err)
		}
		got, err := encapsulated(schema)
		if slices.ContainsFunc(schema.Fields(), func(f arrow.Field) bool { return f.Type.ID() == arrow.DICTIONARY }) {
			if err == nil {
				t.Errorf("%s: a dictionary was written", r.Name)
			}
			continue
		}
		compared++
		if err != nil || !bytes.Equal(got, r.FlightInfo.Schema) {
			t.Errorf("%s: the schema of FlightInfo differs (%v)\n%s", r.Name, err, schema)
		}
		if message, _ := schemaMessage(schema); len(r.Data) > 0 && !bytes.Equal(message, r.Data[0].DataHeader) {
			t.Errorf("%s: the schema message differs", r.Name)
		}
	}
	if compared == 0 {
		t.Fatal("no recording with a schema")
	}
}
