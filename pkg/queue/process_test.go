package queue_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/queue/queuetest"
	"github.com/ampipe/ampipe/pkg/state"
)

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// TestDocumentsForViewers are byte for byte what they were: other versions read them.
func TestDocumentsForViewers(t *testing.T) {
	t.Parallel()
	rows := uint64(0)
	for want, document := range map[string]any{
		`{"role":"run","slot":1,"host":"node-1","pid":77,"version":"v1.2.3","stages":["planner","sink lake"],` +
			`"started":"2026-11-29T12:00:00Z","beat":"2026-11-29T12:00:05Z","read":{"rows":10,"per_second":2.5},"left":90,` +
			`"sinks":[{"name":"lake","rows":9,"per_second":3,"latency":0.25}],` +
			`"waits":[{"part":"live","state":"waiting","reason":"no answer","since":"2026-11-29T12:00:00Z"}],"more":3}`: state.Process{
			Role: "run", Slot: 1, Host: "node-1", PID: 77, Version: "v1.2.3", Stages: []string{"planner", "sink lake"},
			Started: noon, Beat: noon.Add(5 * time.Second), Read: state.Rate{Rows: 10, PerSec: 2.5}, Left: 90,
			Sinks: []state.ProcessSink{{Name: "lake", Rate: state.Rate{Rows: 9, PerSec: 3}, Latency: 0.25}},
			Waits: []state.Wait{{Part: "live", State: "waiting", Reason: "no answer", Since: noon}}, More: 3,
		},
		`{"role":"planner","slot":0,"host":"h","pid":1,"version":"v1","stages":["planner"],"started":"2026-11-29T12:00:00Z",` +
			`"beat":"2026-11-29T12:00:00Z","ended":"2026-11-29T12:00:00Z","error":"refused","done":true}`: state.Process{
			Role: "planner", Host: "h", PID: 1, Version: "v1", Stages: []string{"planner"}, Started: noon, Beat: noon, Ended: noon, Error: "refused", Done: true,
		},
		`{"at":"2026-11-29T12:00:00Z","from":7,"blocks":2,"rows":0}`: state.Reorg{At: noon, From: 7, Blocks: 2, Rows: &rows},
		`{"at":"2026-11-29T12:00:00Z","from":7,"blocks":2}`:          state.Reorg{At: noon, From: 7, Blocks: 2},
		`{"epoch":1,"seq":2,"next":3,"phase":"running","reorgs":1,"recent":[{"at":"2026-11-29T12:00:00Z","from":7,"blocks":2}],` +
			`"updated":"2026-11-29T12:00:00Z"}`: state.LivePosition{
			Epoch: 1, Seq: 2, Next: 3, Phase: state.LiveRunning, Reorgs: 1, Updated: noon, Recent: []state.Reorg{{At: noon, From: 7, Blocks: 2}},
		},
		`{"epoch":1,"seq":2,"next":3,"phase":"running","reorgs":0,"updated":"2026-11-29T12:00:00Z"}`: state.LivePosition{ // as before
			Epoch: 1, Seq: 2, Next: 3, Phase: state.LiveRunning, Updated: noon,
		},
	} {
		text, err := json.Marshal(document)
		if err != nil || string(text) != want {
			t.Errorf("written as\n%s, %v; want\n%s", text, err, want)
		}
		read := reflect.New(reflect.TypeOf(document))
		if err := json.Unmarshal([]byte(want), read.Interface()); err != nil || !reflect.DeepEqual(read.Elem().Interface(), document) {
			t.Errorf("%s is read as %+v, %v", want, read.Elem(), err)
		}
	}
	// A version that knows no recent reorgs reads the position.
	var older struct {
		Next   block.Number `json:"next"`
		Reorgs uint64       `json:"reorgs"`
	}
	if err := json.Unmarshal([]byte(`{"next":3,"reorgs":1,"recent":[{"from":7}]}`), &older); err != nil || older.Next != 3 || older.Reorgs != 1 {
		t.Errorf("%+v, %v", older, err)
	}
}

// TestSlotsAreUsedAgain: documents are as many as processes run at once, however often
// they are started.
func TestSlotsAreUsedAgain(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	s := mustState(t, mustConn(t), "pipe")
	process := func(pid int, started time.Time) state.Process {
		return state.Process{Role: "extractor", Host: "h", PID: pid, Started: started, Beat: started}
	}
	put := func(w *queue.ProcessWriter, p state.Process) {
		t.Helper()
		if err := w.Put(ctx, p); err != nil {
			t.Fatal(err)
		}
	}
	slots := func(want ...int) {
		t.Helper()
		all, err := s.Processes(ctx)
		if err != nil || len(all) != len(want) {
			t.Fatalf("%+v, %v", all, err)
		}
		for i, p := range all {
			if p.Value.Slot != i || p.Value.PID != want[i] {
				t.Errorf("slot %d is of process %d, want %d", p.Value.Slot, p.Value.PID, want[i])
			}
			if age := time.Since(p.Value.Beat); age.Abs() > time.Minute {
				t.Errorf("it was written %v ago, by the clock of NATS", age)
			}
		}
	}
	first, second := s.ProcessWriter(false), s.ProcessWriter(false)
	put(first, process(1, noon))
	put(second, process(2, noon))
	put(first, process(1, noon))
	slots(1, 2)
	// A process whose write was not answered finds its own document.
	put(s.ProcessWriter(false), process(1, noon))
	put(first, process(1, noon))
	slots(1, 2)
	// So it does when such a write is stored at the same time.
	var late sync.WaitGroup
	for range 4 {
		late.Go(func() {
			for range 5 {
				if err := s.ProcessWriter(false).Put(ctx, process(2, noon)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	late.Wait()
	put(second, process(2, noon))
	slots(1, 2)

	// A process that has ended leaves its slot, and one that was restarted in its
	// container has that of its predecessor.
	ended := process(1, noon)
	ended.Ended = noon
	put(first, ended)
	third := s.ProcessWriter(false)
	put(third, process(3, noon))
	slots(3, 2)
	put(s.ProcessWriter(false), process(2, noon.Add(time.Second)))
	slots(3, 2)
	// The one before, if it runs nevertheless, notices that the slot is not its own.
	put(second, process(2, noon))
	slots(3, 2, 2)
	// Where no other can run all slots are free.
	put(s.ProcessWriter(true), process(4, noon))
	slots(4, 2, 2)
}

// TestWithoutTheRightToBeSeen a process works as before: rights that were given for an
// earlier version do not allow heartbeats.
func TestWithoutTheRightToBeSeen(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	shipped := queuetest.Ship(t)
	url := shipped.Server().ClientURL()
	open := func(role string) *queue.Conn {
		return mustOpen(t, queue.Config{URL: url, User: role, Password: shipped.Password(role), Role: role, MustExist: role != "planner"})
	}
	mustState(t, open("planner"), "pipe")
	s := mustState(t, open("extractor"), "pipe")
	if err := s.ProcessWriter(false).Put(ctx, state.Process{Role: "extractor"}); err != nil {
		t.Errorf("the shipped rights: %v", err)
	}
	err := s.ProcessWriter(false).Put(ctx, state.Process{Role: "planner"})
	if fault.Of(err) != fault.ClassPermanent || !strings.Contains(err.Error(), "permissions.conf") {
		t.Errorf("another's document: %v", err)
	}
	if _, err := s.CreatePartition(ctx, state.Partition{Start: 1, End: 2, State: state.PartitionOpen}); err != nil {
		t.Errorf("after that: %v", err)
	}
}
