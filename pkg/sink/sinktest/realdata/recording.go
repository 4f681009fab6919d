package realdata

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/flight"
	"google.golang.org/protobuf/proto"

	"github.com/ampipe/ampipe/pkg/sink"
)

// ReadRecording decodes the messages of a recording, a FlightInfo and FlightData. It
// returns false if there are no rows with a block column among them.
func ReadRecording(t testing.TB, path string) (Table, bool) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(bytes.NewReader(raw))
	var messages []*flight.FlightData
	for n := 0; ; n++ {
		size, err := binary.ReadUvarint(in)
		if errors.Is(err, io.EOF) {
			break
		}
		body := make([]byte, size)
		if _, err := io.ReadFull(in, body); err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			continue
		}
		var data flight.FlightData
		if err := proto.Unmarshal(body, &data); err != nil {
			t.Fatal(err)
		}
		messages = append(messages, &data)
	}
	if len(messages) == 0 {
		return Table{}, false
	}
	reader, err := flight.NewRecordReader(&messageStream{messages: messages})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Release()
	schema := reader.Schema()
	real := Table{Table: sink.Table{Pipeline: "real", Sink: "rows", Schema: schema, BlockColumn: blockColumn(schema), Epoch: 1}}
	if real.Table.BlockColumn < 0 {
		return Table{}, false
	}
	for reader.Next() {
		rec := reader.RecordBatch()
		if rec.Column(real.Table.BlockColumn).NullN() > 0 {
			return Table{}, false
		}
		rec.Retain()
		real.Rows = append(real.Rows, rec)
	}
	// A recorded failure breaks off.
	real.Rows = ascending(t, real)
	return real, len(real.Rows) > 0
}

// messageStream hands out recorded messages.
type messageStream struct{ messages []*flight.FlightData }

func (s *messageStream) Recv() (*flight.FlightData, error) {
	if len(s.messages) == 0 {
		return nil, io.EOF
	}
	m := s.messages[0]
	s.messages = s.messages[1:]
	return m, nil
}
