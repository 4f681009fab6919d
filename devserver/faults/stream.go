package faults

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Stream applies the faults to one DoGet. It belongs to the goroutine
// that answers the call.
type Stream struct {
	// Switches are those at the beginning of the call. They do not change in it; a
	// streaming query asks [Controller.Watch] for Head, Lag and Slow.
	Switches Switches

	controller *Controller
	refused    *Status
	failed     chan error // has room for one
	drops      bool
	began      time.Time
	sent       int   // record batches
	bytes      int64 // of everything
}

// Stream begins a DoGet: it is counted and held up. The caller ends it.
func (c *Controller) Stream(ctx context.Context) (*Stream, error) {
	c.mu.Lock()
	c.stats.Streams++
	c.stats.Open++
	s := &Stream{Switches: c.switches.clone(), controller: c, refused: c.refuse("doget"), failed: make(chan error, 1)}
	if c.open == nil {
		c.open = map[*Stream]bool{}
	}
	c.open[s] = true
	every := int64(max(s.Switches.DropEvery, 1))
	s.drops = s.Switches.DropAfter > 0 && c.stats.Streams%every == 0
	c.mu.Unlock()
	err := Wait(ctx, time.Duration(s.Switches.Latency))
	s.began = time.Now()
	return s, err
}

// End ends the call.
func (s *Stream) End() {
	s.controller.mu.Lock()
	defer s.controller.mu.Unlock()
	s.controller.stats.Open--
	delete(s.controller.open, s)
}

// Failed returns a channel with the status that [Controller.Fail] ends the stream with.
func (s *Stream) Failed() <-chan error { return s.failed }

// Refusal returns the status that the call must end with now, if any.
func (s *Stream) Refusal() error {
	select {
	case err := <-s.failed:
		return err
	default:
	}
	if s.refused == nil || s.sent < s.refused.After {
		return nil
	}
	return status.Error(codes.Code(s.refused.Code), s.refused.Text)
}

// Sending holds the stream to its bandwidth: it waits until a message of so many bytes, which is
// sent next, would have arrived.
func (s *Stream) Sending(ctx context.Context, bytes int64) error {
	s.bytes += bytes
	if s.Switches.Bandwidth == 0 {
		return nil
	}
	due := time.Duration(float64(s.bytes) / float64(s.Switches.Bandwidth) * float64(time.Second))
	return Wait(ctx, due-time.Since(s.began))
}

// Sent counts a record batch. It reports whether the connection must be cut now.
func (s *Stream) Sent(rows, bytes int64) (drop bool) {
	s.sent++
	drop = s.drops && s.sent == s.Switches.DropAfter
	s.controller.mu.Lock()
	defer s.controller.mu.Unlock()
	s.controller.stats.Messages++
	s.controller.stats.Rows += rows
	s.controller.stats.Bytes += bytes
	if drop {
		s.controller.stats.Dropped++
	}
	return drop
}
