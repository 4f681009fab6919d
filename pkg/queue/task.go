package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ampipe/ampipe/pkg/fault"
)

// Kinds of tasks.
const (
	PartitionTask = "partition"
	LiveTask      = "live"
)

const (
	// taskBytes is what the queue of tasks reserves.
	taskBytes = 64 << 20
	// taskWait is how long after the death of its worker a task goes to
	// another. [Task.Keep] keeps it from a living one.
	taskWait = 10 * time.Second
	// taskPull is how long a request for a task lasts. A worker that waits has
	// one; that of a dead process ends by then.
	taskPull = 5 * time.Second
	// taskTake is how long a request lasts for a task that was just seen in the queue.
	taskTake = 250 * time.Millisecond
)

// ErrTaskLost is the cause of the context of [Task.Keep] when the task may have
// been given to another worker, because NATS could not be reached in time.
var ErrTaskLost = errors.New("the task may have gone to another worker: NATS could not be reached in time")

// ErrNoTask is returned by [Tasks.Poll] when the queue answers and has no task.
var ErrNoTask = errors.New("the queue has no task now")

// Tasks is the work queue of one pipeline. A task has a kind and an id, stands
// in the queue once, and is held by one worker at a time. Its methods may be
// called concurrently, in any number of processes.
type Tasks struct {
	conn     *Conn
	pipeline string

	mu      sync.Mutex
	pullers map[string]*puller // by kind
}

// Tasks opens the work queue of a pipeline.
func (c *Conn) Tasks(ctx context.Context, pipeline string) (*Tasks, error) {
	if err := checkName("pipeline", pipeline); err != nil {
		return nil, err
	}
	t := &Tasks{conn: c, pipeline: pipeline, pullers: map[string]*puller{}}
	if err := t.open(ctx); err != nil {
		return nil, c.classify(ctx, fmt.Errorf("open the task queue: %w", err))
	}
	return t, nil
}

// open makes the stream, of all pipelines, if it is not there.
func (t *Tasks) open(ctx context.Context) error {
	_, err := t.conn.stream(ctx, t.config())
	return err
}

func (t *Tasks) config() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        taskStream,
		Description: "ampipe: tasks of all pipelines",
		Subjects:    []string{taskSubject + ">"},
		Retention:   jetstream.WorkQueuePolicy,
		Storage:     jetstream.FileStorage,
		Replicas:    t.conn.cfg.Replicas,
		MaxBytes:    taskBytes,
		// One message per subject, the first: what is queued or held is not
		// queued again.
		Discard:              jetstream.DiscardNew,
		MaxMsgsPerSubject:    1,
		DiscardNewPerSubject: true,
		AllowAtomicPublish:   true, // many tasks at a time; without it each is by itself
	}
}

// fail classes an error of the queue. One that was deleted is made anew, empty: the
// planner queues again what it lacks.
func (t *Tasks) fail(ctx context.Context, err error) error {
	if ctx.Err() != nil || (!errors.Is(err, jetstream.ErrStreamNotFound) && !errors.Is(err, jetstream.ErrNoStreamResponse)) {
		return t.conn.classify(ctx, err)
	}
	if again := t.conn.remake(ctx, t.config()); again != nil { // it is not gone, NATS is
		return t.conn.classify(ctx, fmt.Errorf("%w; open the task queue again: %w", err, again))
	}
	return fault.Later(fmt.Errorf("the task queue did not answer; if it was deleted, it has been made anew: %w", err), 0)
}

func (t *Tasks) subject(kind, id string) string {
	return taskSubject + t.pipeline + "." + kind + "." + id
}

// Add queues a task behind all others. It is not added while one of that kind
// and id is queued or held.
func (t *Tasks) Add(ctx context.Context, kind, id string) (added bool, err error) {
	if err := errors.Join(checkName("kind of task", kind), checkPath("task", id)); err != nil {
		return false, err
	}
	request, cancel := context.WithTimeout(ctx, apiWait)
	defer cancel()
	_, err = t.conn.js.Publish(request, t.subject(kind, id), nil)
	switch {
	case err == nil:
		return true, nil
	case tooManyPerSubject(err):
		return false, nil
	default:
		return false, t.fail(ctx, fmt.Errorf("queue task %s %s: %w", kind, id, err))
	}
}

