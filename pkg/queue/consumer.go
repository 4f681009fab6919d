package queue

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/state"
)

// Lanes are the part of a log that a consumer reads.
type Lanes int

const (
	// History is the lanes of all partitions, in any order.
	History Lanes = iota
	// Live is the live lane.
	Live
)

// durable returns the name of a sink's consumer, and so of its position.
func (l Lanes) durable(sink string) string {
	if l == Live {
		return "live-" + sink
	}
	return "history-" + sink
}

func (l Lanes) filter(pipeline string) string {
	if l == Live {
		return logSubject + pipeline + "." + LiveLane
	}
	return logSubject + pipeline + ".p.>"
}

// ConsumeOptions is how a sink reads. The zero value means the defaults.
type ConsumeOptions struct {
	Lanes Lanes

	// Bytes bounds what this consumer holds: messages fetched and not yet
	// answered (Ack, Nak, Term). A larger message comes alone. Default 16 MiB,
	// at most 48 MiB: NATS cuts connections that have 64 MiB on their way.
	Bytes int

	// AckWait is how long after the death of a process its messages go to
	// another one. Default 10 s, and 5 s for the live lane, which waits until
	// then. A server that becomes the leader of the consumer starts the time anew.
	AckWait time.Duration

	// Pull is how long a request for messages lasts. Default 5 s, and 2 s for the live
	// lane; 10 s in a process that has the server to itself.
	Pull time.Duration

	// Has is what the destination has of the live lane: a position that is kept in memory
	// begins behind it.
	Has state.LiveState

	// MaxAckPending bounds the messages that all processes of the sink hold
	// together. Default 2000.
	MaxAckPending int
}

const (
	maxAckPending = 2000
	maxPull       = 48 << 20
	pullMessages  = 500             // at most in one request
	pullExpiry    = 5 * time.Second // of one request
	liveExpiry    = 2 * time.Second // of one for the live lane
	// aloneExpiry is the same of any request where no other process waits for what this one
	// has asked for: see [Conn.alone]. Each request wakes a process that rests several times.
	aloneExpiry   = 10 * time.Second
	beatsPerWait  = 3               // heartbeats in one AckWait
	closeDeadline = 2 * time.Second // for returning messages
	liveGroup     = "live"          // of the processes that take turns with the live lane
)

// Consumer reads a log for one sink. All processes of the sink share its
// position: each message goes to one of them, and to another if that one dies
// or returns it. The consumer keeps the messages it holds from expiring as
// long as its process lives, so a slow destination costs no redelivery. It has
// a connection of its own. Next is called by one goroutine; answers to messages
// may come from any.
type Consumer struct {
	log     *Log
	sink    string
	opts    ConsumeOptions
	nc      *nats.Conn
	js      jetstream.JetStream
	ready   chan *Message // fetched, in order
	failed  chan error    // of the fetch loop
	freed   chan struct{} // a message was answered
	holds   chan struct{} // a message is held
	stop    context.CancelFunc
	stopped sync.WaitGroup
	behind  *behind // of the fetch loop; nil: messages are read as they come

	mu    sync.Mutex
	held  map[uint64]*reply // by sequence
	bytes int               // of held
}

