package status_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/queue/queuetest"
	"github.com/ampipe/ampipe/pkg/state"
	"github.com/ampipe/ampipe/pkg/status"
)

// TestAnOperatorMayRead everything that is shown, with the shipped rights, and nothing is
// made by that.
func TestAnOperatorMayRead(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	shipped := queuetest.Ship(t)
	url := shipped.Server().ClientURL()
	open := func(role string) *queue.Conn {
		c, err := queue.Open(ctx, queue.Config{
			URL: url, User: role, Password: shipped.Password(role), Role: role, MustExist: role != "planner",
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	operator := open("operator")
	if f, err := status.Read(ctx, operator, "pipe"); err != nil || f.Spec != nil || len(f.Processes) > 0 {
		t.Fatalf("before anything was made: %+v, %v", f, err)
	}

	planner := open("planner")
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := planner.Log(ctx, "pipe", queue.LogConfig{MaxBytes: 64 << 20})
	must(nil, err)
	tasks, err := planner.Tasks(ctx, "pipe")
	must(nil, err)
	kv, err := planner.State(ctx, "pipe")
	must(nil, err)
	must(kv.SaveSpec(ctx, state.Spec{
		Epoch: 3, History: block.Range{End: 10}, Live: &state.Origin{Start: 10}, Sinks: []string{"warehouse"}, Planned: time.Now(),
	}, 0))
	must(kv.CreatePartition(ctx, state.Partition{End: 10, State: state.PartitionOpen}))
	must(tasks.Add(ctx, queue.PartitionTask, "0.0"))
	must(nil, kv.ProcessWriter(false).Put(ctx, state.Process{Role: "planner", Stages: []string{"planner"}, Host: "h", Started: time.Now()}))
	sink, err := open("sink-warehouse").State(ctx, "pipe")
	must(nil, err)
	must(nil, sink.PutReport(ctx, state.SinkReport{
		Name: "warehouse", State: state.SinkPaused, Reason: "away", Coverage: block.NewSet(block.Range{End: 4}), Updated: time.Now(),
	}))

	// The planner looks by its own connection, which may make streams, and changes none.
	must(status.Read(ctx, planner, "pipe"))
	f, err := status.Read(ctx, operator, "pipe")
	if err != nil {
		t.Fatal(err)
	}
	p := status.Build(f, status.Options{})
	if p.Partitions.Total() != 1 || p.History.Loaded != 4 || p.Log.MaxBytes != 64<<20 || len(p.Processes) != 1 || p.Processes[0].State != status.Running {
		t.Errorf("%+v", p)
	}
	if s := p.Sinks[0]; s.State != status.SinkPaused || s.Covered != 4 || s.Wanted != 10 || time.Since(s.Reported).Abs() > time.Minute {
		t.Errorf("%+v", s)
	}
	if p.Sentence != "no extractor was started yet (and 1 more)" || !strings.HasSuffix(p.Troubles[1].Text, "warehouse is paused: away") {
		t.Errorf("%s, %+v", p.Sentence, p.Troubles)
	}
}

// TestTheLogIsNotReadForItsAge: its first entry is in a file that the server would load for it,
// each time that the state is read, while the chain is followed.
func TestTheLogIsNotReadForItsAge(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	server, err := queue.StartServer(ctx, queue.ServerConfig{Dir: t.TempDir(), Listen: "127.0.0.1:0"})
	must(nil, err)
	t.Cleanup(func() { must(nil, server.Close()) })
	conn, err := queue.Open(ctx, queue.Config{URL: server.URL()})
	must(nil, err)
	t.Cleanup(conn.Close)
	log, err := conn.Log(ctx, "pipe", queue.LogConfig{MaxBytes: 64 << 20})
	must(nil, err)
	_, err = conn.Tasks(ctx, "pipe")
	must(nil, err)
	kv, err := conn.State(ctx, "pipe")
	must(nil, err)
	must(kv.SaveSpec(ctx, state.Spec{Epoch: 1, History: block.Range{End: 10}, Sinks: []string{"warehouse"}}, 0))

	began := time.Now().Truncate(time.Second)
	e := entry.Entry{Header: entry.Header{Kind: entry.Data, Codec: entry.None, Network: "test", Range: block.Range{End: 10}}, Payload: []byte("rows")}
	must(log.Publish(ctx, "p.0.0", 0, "1", entry.Group{e}))

	spy, err := nats.Connect(server.URL())
	must(nil, err)
	t.Cleanup(spy.Close)
	gets, err := spy.SubscribeSync("$JS.API.DIRECT.GET.AMPIPE_LOG_pipe.>")
	must(nil, err)
	plain, err := spy.SubscribeSync("$JS.API.DIRECT.GET.AMPIPE_LOG_pipe")
	must(nil, err)
	must(nil, spy.Flush())
	f, err := status.Read(ctx, conn, "pipe")
	must(nil, err)
	if p := status.Build(f, status.Options{}); p.Log.Oldest.Before(began) || p.Log.Oldest.After(time.Now()) || p.Log.Entries != 1 {
		t.Errorf("%+v", p.Log)
	}
	must(nil, spy.Flush())
	for _, s := range []*nats.Subscription{gets, plain} {
		if n, _, err := s.Pending(); err != nil || n > 0 {
			t.Errorf("%d messages of the log were read, %v", n, err)
		}
	}
}
