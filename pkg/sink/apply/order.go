package apply

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
)

const (
	// patience is how long an entry that came before its predecessor waits for it
	// here before the destination is asked whether it has it after all.
	patience = 2 * time.Second
	// askPause is the longest pause before a destination is asked again that did not say
	// how far it is.
	askPause = 5 * time.Second
	// lookEvery is how often that is looked at while one waits.
	lookEvery = 500 * time.Millisecond
)

// order passes the entries of the live lane on in their order, whatever order they
// are delivered in: redeliveries come late, and a process that takes over from
// another gets the newest first. What is applied already is passed on as well; the
// destination skips it. Only its goroutine uses it.
type order struct {
	*run
	take context.Context
	out  chan<- *message

	known   bool // what follows is as the destination says
	started bool
	epoch   uint64
	seq     uint64 // last passed on

	failure error // of the destination, for good; nothing is passed on any more

	early map[uint64]*message // by the sequence that they follow
	since time.Time           // when early was last empty, or anything was passed on
}

// order runs until in is closed, and returns to the log what still waits.
// A destination that cannot say how far it is ends it with that error.
func (r *run) order(take context.Context, in <-chan *message, out chan<- *message) error {
	defer close(out)
	o := &order{run: r, take: take, out: out, early: map[uint64]*message{}}
	defer func() {
		for _, m := range o.early {
			m.nak(0)
		}
	}()
	var look <-chan time.Time // nil: nothing waits
	for {
		if len(o.early) == 0 {
			look = nil
		} else if look == nil {
			look = time.After(lookEvery)
		}
		select {
		case m, ok := <-in:
			if !ok {
				return o.failure
			}
			if !o.read(take) {
				m.nak(0)
				continue
			}
			o.place(m)
		case <-r.gap:
			o.known, o.started = false, false
		case request := <-r.Rejoin:
			o.rejoin(request)
		case <-look:
			look = nil
			if time.Since(o.since) >= patience {
				o.again(take)
			}
		}
	}
}

// read asks the destination how far it is, if that is not known. It returns false
// when told to stop, and when the destination cannot be asked, which stops the sink.
func (o *order) read(take context.Context) bool {
	if o.known || o.failure != nil {
		return o.failure == nil
	}
	pauser := o.status.pauser()
	backoff := fault.Backoff{GiveUp: fault.Forever, Min: o.Backoff.Min, Max: cmp.Or(o.Backoff.Max, askPause)}
	err := fault.Retry(take, backoff, func(ctx context.Context) error {
		s, err := o.Writer.State(ctx)
		if err == nil {
			o.run.steps.begin(s.Live)
		}
		// What was passed on may not be committed yet; it still counts.
		if l := s.Live; err == nil && (!o.started || l.Epoch > o.epoch || (l.Epoch == o.epoch && l.Seq > o.seq)) {
			o.started, o.epoch, o.seq = l.Started, l.Epoch, l.Seq
		}
		return err
	}, func(err error, _ time.Duration) { pauser.Pause(err) })
	o.known = err == nil
	if o.known {
		pauser.Resume()
	}
	if err != nil && take.Err() == nil {
		o.failure = fmt.Errorf("ask the destination how far it is in the live lane: %w", err)
		o.stop(o.failure)
	}
	return o.known
}

// place passes an entry on if it is its turn, and those that waited for it.
func (o *order) place(m *message) {
	for m != nil && o.turn(m) {
		o.since = time.Now()
		o.stall.lacks(nil)
		if !o.started && (m.Kind == entry.Watermark || m.Part > 0) {
			// It closes a range of which this destination has nothing, or continues with a
			// block whose beginning it lacks: the first entry after it begins its live
			// lane, and what lies below comes as history.
			m.ack()
			next := o.early[m.Seq]
			delete(o.early, m.Seq)
			m = next
			continue
		}
		if m.Epoch > o.epoch || m.Seq > o.seq || !o.started {
			o.started, o.epoch, o.seq = true, m.Epoch, m.Seq
		}
		o.out <- m
		next := o.early[m.Seq]
		delete(o.early, m.Seq)
		m = next
	}
	o.passOvertaken()
	if m == nil {
		return
	}
	if len(o.early) == 0 {
		o.since = time.Now()
	}
	if old := o.early[m.After]; old != nil {
		old.nak(early)
	}
	o.early[m.After] = m
}

// passOvertaken passes on what has waited for an entry that does not come any more: another
// process has applied it, or the destination has rejoined the lane beyond it. While others
// follow, nothing else would look at it, and the log would keep it for this sink.
func (o *order) passOvertaken() {
	for after, m := range o.early {
		if o.started && (m.Epoch < o.epoch || (m.Epoch == o.epoch && m.Seq <= o.seq)) {
			delete(o.early, after)
			o.out <- m
		}
	}
}

// turn reports whether nothing has to be applied before m.
func (o *order) turn(m *message) bool {
	if !o.started && !o.first(m) {
		return false
	}
	switch {
	case !o.started, m.Epoch < o.epoch:
		return true
	case m.Epoch > o.epoch:
		return m.After == 0
	default:
		return m.Seq <= o.seq || m.After == o.seq
	}
}

// first reports whether m can be the first entry of a destination: what came before it
// in the lane is not on its way any more, to this process or to another. An entry that
// is may be the one that begins the lane, however late it comes. What became of it is
// asked after it is known to be settled; it may have made a beginning after all.
func (o *order) first(m *message) bool {
	if m.After == 0 {
		return true
	}
	settled, err := o.Source.Settled(o.take, m.After)
	if err != nil || !settled {
		return false // it is asked again when m has waited
	}
	o.known = false
	return o.read(o.take)
}

// again asks the destination, which another process may have written to, and returns to
// the log what still has to wait.
func (o *order) again(take context.Context) {
	o.known = false
	if !o.read(take) {
		return
	}
	var turn *message
	for _, m := range o.early {
		if o.turn(m) {
			turn = m
			break
		}
	}
	if turn != nil {
		delete(o.early, turn.After)
		o.place(turn)
		return
	}
	first := slices.Min(slices.Collect(maps.Keys(o.early)))
	o.stall.lacks(&gap{next: o.early[first].Seq, after: first, started: o.started, epoch: o.epoch, last: o.seq})
	for after, m := range o.early {
		m.nak(early)
		delete(o.early, after)
	}
}