// Consume starts reading the log for a sink at the position of the sink's processes; a
// new sink starts with what the log still holds. The position in the live lane of an
// embedded server is kept in memory: it is lost when the process ends, and taken from
// [ConsumeOptions.Has] when the next begins. The caller closes the consumer.
func (l *Log) Consume(ctx context.Context, sink string, o ConsumeOptions) (*Consumer, error) {
	if err := checkName("sink", sink); err != nil {
		return nil, err
	}
	o.Bytes = min(cmp.Or(o.Bytes, 16<<20), maxPull)
	if o.Lanes == Live {
		o.AckWait = cmp.Or(o.AckWait, 5*time.Second)
	}
	o.AckWait = cmp.Or(o.AckWait, 10*time.Second)
	o.MaxAckPending = cmp.Or(o.MaxAckPending, maxAckPending)
	c := &Consumer{
		log: l, sink: sink, opts: o,
		ready:  make(chan *Message, pullMessages),
		failed: make(chan error),
		freed:  make(chan struct{}, 1),
		holds:  make(chan struct{}, 1),
		held:   map[uint64]*reply{},
	}
	if o.Lanes == History && l.conn.server != nil {
		c.behind = &behind{}
	}
	if err := c.open(ctx); err != nil {
		return nil, err
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	c.stop = stop
	c.stopped.Go(func() { c.fetch(run) })
	c.stopped.Go(func() { c.keep(run) })
	return c, nil
}

// open connects and makes the durable consumer if it is not there.
func (c *Consumer) open(ctx context.Context) (err error) {
	if c.nc, err = c.log.conn.dial(); err != nil {
		return err
	}
	c.js, err = jetstream.New(c.nc, jetstream.WithDefaultTimeout(apiWait))
	if err == nil {
		var durable jetstream.Consumer
		durable, err = c.durable(ctx, apiWait)
		if err == nil {
			c.takeOver(ctx, durable)
		}
	}
	if err != nil {
		c.log.conn.closeConn(c.nc)
		return fmt.Errorf("read the log for sink %s: %w", c.sink, err)
	}
	return nil
}

// durable makes the durable consumer if it is not there, and waits for the answer at most
// so long.
func (c *Consumer) durable(ctx context.Context, wait time.Duration) (jetstream.Consumer, error) {
	config := jetstream.ConsumerConfig{
		Durable:       c.opts.Lanes.durable(c.sink),
		FilterSubject: c.opts.Lanes.filter(c.log.pipeline),
		DeliverPolicy: jetstream.DeliverAllPolicy,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       c.opts.AckWait,
		MaxDeliver:    -1,
		MaxAckPending: c.opts.MaxAckPending,
	}
	if c.opts.Lanes == Live {
		// One process of the sink at a time gets the live lane, in its order; another
		// takes over when it has not asked for so long. A server that becomes the
		// leader may give the lane to a request of a connection that is gone: then
		// everybody waits as long.
		config.PriorityPolicy = jetstream.PriorityPolicyPinned
		config.PriorityGroups = []string{liveGroup}
		config.PinnedTTL = c.expiry() + 2*time.Second
		if c.log.conn.server != nil {
			// On disk it would be written, with a sync, for each delivery and again for
			// each acknowledgement: twice for each block.
			config.MemoryStorage = true
			after, err := c.applied(ctx)
			if err != nil {
				return nil, err
			}
			if after > 0 {
				config.DeliverPolicy, config.OptStartSeq = jetstream.DeliverByStartSequencePolicy, after+1
			}
		}
	}
	request, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	consumer, err := durable(request, c.js, c.log.stream(), config)
	if err != nil {
		return nil, c.log.fail(ctx, err)
	}
	return consumer, nil
}

// applied returns the sequence up to which the destination has the live lane, 0 if that is
// of another lane: sequences begin again with a log that was made again, and an epoch with it.
func (c *Consumer) applied(ctx context.Context) (uint64, error) {
	has := c.opts.Has
	if !has.Started {
		return 0, nil
	}
	tail, err := c.log.Tail(ctx, LiveLane)
	if err != nil || !tail.Found || tail.Entry.Epoch != has.Epoch || tail.Seq < has.Seq {
		return 0, err
	}
	return has.Seq, nil
}

// Next waits for the next message. It returns the cause of ctx when that ends,
// [ErrClosed] after Close, fault.Later while NATS cannot be reached, and [ErrNoMessage] once
// it is back. Next may be called again after each.
func (c *Consumer) Next(ctx context.Context) (*Message, error) {
	var m *Message
	open := true
	select {
	case m, open = <-c.ready: // messages that are here are returned before any error
	default:
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case m, open = <-c.ready:
		case err := <-c.failed:
			return nil, fmt.Errorf("read the log for sink %s: %w", c.sink, err)
		}
	}
	if !open {
		return nil, fmt.Errorf("read the log for sink %s: %w", c.sink, ErrClosed)
	}
	return m, nil
}

// Settled reports whether the message at a sequence will not come any more, to any
// process of the sink: it has been acknowledged, as everything before it in these
// lanes, or the log no longer holds it. It is safe for concurrent use, and returns
// fault.Later while NATS cannot be reached.
func (c *Consumer) Settled(ctx context.Context, seq uint64) (bool, error) {
	at, err := c.log.Position(ctx, c.sink, c.opts.Lanes)
	if err != nil || (at.Exists && at.AckFloor >= seq) {
		return err == nil, err
	}
	tail, err := c.log.At(ctx, seq)
	return err == nil && !tail.Found, err
}

