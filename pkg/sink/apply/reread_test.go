package apply_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/apply"
	"github.com/ampipe/ampipe/pkg/sink/sinktest/memsink"
	"github.com/ampipe/ampipe/pkg/state"
)

// lanes are a log of lanes.
type lanes map[string][]queue.Message

func (l lanes) Read(_ context.Context, lane string, seq uint64) (*queue.Message, error) {
	for _, m := range l[lane] {
		if m.Seq >= seq {
			return &m, nil
		}
	}
	return nil, nil
}

// TestReread applies what lanes have of some blocks, and ends.
func TestReread(t *testing.T) {
	t.Parallel()
	span := func(from, to block.Number) block.Range { return block.Range{Start: from, End: to} }
	message := func(seq uint64, r block.Range, rows int) queue.Message {
		return queue.Message{Entry: encoded(t, logSchema, r, rows), Seq: seq}
	}
	ended := queue.Message{Entry: entry.Entry{Header: entry.Header{Kind: entry.Ended, Range: span(40, 41)}}, Seq: 9}
	damaged := queue.Message{Seq: 4, Damaged: errors.New("the test has damaged it")}
	log := lanes{
		"p.0.0":  {message(1, span(0, 10), 1), message(3, span(10, 20), 1), damaged, message(5, span(20, 30), 1), message(8, span(30, 40), 1), ended},
		"p.15.1": {message(20, span(15, 18), 2)},
	}
	store := &memsink.Store{}
	w := store.Writer()
	table := sink.Table{Pipeline: "p", Sink: "s", Schema: logSchema, BlockColumn: 1}
	if err := w.Open(t.Context(), table); err != nil {
		t.Fatal(err)
	}
	wanted := block.NewSet(span(12, 16), span(17, 25), span(60, 70))
	parts := []state.Partition{{Start: 0, End: 40}, {Start: 15, Generation: 1, End: 18}}
	take, end := context.WithCancel(t.Context())
	defer end()
	source := apply.NewReread(log, apply.LanesOf(parts, wanted), end)
	seen := &watch{}
	err := (&apply.Loop{Writer: w, Table: table, Source: source, Ended: source.Ended, Observer: seen}).Run(take)
	if err != nil || t.Context().Err() != nil {
		t.Fatal(err)
	}
	if got, want := store.CommitState().Coverage, block.NewSet(span(10, 30)); !got.Equal(want) {
		t.Errorf("coverage is %v, want %v", got, want)
	}
	var blocks []block.Number
	for _, row := range store.Rows() {
		blocks = append(blocks, row.Block)
	}
	// Of the blocks 15 to 17 the newer partition has two rows each.
	if want := []block.Number{10, 11, 12, 13, 14, 15, 15, 16, 16, 17, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29}; !slices.Equal(blocks, want) {
		t.Errorf("rows are of blocks %v, want %v", blocks, want)
	}
}
