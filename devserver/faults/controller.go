package faults

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Controller holds the switches and the counters. The zero value is a
// server that behaves. It is safe for concurrent use.
type Controller struct {
	mu       sync.Mutex
	switches Switches
	changed  chan struct{} // closed when switches are set; nil if nothing waits
	refusals int           // calls that Switches.Status has answered
	stats    Stats
	open     map[*Stream]bool
}

// Stats count what a server has done since it started.
type Stats struct {
	Infos    int64 `json:"infos"`    // calls of GetFlightInfo
	Streams  int64 `json:"streams"`  // calls of DoGet
	Open     int64 `json:"open"`     // streams that have not ended
	Messages int64 `json:"messages"` // record batches sent, empty ones included
	Rows     int64 `json:"rows"`
	Bytes    int64 `json:"bytes"`   // of headers, bodies and metadata
	Dropped  int64 `json:"dropped"` // connections cut by a switch
	Refused  int64 `json:"refused"` // calls answered by a switch
}

// Set replaces the switches. The count of refusals starts again.
func (c *Controller) Set(s Switches) error {
	if err := s.Validate(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.switches, c.refusals = s, 0
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
	return nil
}

// Watch returns the switches as they are, and a channel that is closed when they
// are set again.
func (c *Controller) Watch() (Switches, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	return c.switches.clone(), c.changed
}

// Fail ends every stream that is open now with a status, before the next thing
// it would send. It returns how many there were.
func (c *Controller) Fail(code codes.Code, text string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	ended := 0
	for s := range c.open {
		select {
		case s.failed <- status.Error(code, text):
			ended++
		default: // it is about to end already
		}
	}
	c.stats.Refused += int64(ended)
	return ended
}

// Switches returns a copy of the switches as they are.
func (c *Controller) Switches() Switches {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.switches.clone()
}

// Stats returns the counters as they are.
func (c *Controller) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

// Info counts a GetFlightInfo, holds it up and may refuse it.
func (c *Controller) Info(ctx context.Context) error {
	c.mu.Lock()
	c.stats.Infos++
	s := c.switches
	refused := c.refuse("info")
	c.mu.Unlock()
	if err := Wait(ctx, time.Duration(s.Latency)); err != nil {
		return err
	}
	if refused != nil {
		return status.Error(codes.Code(refused.Code), refused.Text)
	}
	return nil
}

// refuse takes one of the refusals there are left; the caller holds the lock.
func (c *Controller) refuse(at string) *Status {
	s := c.switches.Status
	if s == nil || s.At != at || (s.Times > 0 && c.refusals >= s.Times) {
		return nil
	}
	c.refusals++
	c.stats.Refused++
	return s
}

// Wait sleeps unless ctx ends first.
func Wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
