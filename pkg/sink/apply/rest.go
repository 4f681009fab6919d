package apply

import "context"

// Rest stands in for Run while the sink is paused because a person has asked for that: it
// takes no entries, and reports what the destination holds, and the reason, until ctx ends.
// It needs no Source. The report stays as it is then: nobody has resumed the sink.
func (l *Loop) Rest(ctx context.Context, reason error) {
	r := &run{Loop: *l, status: &status{observer: nopObserver{}}}
	r.status.pauser().Pause(reason)
	(&reporter{run: r, byRequest: true}).loop(ctx)
	<-ctx.Done() // also if nobody wants a report
}
