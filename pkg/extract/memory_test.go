package extract_test

import (
	"sync/atomic"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/state"
)

// publishing notes the most memory of messages that there is when an entry is in the log.
type publishing struct {
	*seen
	memory  *memory.CheckedAllocator
	entries atomic.Int64
	most    atomic.Int64
}

func (p *publishing) Published(_ state.Partition, h entry.Header, _ int) {
	if h.Rows > 0 {
		p.entries.Add(1)
		p.most.Store(max(p.most.Load(), int64(p.memory.CurrentAlloc())))
	}
}

// TestNoMessageIsKeptForTheLog: while a worker waits for the log, it does not keep the message
// that its entry was made of.
func TestNoMessageIsKeptForTheLog(t *testing.T) {
	t.Parallel()
	numbers := arrow.NewSchema([]arrow.Field{{Name: "_block_num", Type: arrow.PrimitiveTypes.Uint64}}, nil)
	message := func(r block.Range) arrow.RecordBatch {
		b := array.NewRecordBuilder(memory.DefaultAllocator, numbers)
		defer b.Release()
		for n := range r.Len() {
			b.Field(0).(*array.Uint64Builder).Append(uint64(r.Start) + n)
		}
		rec := b.NewRecordBatch()
		t.Cleanup(rec.Release)
		return rec
	}
	srv := amptest.Start(t, func(amptest.Query) amptest.Answer {
		head := []amp.Range{{Network: "test", Numbers: block.Range{End: 1000}}}
		return amptest.Batch(numbers, head, message(block.Range{End: 100}), message(block.Range{Start: 100, End: 200}))
	})
	used := memory.NewCheckedAllocator(memory.DefaultAllocator)
	client, err := amp.Open(t.Context(), amp.Config{URL: srv.URL(), Allocator: used})
	must(t, err)
	t.Cleanup(func() { _ = client.Close() })

	b := setup(t, newChain(t, 0, someRows))
	watched := &publishing{seen: b.seen, memory: used}
	b.x.Source, b.x.Schema, b.x.Observer, b.x.Workers, b.x.EntryBytes = client, numbers, watched, 1, 100
	b.add(block.Range{End: 200})
	b.run(block.Range{End: 200})
	if n := watched.entries.Load(); n < 2 {
		t.Fatalf("%d entries of two messages", n)
	}
	if n := watched.most.Load(); n != 0 {
		t.Errorf("%d bytes of messages were in memory while entries were published", n)
	}
}
