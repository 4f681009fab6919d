package amptest

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ampipe/ampipe/pkg/amp"
)

// Answer is all that the server says to one query. The zero value of every field
// but Schema is what an ordinary answer has.
type Answer struct {
	// RefuseInfo answers GetFlightInfo with this status. See [Status].
	RefuseInfo error
	// Schema of FlightInfo, and of DoGet unless Moved says otherwise. A batch query
	// gets it at once, a stream with its first part (AP 1.5).
	Schema *arrow.Schema
	// Moved is the schema that DoGet sends, when a tag has moved since GetFlightInfo.
	Moved *arrow.Schema
	// Parts are sent in order. DoGet may be asked for them any number of times.
	Parts []Part
	// Feed, if not nil, is sent after Parts, until it is closed. It suits a stream
	// that continues while the test watches.
	Feed <-chan Part
	// Script, if not nil, is run after Parts and Feed, and sends what it likes until it
	// returns; its error is the status that ends the answer. ctx ends when the client
	// leaves, and send fails then.
	Script func(ctx context.Context, send func(Part) error) error
	// Hold keeps the answer open and silent after the last part, until the client
	// leaves: what a stream at the head of the chain does.
	Hold bool
	// RefuseGet answers DoGet with this status, before the schema.
	RefuseGet error
	// End is the status of DoGet after the last part; nil is OK.
	End error

	recorded *Recording         // sent byte for byte instead of Schema and Parts
	sent     func(messages int) // of recorded, called after each; may be nil
	left     func()             // called when the answer has ended or the client has left; may be nil
}

// Part is one message of DoGet.
type Part struct {
	// Wait, if not nil, holds the part back until it is closed.
	Wait <-chan struct{}
	// Record is borrowed as long as the server lives; nil means no rows.
	Record   arrow.RecordBatch
	Metadata amp.Metadata
	// Text, if not empty, is sent as the metadata instead.
	Text string
	// Forge, if not nil, returns the Arrow header and body to send instead.
	Forge func(header, body []byte) ([]byte, []byte)
}

// Status returns a gRPC status with one of Amp's messages, for the errors of an
// [Answer].
func Status(code codes.Code, message string) error { return status.Error(code, message) }

// Batch returns the answer to a batch query as Amp returns it (AP 1.5): the records, or
// one message without rows if there are none, then the closing message.
func Batch(schema *arrow.Schema, ranges []amp.Range, records ...arrow.RecordBatch) Answer {
	if len(records) == 0 {
		records = []arrow.RecordBatch{nil}
	}
	return Answer{Schema: schema, Parts: parts(ranges, records)}
}

// Microbatch returns what a stream sends for one range of blocks (AP 1.7): a message
// without rows, the records, and the message that closes the range.
func Microbatch(r amp.Range, records ...arrow.RecordBatch) []Part {
	return parts([]amp.Range{r}, append([]arrow.RecordBatch{nil}, records...))
}

func parts(ranges []amp.Range, records []arrow.RecordBatch) []Part {
	var all []Part
	for _, record := range records {
		all = append(all, Part{Record: record, Metadata: amp.Metadata{Ranges: ranges}})
	}
	return append(all, Part{Metadata: amp.Metadata{Ranges: ranges, Complete: true}})
}
