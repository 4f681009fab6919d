package arrowguard

import (
	"bytes"
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

// counted is a stream whose bodies come from an allocator that counts them, and whose metadata
// does not outlive the next call.
type counted struct {
	stream
	memory *memory.CheckedAllocator
	last   []byte
}

func (c *counted) Next() ([]byte, *memory.Buffer, error) {
	metadata, body, err := c.stream.Next()
	if err != nil {
		return nil, nil, err
	}
	defer body.Release()
	own := memory.NewResizableBuffer(c.memory)
	own.Resize(body.Len())
	copy(own.Bytes(), body.Bytes())
	clear(c.last)
	c.last = bytes.Clone(metadata)
	return c.last, own, nil
}

// A batch that was dropped leaves nothing in memory, and those after it come as they would.
func TestDrop(t *testing.T) {
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema([]arrow.Field{
		{Name: "n", Type: arrow.PrimitiveTypes.Uint64}, {Name: "text", Type: arrow.BinaryTypes.String},
	}, nil))
	defer b.Release()
	want := make([]arrow.RecordBatch, 4)
	for i := range want {
		b.Field(0).(*array.Uint64Builder).AppendValues([]uint64{uint64(i), 7}, nil)
		b.Field(1).(*array.StringBuilder).AppendValues([]string{"a", "b"}, nil)
		want[i] = b.NewRecordBatch()
		defer want[i].Release()
	}
	c := &counted{stream: guardtest.Write(t, want), memory: memory.NewCheckedAllocator(memory.DefaultAllocator)}
	r, err := NewReader(c)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		rec, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if !array.RecordEqual(rec, want[i]) || rec.Schema() == nil || !rec.Schema().Equal(r.Schema()) {
			t.Errorf("batch %d came as %v", i, rec)
		}
		if i == 1 {
			continue // released by the next call
		}
		r.Drop()
		if n := c.memory.CurrentAlloc(); n != 0 {
			t.Errorf("batch %d was dropped, and %d bytes are in memory", i, n)
		}
		r.Drop()
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last: %v", err)
	}
	r.Drop()
	r.Release()
	c.memory.AssertSize(t, 0)
}

// The library's reader keeps the dictionaries that later batches need.
func TestDropWithDictionaries(t *testing.T) {
	want := guardtest.Record(t)
	s := stream(guardtest.Write(t, []arrow.RecordBatch{want, want}))
	r, err := NewReader(&s)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	if len(r.messages.schema.dictionaries) == 0 {
		t.Fatal("the record has no dictionary")
	}
	for range 2 {
		rec, err := r.Next()
		if err != nil || !array.RecordEqual(rec, want) {
			t.Fatalf("%v, %v", rec, err)
		}
		r.Drop()
	}
}