// puller returns that of a kind, which all workers share.
func (t *Tasks) puller(kind string) (*puller, error) {
	if err := checkName("kind of task", kind); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.pullers[kind] == nil {
		t.pullers[kind] = &puller{open: func(ctx context.Context, wait time.Duration) (jetstream.Consumer, error) {
			return t.findConsumer(ctx, kind, wait)
		}}
	}
	return t.pullers[kind], nil
}

// findConsumer opens the consumer of a kind, makes it if it is not there, and waits for
// the answer at most so long.
func (t *Tasks) findConsumer(ctx context.Context, kind string, wait time.Duration) (jetstream.Consumer, error) {
	request, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	consumer, err := durable(request, t.conn.js, taskStream, jetstream.ConsumerConfig{
		Durable:       kind + "-" + t.pipeline,
		FilterSubject: t.subject(kind, ">"),
		DeliverPolicy: jetstream.DeliverAllPolicy,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       taskWait,
		MaxDeliver:    -1,
		MaxAckPending: -1,
		MaxWaiting:    1024,
	})
	if err != nil {
		return nil, t.fail(ctx, fmt.Errorf("open the queue of %s tasks: %w", kind, err))
	}
	return consumer, nil
}

// Next waits for a task, oldest first. While it waits it counts in
// [Load.Waiting]. When ctx ends it returns the cause of that, as soon as NATS has
// answered that it sends no more, or after 2 s; while NATS cannot be reached it returns
// fault.Later, and may be called again.
func (t *Tasks) Next(ctx context.Context, kind string) (*Task, error) {
	for {
		if task, err := t.Poll(ctx, kind); !errors.Is(err, ErrNoTask) {
			return task, err
		}
	}
}

// Poll is [Tasks.Next] that returns [ErrNoTask] when there is none for 5 s, or for 10 s in a
// process that has the server to itself.
func (t *Tasks) Poll(ctx context.Context, kind string) (*Task, error) {
	if t.conn.alone() {
		return t.poll(ctx, kind, aloneExpiry)
	}
	return t.poll(ctx, kind, taskPull)
}

// Take is [Tasks.Poll] for a queue that has tasks, as [Tasks.Load] says: it hardly waits for
// one.
func (t *Tasks) Take(ctx context.Context, kind string) (*Task, error) {
	return t.poll(ctx, kind, taskTake)
}

func (t *Tasks) poll(ctx context.Context, kind string, wait time.Duration) (*Task, error) {
	if ctx.Err() != nil { // a request would take the task that was just given back, and not see it
		return nil, context.Cause(ctx)
	}
	task, err := t.request(ctx, kind, wait)
	switch {
	case ctx.Err() != nil:
		if task != nil {
			_ = task.msg.Nak() // best effort: it comes again by itself
		}
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, fmt.Errorf("wait for a %s task: %w", kind, err)
	case task == nil:
		return nil, ErrNoTask
	default:
		return task, nil
	}
}

// request asks once; without a task in its time it returns nil.
func (t *Tasks) request(ctx context.Context, kind string, wait time.Duration) (*Task, error) {
	p, err := t.puller(kind)
	if err != nil {
		return nil, err
	}
	consumer, findErr := p.find(ctx)
	if consumer == nil {
		return nil, findErr
	}
	task, answered, err := t.pull(ctx, kind, p, consumer, wait)
	if ctx.Err() == nil {
		err = p.result(findErr, answered, err)
	}
	return task, err
}

// pull makes one request, and reports whether it was answered.
func (t *Tasks) pull(
	ctx context.Context, kind string, p *puller, consumer jetstream.Consumer, wait time.Duration,
) (task *Task, answered bool, err error) {
	var msg *nats.Msg
	answered, err = p.fetch(ctx, t.conn.nc, consumer, wait, &pull{Messages: 1, take: func(m *nats.Msg) { msg = m }})
	switch {
	case msg != nil:
		task, err = t.task(kind, msg)
		return task, true, err
	case err != nil:
		return nil, false, t.fail(ctx, err)
	default:
		return nil, answered, nil
	}
}

func (t *Tasks) task(kind string, msg *nats.Msg) (*Task, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return nil, fault.Permanent(err)
	}
	return &Task{
		Kind: kind, ID: strings.TrimPrefix(msg.Subject, t.subject(kind, "")),
		Delivered: int(meta.NumDelivered), tasks: t, msg: msg,
	}, nil
}

