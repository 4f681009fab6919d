package apply

import (
	"context"
	"time"
)

// closingWait is how long rows of the live lane wait for the watermark of their range. It
// follows them as soon as the log has stored them, and then they share a transaction.
const closingWait = 5 * time.Millisecond

const (
	// askFirst is how long nothing may come before it is asked whether anything will: the last
	// partition is recorded as done a moment after its last entry came.
	askFirst = 10 * time.Millisecond
	// askIdle is the time between two questions.
	askIdle = 20 * time.Millisecond
	// mostAsks is how often that is asked after a message.
	mostAsks = 10
)

// collect makes batches of what was pulled: one is passed on when it is large enough,
// when its first message has waited long enough, when nothing will follow it or, on the
// live lane, when its last one ends a range. While all writers are busy it may grow further,
// up to the limits.
func (r *run) collect(ctx context.Context, in <-chan *message, out chan<- []*message) {
	defer close(out)
	var (
		batch       []*message
		rows, bytes int
		due, idle   = time.NewTimer(r.Wait), time.NewTimer(askFirst)
		waited      bool
		left        int                                      // questions
		asks        = !r.live && !r.stages && r.Ended != nil // what is staged asks by itself
	)
	defer due.Stop()
	defer idle.Stop()
	due.Stop()
	idle.Stop()
	for {
		// What the writers apply, what is decoded meanwhile and what is collected
		// have to fit into the bytes that may be in flight.
		maxBytes := r.Source.Bytes() / (r.Resize.N() + 2)
		from, to := in, out
		full := rows >= r.Rows || bytes >= maxBytes
		if full {
			from = nil
		}
		ends := r.live && len(batch) > 0 && batch[len(batch)-1].ends()
		if len(batch) == 0 || (!full && !waited && !ends) {
			to = nil
		}
		ask := idle.C
		if to != nil {
			ask = nil // the batch need not be told to go
		}
		select {
		case m, ok := <-from:
			if !ok {
				if len(batch) > 0 {
					out <- batch
				}
				return
			}
			if len(batch) == 0 {
				due.Reset(r.Wait)
			}
			batch = append(batch, m)
			rows += m.Rows
			bytes += len(m.Payload)
			r.status.more()
			if asks {
				left = mostAsks
				idle.Reset(askFirst)
			}
		case <-ask:
			left--
			switch {
			case r.Ended(ctx):
				left = 0 // nobody needs to ask again
				waited = len(batch) > 0
				r.status.ended()
			case left > 0:
				idle.Reset(askIdle)
			}
		case <-due.C:
			waited = true
		case to <- batch:
			due.Stop()
			batch, rows, bytes, waited = nil, 0, 0, false
			if left > 0 { // it may have been the last one
				idle.Reset(askFirst)
			}
		}
	}
}
