package queue_test

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/queue"
)

// shortPull is how long a request lasts here. A process waits about a second longer for the
// server to end it.
const shortPull = 500 * time.Millisecond

// lateLanes are a lane of each kind.
var lateLanes = map[string]queue.Lanes{"p.0.0": queue.History, queue.LiveLane: queue.Live}

// lateWire is a wire that sees the requests of a process.
type lateWire struct {
	*wire
	made, left chan struct{} // when one was made, and when one was given up
	slow       atomic.Bool   // each takes longer than it is to last
}

func newLateWire(t *testing.T, url string) *lateWire {
	w := &lateWire{made: make(chan struct{}, 1), left: make(chan struct{}, 1)}
	saw := func(seen chan<- struct{}) {
		select {
		case seen <- struct{}{}:
		default: // as before
		}
	}
	w.wire = newWire(t, url, func(sent []byte) {
		if bytes.Contains(sent, []byte("UNSUB")) {
			saw(w.left)
		}
		if !bytes.Contains(sent, []byte("CONSUMER.MSG.NEXT")) {
			return
		}
		saw(w.made)
		if w.slow.Load() {
			<-time.After(shortPull + shortPull/5)
		}
	})
	return w
}

// mustSee waits for what a wire sees.
func mustSee(t *testing.T, seen <-chan struct{}) {
	t.Helper()
	select {
	case <-seen:
	case <-testContext(t).Done():
		t.Fatal("no request is made, or none is given up")
	}
}

// mustSeeNext is mustSee for what was not seen before.
func mustSeeNext(t *testing.T, seen <-chan struct{}) {
	t.Helper()
	select {
	case <-seen:
	default:
	}
	mustSee(t, seen)
}

// TestAnEntryOverASlowConnection: an entry that comes later than the request for it was to last
// is taken, and does not come again until its process would have been given up.
func TestAnEntryOverASlowConnection(t *testing.T) {
	t.Parallel()
	for lane, lanes := range lateLanes {
		t.Run(lane, func(t *testing.T) {
			t.Parallel()
			server := mustServer(t, queue.ServerConfig{Listen: "127.0.0.1:0"})
			w := newLateWire(t, server.URL())
			l := mustLog(t, mustOpen(t, queue.Config{URL: w.url()}), 0)
			seq := mustPublish(t, l, lane, 0, "a", group(0, 0, 100))
			w.slow.Store(true)
			c := mustConsume(t, l, queue.ConsumeOptions{Lanes: lanes, Pull: shortPull})
			defer c.Close()
			m := mustNext(t, c)
			if m.Seq != seq || m.Delivered != 1 {
				t.Errorf("message %d was delivered %d times", m.Seq, m.Delivered)
			}
			mustAck(t, m)
			w.slow.Store(false)
		})
	}
}

// TestAStoppedProcessTakesWhatCame: what was sent to a process that did not read for longer than
// its request lasted is taken once when it reads again, and does not come again.
func TestAStoppedProcessTakesWhatCame(t *testing.T) {
	t.Parallel()
	for lane, lanes := range lateLanes {
		t.Run(lane, func(t *testing.T) {
			t.Parallel()
			w, direct, c := lateConsumer(t, lanes, 0)
			mustSee(t, w.made)
			release := w.freeze(t)
			first := mustPublish(t, direct, lane, 0, "a", group(0, 0, 100))
			second := mustPublish(t, direct, lane, first, "b", group(1, 1, 100))
			waitForLanes(t, direct, lanes, queue.Position{Exists: true, AckPending: 2})
			mustSeeNext(t, w.left)
			release()
			third := mustPublish(t, direct, lane, second, "c", group(2, 2, 100))
			for _, want := range []uint64{first, second, third} {
				m := mustNext(t, c)
				if m.Seq != want || m.Delivered != 1 {
					t.Errorf("message %d came, for the %d. time, instead of %d for the first", m.Seq, m.Delivered, want)
				}
				mustAck(t, m)
			}
			waitForLanes(t, direct, lanes, queue.Position{Exists: true, AckFloor: third})
			c.Close()
		})
	}
}