// Load is how busy the workers of a kind are.
type Load struct {
	Queued  int // waiting for a worker
	Held    int // in a worker's hands, or put off by Later
	Waiting int // workers waiting for a task; a dead one counts for up to 5 s
}

// Load reads how busy the workers of a kind are.
func (t *Tasks) Load(ctx context.Context, kind string) (Load, error) {
	info, err := t.info(ctx, kind)
	if err != nil {
		return Load{}, err
	}
	return Load{Queued: int(info.NumPending), Held: info.NumAckPending, Waiting: info.NumWaiting}, nil
}

// info reads the state of the consumer of a kind.
func (t *Tasks) info(ctx context.Context, kind string) (*jetstream.ConsumerInfo, error) {
	p, err := t.puller(kind)
	if err != nil {
		return nil, err
	}
	consumer, findErr := p.find(ctx)
	if consumer == nil {
		return nil, findErr
	}
	info, err := consumer.Info(ctx)
	if err != nil {
		err = t.fail(ctx, fmt.Errorf("read the load of %s tasks: %w", kind, err))
	}
	if ctx.Err() == nil {
		err = p.result(findErr, true, err)
	}
	return info, err
}

// Delivered returns the place in the queue up to which workers have been given the tasks of a
// kind: none behind it has been anybody's.
func (t *Tasks) Delivered(ctx context.Context, kind string) (place uint64, err error) {
	info, err := t.info(ctx, kind)
	if err != nil {
		return 0, err
	}
	return info.Delivered.Stream, nil
}

// Task is a task that a worker has taken, to be answered with Done, Later or Drop.
type Task struct {
	Kind      string
	ID        string
	Delivered int // how often, this time included

	tasks *Tasks
	msg   *nats.Msg
}

// Done removes the task from the queue and waits until that is certain.
func (k *Task) Done(ctx context.Context) error {
	return k.answer(ctx, "finish", func(ctx context.Context) error { return k.msg.AckSync(nats.Context(ctx)) })
}

// Later returns the task, to be delivered again after the delay.
func (k *Task) Later(ctx context.Context, delay time.Duration) error {
	return k.answer(ctx, "put off", func(context.Context) error { return k.msg.NakWithDelay(delay) })
}

// InProgress reports that the task is still worked on. It is delivered again 10 s after the
// last report. [Task.Keep] calls it.
func (k *Task) InProgress(ctx context.Context) error {
	return k.answer(ctx, "keep", func(context.Context) error { return k.msg.InProgress() })
}

func (k *Task) answer(ctx context.Context, verb string, send func(context.Context) error) error {
	request, cancel := context.WithTimeout(ctx, apiWait)
	defer cancel()
	err := send(request)
	if err == nil {
		// The answer is on its way before the next step is taken.
		err = k.tasks.conn.nc.FlushWithContext(request)
	}
	if err != nil {
		return k.tasks.conn.classify(ctx, fmt.Errorf("%s task %s %s: %w", verb, k.Kind, k.ID, err))
	}
	return nil
}

// Keep keeps the task from being delivered to another worker until release is
// called, which waits until nothing more is sent; then the task can be
// answered. The context that it returns ends with ctx, and with cause [ErrTaskLost] if
// NATS could not be reached for so long that the task may be another worker's. The
// fenced log stops a worker that continues nevertheless.
func (k *Task) Keep(ctx context.Context) (kept context.Context, release func()) {
	kept, cancel := context.WithCancelCause(ctx)
	var beating sync.WaitGroup
	beating.Go(func() {
		ticker := time.NewTicker(taskWait / beatsPerWait)
		defer ticker.Stop()
		told := time.Now()
		for {
			select {
			case <-kept.Done():
				return
			case <-ticker.C:
			}
			began := time.Now()
			beat, done := context.WithTimeout(kept, taskWait/beatsPerWait)
			err := k.InProgress(beat)
			done()
			switch {
			case began.Sub(told) >= taskWait, err != nil && time.Since(told) >= taskWait:
				cancel(ErrTaskLost)
				return
			case err == nil:
				told = began
			}
		}
	})
	return kept, func() {
		cancel(context.Canceled)
		beating.Wait()
	}
}
