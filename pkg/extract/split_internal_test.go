package extract

import (
	"errors"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// TestNothingIsGivenAwayThatAnotherHasRead: a worker was paused, and another has taken its
// partition and has published all of it, and has not recorded yet that it is done.
func TestNothingIsGivenAwayThatAnotherHasRead(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server, err := queue.StartServer(ctx, queue.ServerConfig{Dir: t.TempDir(), MaxStore: 2 << 30})
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(err)
	t.Cleanup(func() { _ = server.Close() })
	conn, err := queue.Open(ctx, queue.Config{Server: server})
	check(err)
	t.Cleanup(conn.Close)
	x := &Extractor{Logger: zerolog.Nop()}
	x.Log, err = conn.Log(ctx, "test", queue.LogConfig{MaxBytes: 1 << 30})
	check(err)
	x.Tasks, err = conn.Tasks(ctx, "test")
	check(err)
	x.State, err = conn.State(ctx, "test")
	check(err)
	part := state.Partition{End: 100, State: state.PartitionOpen}
	revs, err := x.State.CreatePartitions(ctx, []state.Partition{part})
	check(err)
	h := &partitionTask{publisher: publisher{x: x, lane: part.Lane()}, id: part.ID(), part: part, rev: revs[0]}

	schema := arrow.NewSchema([]arrow.Field{{Name: "_block_num", Type: arrow.PrimitiveTypes.Uint64}}, nil)
	encoder, err := entry.NewEncoder(schema, entry.S2, conn.EntryLimit())
	check(err)
	all, err := encoder.Encode(entry.Header{Range: block.Range{End: 100}, End: 100, Network: "test"}, nil)
	check(err)
	seq, err := x.Log.Publish(ctx, part.Lane(), 0, "another", []entry.Entry{all})
	check(err)
	if err := h.giveAway(ctx, 50); !errors.Is(err, queue.ErrFenced) {
		t.Errorf("given away behind another's entry: %v", err)
	}
	stored, err := x.State.Partitions(ctx)
	check(err)
	if len(stored) != 1 || stored[0].Value.End != 100 {
		t.Errorf("the partitions are %+v", stored)
	}
	h.seq = seq // the entry is its own
	check(h.giveAway(ctx, 50))
	stored, err = x.State.Partitions(ctx)
	check(err)
	if len(stored) != 2 {
		t.Errorf("after its own entry the partitions are %+v", stored)
	}
}