// lateConsumer starts to read an empty log over a wire, and opens the log beside it.
func lateConsumer(t *testing.T, lanes queue.Lanes, ackWait time.Duration) (w *lateWire, direct *queue.Log, c *queue.Consumer) {
	server := mustServer(t, queue.ServerConfig{Listen: "127.0.0.1:0"})
	direct = mustLog(t, mustOpen(t, queue.Config{URL: server.URL()}), 0)
	w = newLateWire(t, server.URL())
	l := mustLog(t, mustOpen(t, queue.Config{URL: w.url()}), 0)
	return w, direct, mustConsume(t, l, queue.ConsumeOptions{Lanes: lanes, Pull: shortPull, AckWait: ackWait})
}

// TestWhatComesAfterCloseIsReturned: an entry that was on its way to a process when it closed
// goes to another one at once.
func TestWhatComesAfterCloseIsReturned(t *testing.T) {
	t.Parallel()
	for lane, lanes := range lateLanes {
		t.Run(lane, func(t *testing.T) {
			t.Parallel()
			w, direct, closed := lateConsumer(t, lanes, time.Hour)
			mustSee(t, w.made)
			release := w.freeze(t)
			seq := mustPublish(t, direct, lane, 0, "a", group(0, 0, 100))
			waitForLanes(t, direct, lanes, queue.Position{Exists: true, AckPending: 1})
			done := make(chan struct{})
			go func() {
				defer close(done)
				closed.Close()
			}()
			mustSeeNext(t, w.left)
			release()
			mustSee(t, done)
			if _, err := closed.Next(testContext(t)); !errors.Is(err, queue.ErrClosed) {
				t.Errorf("a closed consumer returns %v", err)
			}
			c := mustConsume(t, direct, queue.ConsumeOptions{Lanes: lanes, AckWait: time.Hour})
			defer c.Close()
			m := mustNext(t, c)
			if m.Seq != seq || m.Delivered != 2 {
				t.Errorf("message %d was delivered %d times", m.Seq, m.Delivered)
			}
			mustAck(t, m)
		})
	}
}

// TestATaskThatComesLate: a task that was sent to a worker that did not read is the worker's
// when it reads again, and another's if it was told to stop meanwhile.
func TestATaskThatComesLate(t *testing.T) {
	t.Parallel()
	for name, stopped := range map[string]bool{"taken": false, "given back": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := mustServer(t, queue.ServerConfig{Listen: "127.0.0.1:0"})
			w := newLateWire(t, server.URL())
			direct := mustTasks(t, mustOpen(t, queue.Config{URL: server.URL()}), "pipe")
			tasks := mustTasks(t, mustOpen(t, queue.Config{URL: w.url()}), "pipe")
			mustAdd(t, direct, "1")
			waitForLoad(t, direct, queue.Load{Queued: 1})
			_, err := tasks.Load(testContext(t), queue.PartitionTask) // the consumer is known
			must(t, err)
			release := w.freeze(t)
			ctx, stop := context.WithCancel(testContext(t))
			defer stop()
			var task *queue.Task
			done := make(chan struct{})
			go func() {
				defer close(done)
				task, err = tasks.Take(ctx, queue.PartitionTask)
			}()
			waitForLoad(t, direct, queue.Load{Held: 1})
			if stopped {
				stop()
			}
			mustSeeNext(t, w.left)
			release()
			mustSee(t, done)
			want := 1
			if stopped {
				if !errors.Is(err, context.Canceled) {
					t.Fatalf("a worker that was stopped took %+v: %v", task, err)
				}
				want = 2
				began := time.Now()
				task, err = direct.Poll(testContext(t), queue.PartitionTask)
				if took := time.Since(began); took > 3*time.Second {
					t.Errorf("given back after %v", took)
				}
			}
			if err != nil || task.ID != "1" || task.Delivered != want {
				t.Fatalf("took %+v: %v", task, err)
			}
			must(t, task.Done(testContext(t)))
		})
	}
}

// TestABacklogOfTheLiveLane: the server sends a little more than the bytes of a request, since it
// does not count the header that says who has the lane. Nothing of that comes again.
func TestABacklogOfTheLiveLane(t *testing.T) {
	t.Parallel()
	l := mustLog(t, mustConn(t), 0)
	const n = 600
	mustFill(t, l, queue.LiveLane, n, 100)
	c := mustConsume(t, l, queue.ConsumeOptions{Lanes: queue.Live, Bytes: 128 << 10})
	defer c.Close()
	for i := range n {
		m := mustNext(t, c)
		if m.Seq != uint64(i+1) || m.Delivered != 1 {
			t.Fatalf("message %d came, for the %d. time, instead of %d for the first", m.Seq, m.Delivered, i+1)
		}
		mustAck(t, m)
	}
}
