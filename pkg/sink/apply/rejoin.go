package apply

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/state"
)

// Rejoiner passes on to the Loop of a sink what the plan asks of it.
type Rejoiner struct {
	sink     string
	log      LaneReader
	requests chan state.Rejoin // holds the last that the loop has not taken
}

// NewRejoiner returns the Rejoiner of a sink.
func NewRejoiner(sink string, log LaneReader) *Rejoiner {
	return &Rejoiner{sink: sink, log: log, requests: make(chan state.Rejoin, 1)}
}

// Requests is what [Loop.Rejoin] is set to.
func (r *Rejoiner) Requests() <-chan state.Rejoin { return r.requests }

// Follow passes on the request to the sink, if the plan has one. Only one goroutine calls
// it. The error is the log's.
func (r *Rejoiner) Follow(ctx context.Context, spec state.Spec) error {
	request, asked := spec.Rejoin(r.sink)
	if !asked || request.To.Epoch != spec.Epoch {
		return nil
	}
	holds, err := r.holds(ctx, request.To.Seq)
	if err != nil || !holds {
		return err
	}
	select {
	case <-r.requests: // it is outdated
	default:
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

// rejoin takes the destination to another place of the lane. A destination that refuses
// ends the sink.
func (o *order) rejoin(request state.Rejoin) {
	if o.failure != nil {
		return
	}
	pauser := o.status.pauser()
	backoff := fault.Backoff{GiveUp: fault.Forever, Min: o.Backoff.Min, Max: cmp.Or(o.Backoff.Max, askPause)}
	var applied sink.Applied
	var live state.LiveState
	err := fault.Retry(o.take, backoff, func(ctx context.Context) error {
		err := o.caught("rejoining the live lane", func() (err error) {
			applied, err = o.Writer.Apply(ctx, []sink.Change{sink.Rejoin(request)})
			return err
		})
		if err != nil {
			return err
		}
		s, err := o.Writer.State(ctx)
		live = s.Live
		return err
	}, func(err error, _ time.Duration) { pauser.Pause(err) })
	if o.take.Err() != nil {
		return
	}
	pauser.Resume()
	if err != nil {
		o.failure = fmt.Errorf("take the live lane further on, behind block %d: %w", request.To.After()-1, err)
		o.stop(o.failure)
		return
	}
	o.known = false
	if live == request.To {
		o.Logger.Info().Uint64("from", uint64(live.After())).Uint64("rolled_back_from", uint64(request.Keep)).Uint64("rows", applied.Deleted).
			Msg("rejoined the live lane; the blocks that are missing below come as history")
	}
	if len(o.early) > 0 {
		o.again(o.take)
	}
}
