package trouble

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Stream is the share of one DoGet in the trouble. It belongs to the goroutine
// that answers the call.
type Stream struct {
	// Switches are those at the beginning of the call. They do not change in it; a
	// streaming query asks [Desk.Watch] for Head, Lag and Slow.
	Switches Switches

	desk    *Desk
	refused *Status
	failed  chan error // has room for one
	drops   bool
	began   time.Time
	sent    int   // record batches
	bytes   int64 // of everything
}

// Stream begins a DoGet: it is counted and held up. The caller ends it.
func (d *Desk) Stream(ctx context.Context) (*Stream, error) {
	d.mu.Lock()
	d.stats.Streams++
	d.stats.Open++
	s := &Stream{Switches: d.switches.clone(), desk: d, refused: d.refuse("doget"), failed: make(chan error, 1)}
	if d.open == nil {
		d.open = map[*Stream]bool{}
	}
	d.open[s] = true
	every := int64(max(s.Switches.DropEvery, 1))
	s.drops = s.Switches.DropAfter > 0 && d.stats.Streams%every == 0
	d.mu.Unlock()
	err := Wait(ctx, time.Duration(s.Switches.Latency))
	s.began = time.Now()
	return s, err
}

// End says that the call is over.
func (s *Stream) End() {
	s.desk.mu.Lock()
	defer s.desk.mu.Unlock()
	s.desk.stats.Open--
	delete(s.desk.open, s)
}

// Failed yields the status that [Desk.Fail] ends the stream with.
func (s *Stream) Failed() <-chan error { return s.failed }

// Refusal is the status that the call must end with now, if any.
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

// Sent counts a record batch and holds the stream to its bandwidth. It tells
// whether the connection must be cut now.
func (s *Stream) Sent(ctx context.Context, rows, bytes int64) (drop bool, err error) {
	s.sent++
	s.bytes += bytes
	drop = s.drops && s.sent == s.Switches.DropAfter
	s.desk.mu.Lock()
	s.desk.stats.Messages++
	s.desk.stats.Rows += rows
	s.desk.stats.Bytes += bytes
	if drop {
		s.desk.stats.Dropped++
	}
	s.desk.mu.Unlock()
	if s.Switches.Bandwidth > 0 {
		due := time.Duration(float64(s.bytes) / float64(s.Switches.Bandwidth) * float64(time.Second))
		err = Wait(ctx, due-time.Since(s.began))
	}
	return drop, err
}
