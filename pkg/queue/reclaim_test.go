package queue_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// TestWhatAKilledProcessHeldIsTakenBack as soon as its embedded server runs again: the
// tasks, and its turn in the live lane.
func TestWhatAKilledProcessHeldIsTakenBack(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	server, err := queue.StartServer(testContext(t), queue.ServerConfig{Dir: dir, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	wire := newWire(t, server.URL())
	doomed := mustOpen(t, queue.Config{URL: wire.url()})
	tasks, log := mustTasks(t, doomed, "pipe"), mustLog(t, doomed, 0)
	mustAdd(t, tasks, "0.0")
	mustAdd(t, tasks, "1.0")
	mustTake(t, tasks)
	got := make(chan turn)
	readLive(t, got, log, "doomed")
	after := mustPublish(t, log, queue.LiveLane, 0, "first", group(0, 0, 100))
	mustAck(t, mustTurn(t, got).Message)
	waitForLanes(t, log, queue.Live, queue.Position{Exists: true, AckFloor: after})
	wire.cut()
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}

	heir := mustOpen(t, queue.Config{Server: mustServer(t, queue.ServerConfig{Dir: dir})})
	tasks, log = mustTasks(t, heir, "pipe"), mustLog(t, heir, 0)
	ctx, began := testContext(t), time.Now()
	for range 2 { // there may be nothing to take back
		if err := tasks.Reclaim(ctx); err != nil {
			t.Fatal(err)
		}
	}
	readLiveOf(t, got, log, "heir", state.LiveState{Started: true, Seq: after})
	after = mustPublish(t, log, queue.LiveLane, after, "second", group(0, 0, 100))
	if m := mustTurn(t, got); m.by != "heir" || m.Seq != after || m.Delivered != 1 {
		t.Errorf("message %d went to %s, delivered %d times", m.Seq, m.by, m.Delivered)
	} else {
		mustAck(t, m.Message)
	}
	for _, id := range []string{"0.0", "1.0"} {
		task := mustTake(t, tasks)
		if task.ID != id {
			t.Errorf("took %s, want %s", task.ID, id)
		}
		if err := task.Done(ctx); err != nil {
			t.Error(err)
		}
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	waitForLoad(t, tasks, queue.Load{})
}

// TestTheLiveLaneOfAProcessThatStartsAgain: nobody else of the sink asks for it, so that
// it need not wait until the server assigns it anew.
func TestTheLiveLaneOfAProcessThatStartsAgain(t *testing.T) {
	t.Parallel()
	server := mustServer(t, queue.ServerConfig{Listen: "127.0.0.1:0"})
	l := mustLog(t, mustOpen(t, queue.Config{Server: server}), 0)
	wire := newWire(t, server.URL())
	got := make(chan turn)
	readLive(t, got, mustLog(t, mustOpen(t, queue.Config{URL: wire.url()}), 0), "killed")
	after := mustPublish(t, l, queue.LiveLane, 0, "first", group(0, 0, 100))
	mustAck(t, mustTurn(t, got).Message)
	waitForLanes(t, l, queue.Live, queue.Position{Exists: true, AckFloor: after})
	wire.cut()
	after = mustPublish(t, l, queue.LiveLane, after, "second", group(0, 0, 100))
	began := time.Now()
	readLive(t, got, mustLog(t, mustOpen(t, queue.Config{URL: server.URL()}), 0), "again")
	if m := mustTurn(t, got); m.by != "again" || m.Seq != after {
		t.Errorf("message %d went to %s", m.Seq, m.by)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
}