// Bytes returns [ConsumeOptions.Bytes], or its default.
func (c *Consumer) Bytes() int { return c.opts.Bytes }

// Close returns what was not answered, at once rather than after AckWait,
// and closes the connection. Nothing is answered after it.
func (c *Consumer) Close() {
	c.stop()
	c.stopped.Wait()
	c.mu.Lock()
	for _, r := range c.held {
		_ = r.send("-NAK") // best effort: AckWait does it otherwise
	}
	c.mu.Unlock()
	c.unpin(context.Background())
	_ = c.nc.FlushTimeout(closeDeadline)
	c.log.conn.closeConn(c.nc)
}

// unpin lets another process of the sink have the live lane at once.
func (c *Consumer) unpin(ctx context.Context) {
	if c.opts.Lanes != Live {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, closeDeadline)
	defer cancel()
	if stream, err := c.js.Stream(ctx, c.log.stream()); err == nil {
		_ = stream.UnpinConsumer(ctx, c.opts.Lanes.durable(c.sink), liveGroup) // best effort: the pin expires otherwise
	}
}

// fetch pulls messages until ctx ends.
func (c *Consumer) fetch(ctx context.Context) {
	defer close(c.ready)
	p := &puller{open: c.durable}
	retrier, failed := fault.Retrier{Backoff: fault.Backoff{GiveUp: fault.Forever, Max: time.Second}}, false
	for ctx.Err() == nil {
		consumer, err := p.find(ctx)
		if consumer != nil { // a cluster that elects a leader for its API delivers all the same
			answered, failed := c.pull(ctx, p, consumer)
			err = p.result(err, answered, failed)
		}
		switch {
		case err != nil:
			failed = true
			c.tell(ctx, err)
			pause, _ := retrier.Pause(fault.Again(err)) // never ends
			_ = fault.Sleep(ctx, pause)                 // the loop sees ctx
		case failed:
			failed = false
			retrier.Progress()
			c.tell(ctx, ErrNoMessage)
		}
	}
}

// tell passes an error to Next.
func (c *Consumer) tell(ctx context.Context, err error) {
	select {
	case c.failed <- err:
	case <-ctx.Done():
	}
}

// pull makes one request for what there is room for and passes the messages to Next. It
// reports whether the server has answered.
func (c *Consumer) pull(ctx context.Context, p *puller, durable jetstream.Consumer) (answered bool, err error) {
	free, held := c.room()
	if free <= 0 {
		c.waitForRoom(ctx)
		return false, nil
	}
	messages := min(pullMessages, cap(c.ready)-len(c.ready))
	if c.behind != nil {
		messages = c.behind.allowed(ctx, durable, messages)
	}
	began := time.Now()
	got, answered, err := c.request(ctx, p, durable, free, messages)
	if err != nil || got > 0 || time.Since(began) > c.expiry()/2 {
		return answered, err
	}
	// An early end without a message: the next one is larger than the room.
	if held > 0 {
		c.waitForRoom(ctx)
		return answered, nil
	}
	_, answered, err = c.request(ctx, p, durable, 0, 1)
	return answered, err
}

// request requests at most so many messages, and bytes, 0 of which mean any.
func (c *Consumer) request(
	ctx context.Context, p *puller, durable jetstream.Consumer, bytes, messages int,
) (got int, answered bool, err error) {
	r := &pull{Messages: max(1, messages), Bytes: bytes}
	if c.opts.Lanes == Live {
		r.Group = liveGroup
	}
	r.take = func(msg *nats.Msg) {
		if meta, err := msg.Metadata(); err == nil && c.behind != nil {
			c.behind.came(time.Now(), len(msg.Data), meta.NumPending)
		}
		m := c.hold(msg)
		if ctx.Err() != nil { // Close returns it
			return
		}
		select {
		case c.ready <- m:
		case <-ctx.Done():
		}
	}
	answered, err = p.fetch(ctx, c.nc, durable, c.expiry(), r)
	if err != nil {
		err = c.log.fail(ctx, err)
	}
	return r.got, answered, err
}

// expiry returns how long a request waits for a message.
func (c *Consumer) expiry() time.Duration {
	switch {
	case c.opts.Pull > 0:
		return c.opts.Pull
	case c.log.conn.alone():
		return aloneExpiry
	case c.opts.Lanes == Live:
		return liveExpiry
	default:
		return pullExpiry
	}
}
