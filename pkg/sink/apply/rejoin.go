package apply

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/state"
)

// Rejoiner passes on to the Loop of a sink what the plan asks of it. Its methods may be
// called concurrently.
type Rejoiner struct {
	sink     string
	log      LaneReader
	requests chan state.Rejoin // holds the last that the loop has not taken

	mu   sync.Mutex
	spec state.Spec // the plan as it was last seen
}

// NewRejoiner returns the Rejoiner of a sink.
func NewRejoiner(sink string, log LaneReader) *Rejoiner {
	return &Rejoiner{sink: sink, log: log, requests: make(chan state.Rejoin, 1)}
}

// Requests is what [Loop.Rejoin] is set to.
func (r *Rejoiner) Requests() <-chan state.Rejoin { return r.requests }

// Follow passes on the request to the sink, if the plan has one. The error is the log's.
func (r *Rejoiner) Follow(ctx context.Context, spec state.Spec) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spec = spec
	return r.pass(ctx)
}

// Renew looks again whether a request still holds that no loop has taken. It is called
// before a loop runs: the sink may have been paused for long.
func (r *Rejoiner) Renew(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pass(ctx)
}

// pass makes the request of the plan the one that the loop takes next, or none. Caller
// holds mu.
func (r *Rejoiner) pass(ctx context.Context) error {
	select {
	case <-r.requests: // it is outdated
	default:
	}
	request, asked := r.spec.Rejoin(r.sink)
	if !asked || request.To.Epoch != r.spec.Epoch {
		return nil
	}
	holds, err := r.holds(ctx, request.To.Seq)
	if err != nil || !holds {
		return err
	}
	r.requests <- request
	return nil
}

// holds reports whether the log still holds every live entry behind one. Otherwise the
// request is of before the log was trimmed: a reorg that the sink has not heard of may be
// among what is gone, and the planner asks again.
func (r *Rejoiner) holds(ctx context.Context, seq uint64) (bool, error) {
	m, err := r.log.Read(ctx, queue.LiveLane, seq)
	if err != nil || m == nil {
		return false, err
	}
	return m.Seq == seq || m.After == seq, nil
}

// rejoin takes the destination to another place of the lane, unless it is elsewhere by now
// than the request says. A destination that refuses ends the sink.
func (o *order) rejoin(request state.Rejoin) {
	if o.failure != nil {
		return
	}
	pauser := o.status.pauser()
	backoff := fault.Backoff{GiveUp: fault.Forever, Min: o.Backoff.Min, Max: cmp.Or(o.Backoff.Max, askPause)}
	moved := false
	err := fault.Retry(o.take, backoff, func(ctx context.Context) error {
		return o.caught("rejoining the live lane", func() (err error) {
			moved, err = o.tryRejoin(ctx, request)
			return err
		})
	}, func(err error, _ time.Duration) { pauser.Pause(err) })
	if o.take.Err() != nil {
		return
	}
	pauser.Resume()
	if err != nil {
		o.failure = fmt.Errorf("rejoin the live lane at block %d: %w", request.To.Start, err)
		o.stop(o.failure)
		return
	}
	if !moved {
		return
	}
	o.Logger.Info().Uint64("at", uint64(request.To.Start)).Uint64("has_until", uint64(request.Keep)).
		Msg("rejoined the live lane; the blocks that are missing come as history")
	o.known = false
	if len(o.early) > 0 {
		o.again(o.take)
	}
}

// tryRejoin reports whether the destination was where the request says, and has rejoined.
func (o *order) tryRejoin(ctx context.Context, request state.Rejoin) (moved bool, err error) {
	s, err := o.Writer.State(ctx)
	if err != nil || s.Live != request.From {
		return false, err
	}
	o.run.steps.begin(s.Live)
	if o.DeadLetters != nil {
		err := o.DeadLetters.TakeBack(ctx, request.Keep, request.To.Epoch, request.To.Seq)
		if err != nil {
			return false, fmt.Errorf("remove dead letters: %w", err)
		}
	}
	change := sink.Rejoin(request)
	begin := time.Now()
	applied, err := o.Writer.Apply(ctx, []sink.Change{change})
	if err != nil {
		return false, err
	}
	step := o.run.steps.take(change)
	if !step.Blocks.Empty() {
		o.Observer.OnApplied(Commit{Applied: applied, Took: time.Since(begin), Live: []LiveStep{step}})
	}
	return true, nil
}
