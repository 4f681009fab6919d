package queue_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
)

func mustTasks(t testing.TB, c *queue.Conn, pipeline string) *queue.Tasks {
	t.Helper()
	tasks, err := c.Tasks(testContext(t), pipeline)
	if err != nil {
		t.Fatal(err)
	}
	return tasks
}

func mustAdd(t testing.TB, tasks *queue.Tasks, id string) bool {
	t.Helper()
	added, err := tasks.Add(testContext(t), queue.PartitionTask, id)
	if err != nil {
		t.Fatal(err)
	}
	return added
}

func mustTake(t testing.TB, tasks *queue.Tasks) *queue.Task {
	t.Helper()
	task, err := tasks.Next(testContext(t), queue.PartitionTask)
	if err != nil {
		t.Fatal(err)
	}
	return task
}

// waitForLoad polls until the queue is as busy as wanted.
func waitForLoad(t *testing.T, tasks *queue.Tasks, want queue.Load) {
	t.Helper()
	ctx := testContext(t)
	for {
		load, err := tasks.Load(ctx, queue.PartitionTask)
		if err == nil && load == want {
			return
		}
		if fault.Sleep(ctx, 10*time.Millisecond) != nil {
			t.Fatalf("load is %+v (%v), want %+v", load, err, want)
		}
	}
}

// TestTaskStandsInTheQueueOnce: what is queued or held is not added, what is
// done is.
func TestTaskStandsInTheQueueOnce(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	conn := mustConn(t)
	tasks := mustTasks(t, conn, "pipe")
	if !mustAdd(t, tasks, "0.0") || mustAdd(t, tasks, "0.0") || !mustAdd(t, tasks, "0.1") {
		t.Error("a queued task was added again")
	}
	if other := mustTasks(t, conn, "pip"); !mustAdd(t, other, "0.0") {
		t.Error("pipelines share their tasks")
	}
	task := mustTake(t, tasks)
	if task.ID != "0.0" || task.Kind != queue.PartitionTask || task.Delivered != 1 {
		t.Errorf("took %+v", task)
	}
	if mustAdd(t, tasks, "0.0") {
		t.Error("a held task was added again")
	}
	if err := task.Done(ctx); err != nil {
		t.Fatal(err)
	}
	if !mustAdd(t, tasks, "0.0") {
		t.Error("a task that is done cannot be added")
	}
	task = mustTake(t, tasks)
	if err := task.Done(ctx); err != nil || task.ID != "0.1" {
		t.Errorf("done with %s: %v", task.ID, err)
	}
	waitForLoad(t, tasks, queue.Load{Queued: 1})
}

