package apply

import "time"

// collect makes batches of what was pulled: one is passed on when it is large enough,
// or when its first message has waited long enough. While all writers are busy it may
// grow further, up to the limits.
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
		if len(batch) == 0 || (!full && !waited) {
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
