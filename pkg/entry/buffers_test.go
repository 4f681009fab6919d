package entry_test

import (
	"bytes"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// Encoders that share buffers, and the memory of payloads, make the same entries as those
// that do not.
func TestSharedBuffers(t *testing.T) {
	shared := entry.NewBuffers(2)
	var encoding sync.WaitGroup
	for worker := range 4 {
		encoding.Go(func() {
			alone, errAlone := entry.NewEncoder(sinktest.LogSchema, entry.S2, 8<<20)
			sharing, err := entry.NewEncoder(sinktest.LogSchema, entry.S2, 8<<20)
			if err != nil || errAlone != nil {
				t.Error(err, errAlone)
				return
			}
			sharing.Share(shared)
			for round := range block.Number(10) {
				blocks := block.Range{Start: 10 * round, End: 10*round + 1 + block.Number(worker)}
				logs := sinktest.Logs(blocks, 50)
				header := entry.Header{Epoch: 1, Range: blocks}
				want, errAlone := alone.Encode(header, logs.Records)
				got, err := sharing.Encode(header, logs.Records)
				if err != nil || errAlone != nil {
					t.Error(err, errAlone)
					return
				}
				if got.Header != want.Header || !bytes.Equal(got.Payload, want.Payload) {
					t.Errorf("blocks %v: another entry than with buffers of its own", blocks)
				}
				sharing.Reuse(&got)
				if got.Payload != nil {
					t.Error("an entry keeps the payload that it has given back")
				}
			}
		})
	}
	encoding.Wait()
}

// Rows that wait for more are the same when they were copied out of a large batch.
func TestFewRowsOfALargeBatchWait(t *testing.T) {
	const perBlock = 100
	blocks := block.Range{Start: 0, End: 40}
	logs := sinktest.Logs(blocks, perBlock)
	encoder, err := entry.NewEncoder(sinktest.LogSchema, entry.S2, 8<<20)
	if err != nil {
		t.Fatal(err)
	}
	cutter, err := entry.NewCutter(entry.CutOptions{Range: blocks, Header: entry.Header{Epoch: 1}, Target: 1 << 20, Encoder: encoder})
	if err != nil {
		t.Fatal(err)
	}
	defer cutter.Release()
	groups, err := cutter.Push(logs.Records[0])
	if err != nil || len(groups) == 0 {
		t.Fatal(len(groups), err)
	}
	rest, err := cutter.Finish()
	if err != nil {
		t.Fatal(err)
	}
	next := int64(0)
	for _, group := range append(groups, rest...) {
		_, records, err := entry.NewDecoder(nil).Decode(group[0])
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range records {
			want := logs.Records[0].NewSlice(next, next+rec.NumRows())
			for i, column := range rec.Columns() {
				if !array.Equal(column, want.Column(i)) {
					t.Errorf("column %s differs from row %d on", rec.ColumnName(i), next)
				}
			}
			next += rec.NumRows()
		}
	}
	if next != logs.Records[0].NumRows() {
		t.Errorf("%d rows came", next)
	}
}

// An encoder that had large entries and has small ones from now on lets its memory go; one
// that has a large one now and then keeps it.
func TestBuffersOfSmallEntries(t *testing.T) {
	encoder, err := entry.NewEncoder(sinktest.LogSchema, entry.S2, 8<<20)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(blocks block.Range, perBlock int) {
		if _, err := encoder.Encode(entry.Header{Epoch: 1, Range: blocks}, sinktest.Logs(blocks, perBlock).Records); err != nil {
			t.Fatal(err)
		}
	}
	large, small := block.Range{End: 40}, block.Range{End: 1}
	encode(large, 100)
	room := encoder.Room()
	if room < 1<<20 {
		t.Fatalf("%d bytes for a large entry", room)
	}
	for range 5 {
		for range 8 {
			encode(small, 20)
		}
		encode(large, 100)
	}
	if encoder.Room() < room {
		t.Error("the memory of large entries was dropped between them")
	}
	for range 20 {
		encode(small, 20)
	}
	if room = encoder.Room(); room > 256<<10 {
		t.Errorf("%d bytes for small entries", room)
	}
}
