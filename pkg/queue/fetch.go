package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// headerPin is the header by which a process learns that it has the live lane.
const headerPin = "Nats-Pin-Id"

// pull is a request for messages of a consumer.
type pull struct {
	Expires  time.Duration `json:"expires"`
	Messages int           `json:"batch"`
	Bytes    int           `json:"max_bytes,omitempty"` // 0: any
	Group    string        `json:"group,omitempty"`
	Pin      string        `json:"id,omitempty"`

	take  func(*nats.Msg)
	over  bool  // the server sends no more
	err   error // what the server has ended it with
	got   int
	bytes int // of got
}

// fetch makes a request, which lasts a little less than so long, and passes each message to
// take. It reports whether the server has answered. An error is not classed.
//
// The server says when a request is over, except by its last message. If it is silent for a
// second longer, the bytes have come by our count, or ctx ends, it is told that the request is
// over, and what it has sent before it heard so is taken: left alone, as nats.go's own fetch
// does, it would come again only after the consumer's AckWait. The counts of bytes differ, as
// the server does not count the header with the pin.
func (p *puller) fetch(
	ctx context.Context, nc *nats.Conn, consumer jetstream.Consumer, wait time.Duration, r *pull,
) (answered bool, err error) {
	r.Expires, r.Pin = wait-min(wait/10, time.Second), p.pinned()
	request, err := json.Marshal(r)
	if err != nil {
		return false, err
	}
	inbox, came := nc.NewInbox(), make(chan *nats.Msg, 2*r.Messages)
	sub, err := nc.ChanSubscribe(inbox, came)
	if err != nil {
		return false, err
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only if there is none any more
	info := consumer.CachedInfo()
	if err := nc.PublishRequest(jetstream.DefaultAPIPrefix+"CONSUMER.MSG.NEXT."+info.Stream+"."+info.Name, inbox, request); err != nil {
		return false, err
	}
	silence := time.NewTimer(r.Expires + time.Second)
	defer silence.Stop()
	for waiting := true; waiting && !r.over; {
		select {
		case msg := <-came:
			p.came(r, msg)
			silence.Reset(r.Expires + time.Second)
			waiting = r.Bytes == 0 || r.bytes < r.Bytes
		case <-ctx.Done():
			waiting = false
		case <-silence.C:
			waiting = false
		}
	}
	if !r.over {
		flush(ctx, nc, sub, info.Config.AckWait)
		if ctx.Err() != nil {
			flush(context.WithoutCancel(ctx), nc, sub, closeDeadline)
		}
	}
	for len(came) > 0 && !r.over {
		p.came(r, <-came)
	}
	return r.err == nil && (r.over || r.got > 0), r.err
}

// flush ends a subscription at the server, and waits at most so long until everything that the
// server has sent for it is here.
func flush(ctx context.Context, nc *nats.Conn, sub *nats.Subscription, wait time.Duration) {
	if !nc.IsConnected() { // what was sent is lost with the connection
		return
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if sub.Drain() == nil {
		_ = nc.FlushWithContext(ctx) // what is not here by then comes again
	}
}

// came deals with one answer to a request.
func (p *puller) came(r *pull, msg *nats.Msg) {
	status := msg.Header.Get("Status")
	if status == "" || len(msg.Data) > 0 {
		if pin := msg.Header.Get(headerPin); pin != "" {
			p.setPin(pin)
		}
		r.got++
		r.bytes += msg.Size()
		r.over = r.got == r.Messages
		r.take(msg)
		return
	}
	if status == "423" { // another process has the lane now; the next request waits for it
		p.setPin("")
	}
	r.over, r.err = ended(status, msg.Header.Get("Description"))
}

// ended reports whether the server has ended a request, and the error if it did so before its
// time and bytes were used up.
func ended(status, text string) (over bool, err error) {
	lower := strings.ToLower(text)
	conflict := func(about string) bool { return status == "409" && strings.Contains(lower, about) }
	switch {
	case status == "100": // a heartbeat
		return false, nil
	case status == "404", status == "408", status == "423", conflict("exceeds maxbytes"), conflict("batch completed"):
		return true, nil
	case status == "400":
		return true, jetstream.ErrBadRequest
	case status == "503":
		return true, nats.ErrNoResponders
	case conflict("consumer deleted"):
		return true, jetstream.ErrConsumerDeleted
	case conflict("leadership change"):
		return true, jetstream.ErrConsumerLeadershipChanged
	case conflict("server shutdown"):
		return true, jetstream.ErrServerShutdown
	default:
		return true, fmt.Errorf("nats: %s", text)
	}
}

func (p *puller) pinned() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pin
}

func (p *puller) setPin(pin string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pin = pin
}