func TestTasksComeInOrder(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	tasks := mustTasks(t, mustConn(t), "pipe")
	for i := range 20 {
		mustAdd(t, tasks, fmt.Sprint(i, ".0"))
	}
	for i := range 20 {
		task := mustTake(t, tasks)
		if task.ID != fmt.Sprint(i, ".0") {
			t.Errorf("task %d is %s", i, task.ID)
		}
		if err := task.Done(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTaskIsPutOff(t *testing.T) {
	t.Parallel()
	tasks := mustTasks(t, mustConn(t), "pipe")
	mustAdd(t, tasks, "0.0")
	began := time.Now()
	const delay = 300 * time.Millisecond
	if err := mustTake(t, tasks).Later(testContext(t), delay); err != nil {
		t.Fatal(err)
	}
	task := mustTake(t, tasks)
	if task.Delivered != 2 || time.Since(began) < delay {
		t.Errorf("delivered %d times, again after %v", task.Delivered, time.Since(began))
	}
}

// TestLoadCountsTheIdle: a waiting worker is seen, and is not once its context
// has ended or it has a task.
func TestLoadCountsTheIdle(t *testing.T) {
	t.Parallel()
	server := mustServer(t, queue.ServerConfig{})
	tasks := mustTasks(t, mustOpen(t, queue.Config{Server: server}), "pipe")
	waitForLoad(t, tasks, queue.Load{})

	type taken struct {
		task *queue.Task
		err  error
	}
	worker := func(ctx context.Context) chan taken {
		out := make(chan taken, 1)
		own := mustTasks(t, mustOpen(t, queue.Config{Server: server}), "pipe")
		go func() {
			task, err := own.Next(ctx, queue.PartitionTask)
			out <- taken{task, err}
		}()
		return out
	}
	ctx, stop := context.WithCancelCause(testContext(t))
	stopped := worker(ctx)
	lasting := worker(testContext(t))
	waitForLoad(t, tasks, queue.Load{Waiting: 2})

	because := errors.New("told to stop")
	began := time.Now()
	stop(because)
	if got := <-stopped; !errors.Is(got.err, because) || time.Since(began) > time.Second {
		t.Errorf("a stopped worker returns %+v after %v", got, time.Since(began))
	}
	waitForLoad(t, tasks, queue.Load{Waiting: 1})
	mustAdd(t, tasks, "0.0")
	if got := <-lasting; got.err != nil || got.task.ID != "0.0" {
		t.Errorf("a waiting worker gets %+v", got)
	}
	waitForLoad(t, tasks, queue.Load{Held: 1})
	mustAdd(t, tasks, "1.0")
	waitForLoad(t, tasks, queue.Load{Held: 1, Queued: 1})
}

// TestTaskOfADeadWorker goes to another one; that of a living one does not,
// however long it takes.
func TestTaskOfADeadWorker(t *testing.T) {
	t.Parallel()
	server := mustServer(t, queue.ServerConfig{})
	dying := mustOpen(t, queue.Config{Server: server})
	tasks := mustTasks(t, mustOpen(t, queue.Config{Server: server}), "pipe")
	mustAdd(t, tasks, "0.0")
	mustAdd(t, tasks, "1.0")
	began := time.Now()
	mustTake(t, mustTasks(t, dying, "pipe"))
	dying.Close()

	kept := mustTake(t, tasks)
	ctx, release := kept.Keep(testContext(t))
	again := mustTake(t, tasks)
	if again.ID != "0.0" || again.Delivered != 2 {
		t.Errorf("got task %s, delivered %d times", again.ID, again.Delivered)
	}
	if took := time.Since(began); took < 9*time.Second || took > 20*time.Second {
		t.Errorf("it came back after %v", took)
	}
	// The kept one was taken as long ago, and would have come as well.
	none, cancel := context.WithTimeout(testContext(t), time.Second)
	defer cancel()
	if task, err := tasks.Next(none, queue.PartitionTask); err == nil {
		t.Errorf("task %s was handed out while it is kept", task.ID)
	}
	if ctx.Err() != nil {
		t.Errorf("the kept task was lost: %v", context.Cause(ctx))
	}
	release()
	if ctx.Err() == nil {
		t.Error("a released task keeps its context")
	}
	if err := kept.Done(testContext(t)); err != nil {
		t.Error(err)
	}
}

// TestTaskIsLost: a worker that cannot reach NATS learns that its task may be
// another's by now.
func TestTaskIsLost(t *testing.T) {
	t.Parallel()
	conn := mustConn(t)
	tasks := mustTasks(t, conn, "pipe")
	mustAdd(t, tasks, "0.0")
	ctx, release := mustTake(t, tasks).Keep(testContext(t))
	defer release()
	conn.Close()
	<-ctx.Done()
	if cause := context.Cause(ctx); !errors.Is(cause, queue.ErrTaskLost) {
		t.Errorf("cause is %v", cause)
	}
}

// TestTheTasksAreDeleted: the stream is made anew by who needs it next, and a worker
// that waits gets what is queued then.
func TestTheTasksAreDeleted(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	server := mustServer(t, queue.ServerConfig{Listen: "127.0.0.1:0"})
	tasks := mustTasks(t, mustOpen(t, queue.Config{Server: server}), "pipe")
	mustAdd(t, tasks, "0.0")
	must(t, mustTake(t, tasks).Done(ctx))
	nc, err := nats.Connect(server.URL())
	must(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	must(t, err)
	again := func(do func(context.Context) error) {
		t.Helper()
		must(t, fault.Retry(ctx, fault.Backoff{GiveUp: 30 * time.Second, Max: 100 * time.Millisecond}, do, nil))
	}
	add := func(ctx context.Context) error {
		_, err := tasks.Add(ctx, queue.PartitionTask, "1.0")
		return err
	}
	load := func(ctx context.Context) error {
		_, err := tasks.Load(ctx, queue.PartitionTask)
		return err
	}
	take := func(ctx context.Context) error {
		task, err := tasks.Next(ctx, queue.PartitionTask)
		if err == nil {
			err = task.Done(ctx)
		}
		return err
	}
	must(t, js.DeleteStream(ctx, "AMPIPE_TASKS"))
	again(add)
	again(take)
	must(t, js.DeleteStream(ctx, "AMPIPE_TASKS"))
	again(load)
	again(add)
	again(take)
}

// TestATaskOverASlowConnection: a task that comes later than the request for it was to last is
// taken, and does not go back to the queue until its worker would have been given up.
func TestATaskOverASlowConnection(t *testing.T) {
	t.Parallel()
	node := startServer(t, &server.Options{StoreDir: t.TempDir(), JetStreamMaxStore: 2 << 30})
	var slow atomic.Bool
	w := newWire(t, node.ClientURL(), func(sent []byte) {
		if slow.Load() && bytes.Contains(sent, []byte("CONSUMER.MSG.NEXT")) {
			<-time.After(400 * time.Millisecond)
		}
	})
	tasks := mustTasks(t, mustOpen(t, queue.Config{URL: w.url()}), "pipe")
	mustAdd(t, tasks, "1")
	waitForLoad(t, tasks, queue.Load{Queued: 1})
	slow.Store(true)
	task, err := tasks.Take(testContext(t), queue.PartitionTask)
	if err != nil || task.ID != "1" || task.Delivered != 1 {
		t.Fatalf("took %+v: %v", task, err)
	}
	must(t, task.Done(testContext(t)))
}
