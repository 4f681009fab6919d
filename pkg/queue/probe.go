package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ampipe/ampipe/pkg/fault"
)

// probeStream is made to learn what NATS has room for, and deleted at once. One that a
// killed process has left behind is deleted by the next.
const probeStream = "AMPIPE_CHECK"

// errProbe says that a probe is not possible: the user may not make it, or
// another process has one just now.
var errProbe = errors.New("what NATS has room for cannot be tried")

// probe makes streams of some size. It has a connection of its own, since a refused
// request closes that of a [Conn].
type probe struct {
	conn     *Conn
	nc       *nats.Conn
	js       jetstream.JetStream
	replicas int
	refused  chan struct{} // closed when the user may not do what is asked for
}

// probe connects, and finds out whether the user may do what is needed.
func (c *Conn) probe(ctx context.Context) (*probe, error) {
	p := &probe{conn: c, replicas: c.cfg.Replicas, refused: make(chan struct{})}
	nc, err := c.dial(nats.ErrorHandler(func(nc *nats.Conn, _ *nats.Subscription, err error) {
		if errors.Is(err, nats.ErrPermissionViolation) && !nc.IsClosed() {
			close(p.refused)
			nc.Close()
		}
	}))
	if err != nil {
		return nil, err
	}
	p.nc = nc
	if p.js, err = jetstream.New(nc, jetstream.WithDefaultTimeout(apiWait)); err == nil {
		err = p.delete(ctx) // its right is needed before anything is made
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// left returns how much of need the server has room for.
func (c *Conn) left(ctx context.Context, need int64) (int64, error) {
	p, err := c.probe(ctx)
	if err != nil {
		return 0, err
	}
	defer p.close()
	return p.largest(ctx, need)
}

// probeAge is how old a probe is at least that was left behind.
const probeAge = time.Minute

// sweep deletes a probe that a killed process has left behind: what it reserves is lacking
// elsewhere. A younger one may be in use; one that cannot be deleted is left to the next
// process.
func (c *Conn) sweep(ctx context.Context, age time.Duration) {
	stream, err := c.js.Stream(ctx, probeStream)
	if err != nil {
		return // mostly: there is none
	}
	info := stream.CachedInfo()
	if info.TimeStamp.Sub(info.Created) < age {
		return
	}
	if p, err := c.probe(ctx); err == nil { // which deletes it
		p.close()
	}
}

func (p *probe) close() { p.conn.closeConn(p.nc) }

// probeRemoval is how long a server gets to remove the folder of a deleted probe before
// the next stream is made. A stream for which no folder can be made is refused, and
// nats-server 2.15 then takes off what it would have reserved, which it had not put on:
// from then on it believes that it has more room than there is.
const probeRemoval = folderRemoval / 5

// delete removes the stream, or what was left behind of it, and waits until its folder is
// gone.
func (p *probe) delete(ctx context.Context) error {
	err := p.js.DeleteStream(ctx, probeStream)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return nil
	case err != nil:
		return p.explain(err)
	}
	return fault.Sleep(ctx, probeRemoval)
}

// explain distinguishes a refused request from one that failed.
func (p *probe) explain(err error) error {
	if err == nil {
		return nil
	}
	select {
	case <-p.refused:
		return fmt.Errorf("%w: %w", errProbe, err)
	default:
		return err
	}
}

// fits reports whether NATS takes a stream that reserves so many bytes. The one that was
// deleted before may still be in the way: its folder for a moment, and in a cluster also
// what it has reserved.
func (p *probe) fits(ctx context.Context, bytes int64) (fits bool, err error) {
	for range 4 {
		fits, err = p.try(ctx, bytes)
		late := err == nil && !fits && p.replicas > 1
		others := errors.Is(err, jetstream.ErrStreamNameAlreadyInUse)
		if !late && !others && code(err) != codeStoreNotMade {
			break
		}
		if others { // of a process that has its answer already, or was killed
			if err := p.delete(ctx); err != nil {
				return false, err
			}
		}
		if err := fault.Sleep(ctx, probeRemoval); err != nil {
			return false, err
		}
	}
	return fits, err
}

// try makes the stream once, and deletes it.
func (p *probe) try(ctx context.Context, bytes int64) (bool, error) {
	_, err := p.js.CreateStream(ctx, jetstream.StreamConfig{
		Name: probeStream, Description: "ampipe: tries what there is room for; may be deleted",
		Storage: jetstream.FileStorage, MaxBytes: bytes, Replicas: p.replicas, Discard: jetstream.DiscardNew,
	})
	switch {
	case err == nil:
		return true, p.delete(context.WithoutCancel(ctx))
	case noRoom(err):
		return false, nil
	case errors.Is(err, jetstream.ErrStreamNameAlreadyInUse), code(err) == codeTooManyStreams, code(err) == codeStreamTooLarge:
		return false, fmt.Errorf("%w: %w", errProbe, err)
	default: // it may have been made all the same: the caller was interrupted, or the answer was lost
		err = p.explain(err)
		if !errors.Is(err, errProbe) {
			_ = p.delete(context.WithoutCancel(ctx)) // best effort: the next probe deletes it otherwise
		}
		return false, err
	}
}

// probePause is how long the probe of another process is waited for: what it reserves is
// not to count.
const probePause = time.Second

// largest returns how much of need NATS has room for, to a MiB.
func (p *probe) largest(ctx context.Context, need int64) (int64, error) {
	fits, err := p.fits(ctx, need)
	if err == nil && !fits {
		if err = fault.Sleep(ctx, probePause); err == nil {
			fits, err = p.fits(ctx, need)
		}
	}
	if err != nil || fits {
		return need, err
	}
	top := need>>20 + 1
	low, high := int64(0), top // MiB; low fits, high does not
	for {
		middle := (low + high) / 2
		if middle == low { // high is asked again: a cluster releases late what was deleted
			middle = high
		}
		if middle == top {
			return low << 20, nil
		}
		fits, err := p.fits(ctx, middle<<20)
		switch {
		case err != nil:
			return 0, err
		case fits && middle == high:
			low, high = middle, top
		case fits:
			low = middle
		case middle == high:
			return low << 20, nil
		default:
			high = middle
		}
	}
}

// noRoom reports whether a stream was refused because nothing is left for it.
func noRoom(err error) bool {
	switch code(err) {
	case codeNoStorage, codeNoCapacity, codeAccountResources:
		return true
	case codeNoPeers: // or servers of a cluster are away
		return strings.Contains(err.Error(), "insufficient storage") && !strings.Contains(err.Error(), "offline")
	default:
		return false
	}
}
