package amp

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/metrics"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight/gen/flight"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/ampipe/ampipe/pkg/arrowguard"
	"github.com/ampipe/ampipe/pkg/arrowguard/guardtest"
)

// FuzzAnswer answers a query with any messages, as the wire has them, and reads the
// answer as a batch or follows it as a stream. Whatever comes, every message is an
// error or rows of which every value can be read, the memory taken is bounded, and
// all of it is given back. text begins with the schema of a FlightInfo; every part has
// its length in front, as in a recording.
func FuzzAnswer(f *testing.F) {
	for _, text := range append(generated(f), recordedAnswers(f)...) {
		f.Add(text, false)
		f.Add(text, true)
	}
	f.Fuzz(func(t *testing.T, text []byte, stream bool) {
		parts := split(text)
		if len(parts) == 0 {
			return
		}
		before := allocated()
		alloc := memory.NewCheckedAllocator(memory.DefaultAllocator)
		defer alloc.AssertSize(t, 0)
		if _, err := arrowguard.ReadSchema(parts[0]); err != nil {
			parts = parts[1:]
		}
		a, err := answered(parts, alloc)
		if err == nil {
			err = consume(t, a, stream)
		}
		if err == nil {
			t.Error("an answer ended without an error, not even io.EOF")
		}
		a.close()
		// A schema may have 65,536 fields in a few bytes; everything else is as large as
		// the message.
		if took, most := allocated()-before, uint64(96<<20+64*len(text)); took > most {
			t.Errorf("%d bytes were allocated for an answer of %d bytes", took, len(text))
		}
	})
}

// consume reads an answer to its end, which it returns.
func consume(t *testing.T, a *answer, stream bool) error {
	tracker, err := newChainTracker("", nil, nil, 16)
	if err != nil {
		t.Fatal(err)
	}
	f := &following{client: a.client, tracker: tracker, yield: func(e Event, _ error) bool {
		if rows, ok := e.(Rows); ok {
			guardtest.Walk(rows.Record)
		}
		return true
	}}
	for {
		m, err := a.next()
		if err == nil {
			guardtest.Walk(m.Record)
		}
		if err == nil && stream {
			err = f.message(m)
		}
		if err != nil {
			return err
		}
	}
}

// wire is a stream of recorded messages.
type wire struct {
	grpc.ClientStream
	messages [][]byte
}

func (w *wire) RecvMsg(into any) error {
	if len(w.messages) == 0 {
		return io.EOF
	}
	message := w.messages[0]
	w.messages = w.messages[1:]
	return frameCodec{}.Unmarshal(mem.BufferSlice{mem.SliceBuffer(message)}, into)
}

// answered opens an answer of these messages.
func answered(messages [][]byte, alloc memory.Allocator) (*answer, error) {
	a := &answer{client: &Client{bodies: alloc}}
	a.ctx, a.wait = newDeadline(context.Background())
	return a, a.read(&wire{messages: messages})
}

// allocated is what the process has allocated so far, in bytes.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// split returns the parts of a recording that are whole.
func split(text []byte) [][]byte {
	var parts [][]byte
	for len(text) > 0 {
		part, n := protowire.ConsumeBytes(text)
		if n < 0 {
			break
		}
		parts, text = append(parts, part), text[n:]
	}
	return parts
}

func join(parts ...[]byte) []byte {
	var text []byte
	for _, part := range parts {
		text = protowire.AppendBytes(text, part)
	}
	return text
}

// recordedAnswers loads the shorter of what a real server sent, if there is any.
func recordedAnswers(t testing.TB) [][]byte {
	root := os.Getenv("AMPIPE_REAL_DATA")
	if root == "" {
		return nil
	}
	files, err := filepath.Glob(filepath.Join(root, "recorded", "*", "*.pb"))
	if err != nil || len(files) == 0 {
		t.Fatalf("AMPIPE_REAL_DATA holds no recordings (%v)", err)
	}
	var all [][]byte
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		parts := split(text)
		if len(parts) == 0 || len(text) > 64<<10 {
			continue
		}
		var info flight.FlightInfo
		if err := proto.Unmarshal(parts[0], &info); err != nil {
			t.Fatal(err)
		}
		parts[0] = info.Schema
		all = append(all, join(parts...))
	}
	return all
}

// generated are answers of every type, plain, compressed and hostile.
func generated(t testing.TB) [][]byte {
	rec := guardtest.Record(t)
	none := rec.NewSlice(0, 0)
	defer none.Release()
	all := [][]byte{answerText(t, guardtest.Write(t, []arrow.RecordBatch{none, rec, rec, none}))}
	compressed := guardtest.Write(t, []arrow.RecordBatch{rec}, ipc.WithLZ4())
	all = append(all, answerText(t, compressed))
	for i := range rec.Schema().NumFields() {
		schema := arrow.NewSchema([]arrow.Field{rec.Schema().Field(i)}, nil)
		one := array.NewRecordBatch(schema, []arrow.Array{rec.Column(i)}, rec.NumRows())
		defer one.Release()
		all = append(all, answerText(t, guardtest.Write(t, []arrow.RecordBatch{one})))
	}
	return all
}

// answerText is an answer as [FuzzAnswer] reads it. Its record batches, the last of
// which is the closing one, are of the blocks 0 to 9.
func answerText(t testing.TB, messages []guardtest.Message) []byte {
	t.Helper()
	var schema bytes.Buffer
	schema.Write([]byte{0xff, 0xff, 0xff, 0xff})
	schema.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(messages[0].Metadata))))
	schema.Write(messages[0].Metadata)
	parts := [][]byte{schema.Bytes()}
	hash := strings.Repeat("11", 32)
	for i, m := range messages {
		data := &flight.FlightData{DataHeader: m.Metadata, DataBody: m.Body, AppMetadata: fmt.Appendf(nil,
			`{"ranges":[{"network":"a","numbers":{"start":0,"end":9},"hash":"0x%s"}],"ranges_complete":%v}`, hash, i == len(messages)-1)}
		message, err := proto.Marshal(data)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, message)
	}
	return join(parts...)
}
