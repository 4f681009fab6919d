package extract

import (
	"context"
	"time"

	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/trace"
)

// publisher appends to a lane and reports to the observer what it waits for.
type publisher struct {
	x     *Extractor
	lane  string
	name  string // by which the observer knows it
	seq   uint64 // of the lane's last message
	waits bool   // it does, and the observer knows
	trace *trace.Lane
}

// put appends a group behind a message of the lane, as one atomic step. A full log makes it
// wait with the same entries.
func (p *publisher) put(ctx context.Context, after uint64, id string, group entry.Group) error {
	ctx, traced := p.trace.Publish(ctx, group)
	seq, err := p.x.Log.PublishWait(ctx, p.lane, after, id, group, func(reason error, _ time.Duration) {
		p.waits = true
		traced.Waits(reason)
		p.tell(reason)
	})
	traced.End(err)
	if err != nil {
		return err
	}
	p.seq = seq
	if p.waits {
		p.waits = false
		p.tell(nil)
	}
	return nil
}

// tell reports what the lane waits for; nil: nothing.
func (p *publisher) tell(reason error) {
	if p.x.Observer != nil {
		p.x.Observer.Waiting(p.name, reason)
	}
}
