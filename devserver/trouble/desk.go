package trouble

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Desk is where switches are set and counters are read. The zero value is a
// server that behaves. It is safe for concurrent use.
type Desk struct {
	mu       sync.Mutex
	switches Switches
	changed  chan struct{} // closed when switches are set; nil if nobody waits
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

// Set replaces the switches. A count of refusals begins anew.
func (d *Desk) Set(s Switches) error {
	if err := s.Validate(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.switches, d.refusals = s, 0
	if d.changed != nil {
		close(d.changed)
		d.changed = nil
	}
	return nil
}

// Watch returns the switches as they are, and a channel that is closed when they
// are set again.
func (d *Desk) Watch() (Switches, <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.changed == nil {
		d.changed = make(chan struct{})
	}
	return d.switches.clone(), d.changed
}

// Fail ends every stream that is open now with a status, before the next thing
// it would send. It tells how many there were.
func (d *Desk) Fail(code codes.Code, text string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	ended := 0
	for s := range d.open {
		select {
		case s.failed <- status.Error(code, text):
			ended++
		default: // it is about to end already
		}
	}
	d.stats.Refused += int64(ended)
	return ended
}

// Switches returns a copy of the switches as they are.
func (d *Desk) Switches() Switches {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.switches.clone()
}

// Stats returns the counters as they are.
func (d *Desk) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stats
}

// Info counts a GetFlightInfo, holds it up and may refuse it.
func (d *Desk) Info(ctx context.Context) error {
	d.mu.Lock()
	d.stats.Infos++
	s := d.switches
	refused := d.refuse("info")
	d.mu.Unlock()
	if err := Wait(ctx, time.Duration(s.Latency)); err != nil {
		return err
	}
	if refused != nil {
		return status.Error(codes.Code(refused.Code), refused.Text)
	}
	return nil
}

// refuse takes one of the refusals there are left; the caller holds the lock.
func (d *Desk) refuse(at string) *Status {
	s := d.switches.Status
	if s == nil || s.At != at || s.Times > 0 && d.refusals >= s.Times {
		return nil
	}
	d.refusals++
	d.stats.Refused++
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
