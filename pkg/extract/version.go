package extract

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sqlcheck"
	"github.com/ampipe/ampipe/pkg/state"
)

// errContinued ends an attempt to end a partition that another process has changed
// meanwhile: its record is read again.
var errContinued = errors.New("the partition was changed meanwhile")

// errMended ends the work on a partition because the plan has a later query.
var errMended = errors.New("the query was changed")

// versions is the plan as this process saw it last, and the work that one with a later
// query ends. It is safe for concurrent use.
type versions struct {
	mu   sync.Mutex
	last state.Spec
	next int
	ends map[int]waiter
}

type waiter struct {
	spec state.Spec
	end  func()
}

// mends reports whether the plan now has a later query than the plan before. A plan that
// was made anew, after the state of NATS was lost, counts from 0 again, in a later epoch
// than all before it.
func mends(now, before state.Spec) bool {
	return now.Version > before.Version && now.Epoch > before.Epoch
}

func newVersions() *versions { return &versions{ends: make(map[int]waiter)} }

// until calls end once a plan with a later query than the given one is known, unless the
// function that it returns was called before.
func (v *versions) until(spec state.Spec, end func()) (release func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if mends(v.last, spec) {
		end()
		return func() {}
	}
	id := v.next
	v.next++
	v.ends[id] = waiter{spec, end}
	return func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		delete(v.ends, id)
	}
}

// see notes the plan as it is now.
func (v *versions) see(spec state.Spec) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.last = spec
	for id, w := range v.ends {
		if mends(spec, w.spec) {
			w.end()
			delete(v.ends, id)
		}
	}
}

// watchVersion notes each version of the plan's query until ctx ends.
func (x *Extractor) watchVersion(ctx context.Context) {
	_ = x.watchSpec(ctx, func(spec state.Spec) error {
		x.versions.see(spec)
		return nil
	})
}

// watchSpec calls fn with the plan, and with each change of it, until fn returns an
// error, which it returns, or ctx ends. While NATS cannot be reached it repeats that;
// publishing reports it.
func (x *Extractor) watchSpec(ctx context.Context, fn func(state.Spec) error) error {
	retrier := fault.Retrier{Backoff: fault.Backoff{GiveUp: fault.Forever, Min: x.Backoff.Min, Max: longestPause}}
	for {
		var end error
		err := x.State.WatchSpec(ctx, func(spec state.Spec, _ uint64) error {
			retrier.Progress()
			end = fn(spec)
			return end
		})
		if end != nil || ctx.Err() != nil {
			return end
		}
		pause, _ := retrier.Pause(fault.Again(err)) // never ends
		_ = fault.Sleep(ctx, pause)                 // the next watch sees its end
	}
}

// plan reads the plan as it is now. One that is gone is written again by the planner as
// it was.
func (x *Extractor) plan(ctx context.Context) (state.Spec, *sqlcheck.Query, error) {
	spec, _, err := x.State.LoadSpec(ctx)
	if errors.Is(err, queue.ErrNotFound) {
		return x.Spec, x.Query, nil
	}
	if err != nil {
		return state.Spec{}, nil, fmt.Errorf("read the plan: %w", err)
	}
	query, err := x.queryOf(spec)
	return spec, query, err
}

// queryOf returns the query of a plan. That of a plan that was made anew may be another
// one of the same version.
func (x *Extractor) queryOf(spec state.Spec) (*sqlcheck.Query, error) {
	if spec.Query == x.Spec.Query {
		return x.Query, nil
	}
	query, err := sqlcheck.Parse(spec.Query)
	if err != nil {
		return nil, fmt.Errorf("read the query of the plan: %w", err)
	}
	return query, nil
}

// retire ends a partition of an earlier query where its lane ends. The planner sees that
// nobody has the rest, and makes a partition for it, with a lane of its own. An entry
// that ends the lane comes first: a process that was frozen before it published the next
// one finds that the lane was continued.
func (h *partitionTask) retire(ctx context.Context) error {
	if !h.ended && h.next < h.part.End { // else there is nothing that could follow
		err := h.endLane(ctx)
		if errors.Is(err, queue.ErrFenced) {
			return errContinued
		}
		if err != nil {
			return err
		}
	}
	err := h.update(ctx, func(p *state.Partition) {
		p.State, p.End = state.PartitionDone, min(p.End, h.next)
	})
	if errors.Is(err, queue.ErrFenced) {
		return errContinued // another process has done it, or has split off the tail
	}
	if err == nil && !h.part.Range().Empty() {
		h.x.ended(h.part, nil)
	}
	return err
}

// endLane publishes the entry after which nothing follows.
func (h *partitionTask) endLane(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	header := entry.Header{
		Kind: entry.Ended, Epoch: h.spec.Epoch, Network: h.spec.Network,
		Range: block.Closed(h.next, h.next), End: h.part.End,
	}
	id := fmt.Sprintf("%s/ended/%s", h.part.Lane(), h.holder)
	err := h.put(ctx, h.seq, id, entry.Group{{Header: header}})
	h.waits = false
	h.tell(nil)
	if err != nil {
		return fmt.Errorf("end lane %s: %w", h.part.Lane(), err)
	}
	h.ended = true
	return nil
}
