package pipeline

import (
	"strings"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/health"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// startState starts a NATS server for the test and returns a connection, and the state of the
// pipeline p.
func startState(t *testing.T) (*queue.Conn, *queue.State) {
	t.Helper()
	server, err := queue.StartServer(t.Context(), queue.ServerConfig{Dir: t.TempDir(), MaxStore: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	conn, err := queue.Open(t.Context(), queue.Config{Server: server})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	kv, err := conn.State(t.Context(), "p")
	if err != nil {
		t.Fatal(err)
	}
	return conn, kv
}

// TestHistoryWatch looks at what is stored in a real NATS server, while a sink loads,
// the plan grows and the destination falls silent.
func TestHistoryWatch(t *testing.T) {
	ctx := t.Context()
	_, kv := startState(t)
	meter := newMeter(&config.Pipeline{Name: "p", Sinks: []config.Sink{{Name: "lake"}}}, notConnected, stageSink("lake"))
	h := newHistoryMonitor(&stages{state: kv, meter: meter}, "lake")
	look := func(ready bool, want string, missing uint64) {
		t.Helper()
		if h.update(ctx) != ready {
			t.Errorf("ready is not %v", ready)
		}
		if s := meter.Health("p").Stages[0]; !strings.Contains(s.Unready, want) || (want == "" && s.Unready != "") || s.Missing != missing {
			t.Errorf("the sink is %+v, want %q with %d blocks", s, want, missing)
		}
	}
	report := func(read time.Time, end block.Number) {
		t.Helper()
		r := state.SinkReport{Name: "lake", Coverage: block.NewSet(block.Range{End: end}), Read: read}
		if err := h.PutReport(ctx, r); err != nil {
			t.Fatal(err)
		}
		if stored, _, err := kv.Report(ctx, "lake"); err != nil || !stored.Coverage.Equal(r.Coverage) {
			t.Errorf("the report was not passed on: %+v %v", stored, err)
		}
	}
	save := func(end block.Number, rev uint64) uint64 {
		t.Helper()
		rev, err := kv.SaveSpec(ctx, state.Spec{History: block.Range{End: end}, MaxBlock: &end}, rev)
		if err != nil {
			t.Fatal(err)
		}
		return rev
	}
	look(false, notRead, 0)
	report(time.Now(), 40)
	look(false, "the plan cannot be read: ", 0)
	rev := save(100, 0)
	look(false, "60 of 100 blocks", 60)
	report(time.Now(), 100)
	look(true, "", 0)
	save(150, rev) // a planner with a higher max_block
	look(false, "50 of 150 blocks", 50)
	report(time.Now(), 150)
	look(true, "", 0)
	report(time.Now().Add(-outdatedAfter-time.Second), 150)
	look(false, "the destination has not been read since ", 0)
	report(time.Now(), 150)
	look(true, "", 0)
	if loops := meter.Health("p").Loops; len(loops) != 1 || loops[0].Part != "sink lake" || time.Since(loops[0].Last) > time.Minute {
		t.Errorf("the loops are %+v, want the sink's", loops)
	}
}

// TestThePlannerIsReadyWhenItLooks and not while looks fail.
func TestThePlannerIsReadyWhenItLooks(t *testing.T) {
	meter := newMeter(&config.Pipeline{Name: "p"}, notConnected, stagePlanner)
	s := &stages{meter: meter}
	ready := func(in time.Duration) bool {
		return health.Ready(time.Now().Add(in), []health.Pipeline{meter.Health("p")}).OK
	}
	if ready(0) {
		t.Error("it is ready before it has looked")
	}
	s.reconciled(nil)
	if !ready(0) {
		t.Error("it is not ready though it has looked")
	}
	s.reconciled(queue.ErrNotFound)
	if !ready(0) || ready(health.Patience) {
		t.Error("it is to be ready through a short failure, and not through a long one")
	}
	s.reconciled(nil)
	if !ready(health.Patience) {
		t.Error("it is not ready though it looks again")
	}
	if loops := meter.Health("p").Loops; len(loops) != 1 || loops[0].Part != stagePlanner {
		t.Errorf("the loops are %+v, want the planner's", loops)
	}
}

// TestLacks holds when a sink's history is complete, by the plan and its report alone.
func TestLacks(t *testing.T) {
	blocks := func(start, end block.Number) block.Range { return block.Range{Start: start, End: end} }
	number := func(n block.Number) *block.Number { return &n }
	finite := state.Spec{Epoch: 5, History: blocks(100, 200), MaxBlock: number(200)}
	follows := state.Spec{Epoch: 5, History: blocks(100, 200), Live: &state.Origin{Start: 200}}
	tentative := state.Spec{Epoch: 5, History: blocks(100, 200), Live: &state.Origin{Start: 200, Tentative: true}}
	ends := state.Spec{Epoch: 5, History: blocks(100, 200), Live: &state.Origin{Start: 200}, MaxBlock: number(220)}
	lane := func(epoch uint64, start block.Number) state.LiveState {
		return state.LiveState{Started: true, Epoch: epoch, Start: start}
	}
	for name, c := range map[string]struct {
		spec    state.Spec
		covered []block.Range
		live    state.LiveState
		reason  string
		missing uint64
	}{
		"nothing":                        {finite, nil, state.LiveState{}, "100 of 100 blocks of the history are missing, the first is block 100", 100},
		"two gaps":                       {finite, []block.Range{blocks(0, 150), blocks(160, 190)}, state.LiveState{}, "20 of 100 blocks of the history are missing, the first is block 150", 20},
		"all of a range":                 {finite, []block.Range{blocks(100, 200)}, state.LiveState{}, "", 0},
		"more than all":                  {finite, []block.Range{blocks(0, 500)}, state.LiveState{}, "", 0},
		"history without a lane":         {follows, []block.Range{blocks(100, 200)}, state.LiveState{}, "the history is complete, and the live lane has not begun", 0},
		"history and lane":               {follows, []block.Range{blocks(100, 200)}, lane(5, 200), "", 0},
		"a lane without history":         {follows, []block.Range{blocks(190, 230)}, lane(5, 200), "90 of 100 blocks of the history are missing, the first is block 100", 90},
		"a sink that joined late":        {follows, []block.Range{blocks(100, 200)}, lane(5, 250), "50 of 150 blocks of the history are missing, the first is block 200", 50},
		"and has it all":                 {follows, []block.Range{blocks(100, 250)}, lane(5, 250), "", 0},
		"a lane taken back below":        {follows, []block.Range{blocks(100, 180)}, lane(5, 180), "", 0},
		"a lane of the epoch before":     {follows, []block.Range{blocks(100, 230)}, lane(4, 200), "the history is complete, and the live lane has not begun again", 0},
		"sinks that are still asked":     {tentative, []block.Range{blocks(100, 230)}, lane(5, 200), "the history is complete, and the live lane has not begun again", 0},
		"a lane up to max_block":         {ends, []block.Range{blocks(100, 200)}, lane(5, 200), "", 0},
		"one that began above max_block": {ends, []block.Range{blocks(100, 200)}, lane(5, 300), "20 of 120 blocks of the history are missing, the first is block 200", 20},
	} {
		report := state.SinkReport{Coverage: block.NewSet(c.covered...), Live: c.live}
		reason, missing := lacks(c.spec, report)
		if reason != c.reason || missing != c.missing {
			t.Errorf("%s: %q and %d blocks, want %q and %d", name, reason, missing, c.reason, c.missing)
		}
	}
}
