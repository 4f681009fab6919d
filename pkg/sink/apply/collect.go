package apply

import "time"

// closingWait is how long rows of the live lane wait for the watermark of their range. It
// follows them as soon as the log has stored them, and then they share a transaction.
const closingWait = 5 * time.Millisecond

// collect makes batches of what was pulled: one is passed on when it is large enough,
// when its first message has waited long enough or, on the live lane, when its last one
// ends a range. While all writers are busy it may grow further, up to the limits.
func (r *run) collect(in <-chan *message, out chan<- []*message) {
	defer close(out)
	var (
		batch       []*message
		rows, bytes int
		due         = time.NewTimer(r.Wait)
		waited      bool
	)
	defer due.Stop()
	due.Stop()
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
		case <-due.C:
			waited = true
		case to <- batch:
			due.Stop()
			batch, rows, bytes, waited = nil, 0, 0, false
		}
	}
}
