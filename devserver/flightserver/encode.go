package flightserver

import (
	"bytes"
	"fmt"

	"github.com/ampipe/ampipe/pkg/layout"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/ipc"
)

// targetBytes is the size that a message is split down to (AP 1.6).
const targetBytes = 2 << 20

// split cuts a batch as a real server does: into ceil(bytes / 2 MiB) pieces of
// rows div pieces rows each. The sizes of buffers are counted, not of values, so
// a piece may be larger or smaller than that (AP 1.6). The caller releases the
// pieces.
func split(batch arrow.RecordBatch, target int) []arrow.RecordBatch {
	size := 0
	for _, c := range batch.Columns() {
		size += int(c.Data().SizeInBytes())
	}
	rows := int(batch.NumRows())
	pieces := (size-1)/target + 1
	if pieces <= 1 || rows <= 1 {
		batch.Retain()
		return []arrow.RecordBatch{batch}
	}
	step := max(1, rows/pieces)
	var out []arrow.RecordBatch
	for at := 0; at < rows; at += step {
		out = append(out, batch.NewSlice(int64(at), int64(min(at+step, rows))))
	}
	return out
}

// encoder makes the messages of one answer. Its buffer is used again for each:
// gRPC has copied a message when Send returns.
type encoder struct{ body bytes.Buffer }

// encode makes the message of a batch, without compression. It is valid until
// the next call. A batch without rows is framed as a real server frames one.
func (e *encoder) encode(batch arrow.RecordBatch, metadata []byte) (*flight.FlightData, error) {
	if batch.NumRows() == 0 {
		batch = layout.EmptyBatch(batch.Schema())
		defer batch.Release()
	}
	payload, err := ipc.GetRecordBatchPayload(batch)
	if err != nil {
		return nil, fmt.Errorf("encode batch: %w", err)
	}
	defer payload.Release()
	header := payload.Meta()
	defer header.Release()
	e.body.Reset()
	if err := payload.SerializeBody(&e.body); err != nil {
		return nil, fmt.Errorf("encode batch: %w", err)
	}
	return &flight.FlightData{DataHeader: bytes.Clone(header.Bytes()), DataBody: e.body.Bytes(), AppMetadata: metadata}, nil
}
