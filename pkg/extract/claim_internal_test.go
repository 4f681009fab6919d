package extract

import (
	"context"
	"errors"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sqlcheck"
	"github.com/ampipe/ampipe/pkg/state"
)

// planningSource is a source that is asked for nothing but to plan queries.
type planningSource struct {
	Source
	planned chan string
}

func (s planningSource) Prepare(_ context.Context, query string) error {
	s.planned <- query
	return nil
}

// TestWhatIsClaimedAheadIsFenced: the next partition is claimed while one is read, and another
// worker, to which its task has gone meanwhile, has published to its lane.
func TestWhatIsClaimedAheadIsFenced(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	server, err := queue.StartServer(ctx, queue.ServerConfig{Dir: t.TempDir(), MaxStore: 2 << 30})
	check(err)
	t.Cleanup(func() { _ = server.Close() })
	conn, err := queue.Open(ctx, queue.Config{Server: server})
	check(err)
	t.Cleanup(conn.Close)
	source := planningSource{planned: make(chan string, 1)}
	query, err := sqlcheck.Parse("SELECT * FROM test.rows")
	check(err)
	x := &Extractor{
		Source: source, Logger: zerolog.Nop(), Query: query, Spec: state.Spec{Query: query.Text(), BlockColumn: "_block_num"},
	}
	x.Log, err = conn.Log(ctx, "test", queue.LogConfig{MaxBytes: 1 << 30})
	check(err)
	x.Tasks, err = conn.Tasks(ctx, "test")
	check(err)
	x.State, err = conn.State(ctx, "test")
	check(err)
	part := state.Partition{Start: 100, End: 200, State: state.PartitionOpen}
	_, err = x.State.CreatePartitions(ctx, []state.Partition{part})
	check(err)
	_, err = x.Tasks.Add(ctx, queue.PartitionTask, part.ID())
	check(err)

	next := &nextTask{x: x, ctx: ctx}
	check(next.reserve(ctx))
	if want, got := x.Query.Wrap("_block_num", part.Range()), <-source.planned; got != want {
		t.Errorf("%q is planned, want %q", got, want)
	}
	task, h := next.take()
	if task == nil || h == nil || h.id != part.ID() {
		t.Fatalf("it has taken %+v and claimed %+v", task, h)
	}
	schema := arrow.NewSchema([]arrow.Field{{Name: "_block_num", Type: arrow.PrimitiveTypes.Uint64}}, nil)
	encoder, err := entry.NewEncoder(schema, entry.S2, conn.EntryLimit())
	check(err)
	all, err := encoder.Encode(entry.Header{Range: block.Closed(100, 149), End: 200, Network: "test"}, nil)
	check(err)
	_, err = x.Log.Publish(ctx, part.Lane(), 0, "another", []entry.Entry{all})
	check(err)
	err = h.publish(ctx, []entry.Group{{all}})
	if !errors.Is(err, queue.ErrFenced) {
		t.Errorf("it has published behind another's entry: %v", err)
	}
}
