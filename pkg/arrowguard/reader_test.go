package arrowguard

import (
	"errors"
	"io"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/arrowguard/guardtest"
)

// stream is a [Source] of messages in memory.
type stream []guardtest.Message

func (s *stream) Next() ([]byte, *memory.Buffer, error) {
	if len(*s) == 0 {
		return nil, nil, io.EOF
	}
	m := (*s)[0]
	*s = (*s)[1:]
	body := memory.NewResizableBuffer(memory.DefaultAllocator)
	body.Resize(len(m.Body))
	copy(body.Bytes(), m.Body)
	return m.Metadata, body, nil
}

// read returns the batches of a stream, and the error that ended it if it is not
// io.EOF.
func read(t testing.TB, messages []guardtest.Message) (recs []arrow.RecordBatch, err error) {
	t.Helper()
	s := stream(messages)
	r, err := NewReader(&s)
	if err != nil {
		return nil, err
	}
	defer r.Release()
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return recs, nil
		}
		if err != nil {
			return recs, err
		}
		rec.Retain()
		t.Cleanup(rec.Release)
		recs = append(recs, rec)
	}
}

func TestEveryTypePasses(t *testing.T) {
	want := guardtest.Record(t)
	none := want.NewSlice(0, 0)
	defer none.Release()
	part := want.NewSlice(0, 2)
	defer part.Release()
	got, err := read(t, guardtest.Write(t, []arrow.RecordBatch{want, none, part}))
	if err != nil {
		t.Fatal(err)
	}
	for i, rec := range []arrow.RecordBatch{want, none, part} {
		if !array.RecordEqual(got[i], rec) {
			t.Errorf("batch %d came as %v, want %v", i, got[i], rec)
		}
		guardtest.Walk(got[i])
	}
}
