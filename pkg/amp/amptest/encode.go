package amptest

import (
	"bytes"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/flight/gen/flight"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/layout"
)

// schemaBytes returns a schema as FlightInfo holds it: one encapsulated message
// without an end-of-stream marker (AP 1.3).
func schemaBytes(schema *arrow.Schema) ([]byte, error) {
	payload := ipc.GetSchemaPayload(schema, memory.DefaultAllocator)
	defer payload.Release()
	var text bytes.Buffer
	_, err := payload.WritePayload(&text)
	return text.Bytes(), err
}

func schemaData(schema *arrow.Schema) (*flight.FlightData, error) {
	payload := ipc.GetSchemaPayload(schema, memory.DefaultAllocator)
	defer payload.Release()
	return data(&payload)
}

// partData returns a record batch with its metadata. schema serves a part without a
// record. A batch without rows is framed as Amp frames one.
func partData(schema *arrow.Schema, p Part) (*flight.FlightData, error) {
	record := p.Record
	if record == nil || record.NumRows() == 0 {
		if record != nil {
			schema = record.Schema()
		}
		record = layout.EmptyBatch(schema)
		defer record.Release()
	}
	payload, err := ipc.GetRecordBatchPayload(record)
	if err != nil {
		return nil, fmt.Errorf("encode record: %w", err)
	}
	defer payload.Release()
	message, err := data(&payload)
	if err != nil {
		return nil, err
	}
	if p.Forge != nil {
		message.DataHeader, message.DataBody = p.Forge(message.DataHeader, message.DataBody)
	}
	message.AppMetadata = []byte(p.Text)
	if p.Text == "" {
		message.AppMetadata, err = p.Metadata.MarshalJSON()
	}
	return message, err
}

func data(payload *ipc.Payload) (*flight.FlightData, error) {
	var body bytes.Buffer
	if err := payload.SerializeBody(&body); err != nil {
		return nil, err
	}
	header := payload.Meta()
	defer header.Release()
	return &flight.FlightData{DataHeader: bytes.Clone(header.Bytes()), DataBody: body.Bytes()}, nil
}
