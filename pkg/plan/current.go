package plan

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// errOvertaken ends a round because another planner has changed the plan since it was
// read. The next round starts from the plan as it is.
var errOvertaken = errors.New("the plan was changed by another planner")

// adopt makes a plan the current one. What the steps have found stays if it is already, or
// asks other sinks to rejoin the live lane: under another plan none of that counts.
func (r *reconciler) adopt(spec state.Spec, rev uint64) {
	if r.rev == rev && r.spec.Epoch == spec.Epoch { // revisions begin again when the state was deleted
		return
	}
	if rev < r.rev {
		r.forget()
	}
	same := onlyRejoins(r.spec, spec)
	r.spec, r.rev = spec, rev
	if same {
		return
	}
	r.fill.unplanned = block.Set{}
	clear(r.queue.queued)
	clear(r.sinks.drained)
	clear(r.live.lagging)
}

// forget drops what is known of the documents: the state was deleted, and its revisions begin
// again.
func (r *reconciler) forget() {
	r.stored, r.lagging, r.merge.clean = nil, nil, false
	r.changes.forget()
}

// onlyRejoins reports whether two plans differ at most in what they ask of sinks.
func onlyRejoins(a, b state.Spec) bool {
	a.Rejoins, b.Rejoins = nil, nil
	return reflect.DeepEqual(a, b)
}

// readPlan makes the plan as it is stored the current one. One that is gone, which
// only a loss or somebody's change of the state can bring about, is written again as it
// was last known, as a new one: nothing of its live lane counts before the sinks were asked.
func (r *reconciler) readPlan(ctx context.Context, _ *round) error {
	spec, rev, err := r.State.LoadSpec(ctx)
	switch {
	case errors.Is(err, queue.ErrNotFound):
		err = r.restorePlan(ctx)
	case err != nil:
		return fmt.Errorf("read the plan: %w", err)
	default:
		r.adopt(spec, rev)
	}
	if r.since == 0 || r.rev < r.since {
		r.since = r.rev
	}
	return err
}

func (r *reconciler) restorePlan(ctx context.Context) error {
	r.rev = 0
	r.forget()
	err := r.change(ctx, func(s *state.Spec) {
		s.Epoch, s.Planned = max(s.Epoch+1, uint64(time.Now().Unix())), time.Now().UTC()
		if s.Live != nil {
			s.Live.Tentative = true
		}
	})
	if err == nil {
		r.ask()
		r.Logger.Warn().Msg("the plan was gone from the state; it is written again")
	}
	return err
}

// outdate begins a version that is later than those of all partitions. A plan is of an
// earlier one if a planner of an older release, which drops the version, has written it
// since, or if it was made anew while the partitions stayed. Nobody would read a
// partition of a later version, and which query that was is not known any more.
func (r *reconciler) outdate(ctx context.Context, parts []state.Partition) error {
	latest := 0
	for _, p := range parts {
		latest = max(latest, p.Version)
	}
	if latest <= r.spec.Version {
		return nil
	}
	r.Logger.Warn().Int("version", latest+1).
		Msg("the plan has lost the version of its query; what is not loaded is read with the query that the plan has")
	return r.change(ctx, func(s *state.Spec) {
		s.LiveFrom = s.FirstLive()
		s.Version = latest + 1
	})
}

// change writes the plan anew if it is still the one of this round.
// Otherwise the error is [errOvertaken].
func (r *reconciler) change(ctx context.Context, how func(*state.Spec)) error {
	spec := r.spec
	if spec.Live != nil {
		origin := *spec.Live
		spec.Live = &origin
	}
	how(&spec)
	rev, err := r.save(ctx, &spec, r.rev)
	if errors.Is(err, queue.ErrConflict) {
		return errOvertaken
	}
	if err != nil {
		return fmt.Errorf("write the plan: %w", err)
	}
	r.adopt(spec, rev)
	return nil
}

// save writes a plan. So that a query can be mended however often, the oldest one is
// forgotten if the plan is larger than a message may be.
func (p *Planner) save(ctx context.Context, spec *state.Spec, rev uint64) (uint64, error) {
	for {
		now, err := p.State.SaveSpec(ctx, *spec, rev)
		if _, large := errors.AsType[*queue.PlanTooLargeError](err); !large || len(spec.Earlier) == 0 {
			return now, err
		}
		p.Logger.Warn().Int("version", spec.Earlier[0].Version).
			Msg("the plan with all earlier queries is larger than a message of NATS may be: " +
				"the oldest query is forgotten, and verify cannot compare with it")
		spec.Earlier = slices.Clone(spec.Earlier[1:])
	}
}

// sinkNames returns the names of those that are waited for, whose entries are kept, and
// which have to be complete: those of the plan, so that all planners mean the same
// while a new configuration is rolled out.
func (r *reconciler) sinkNames() []string {
	if len(r.spec.Sinks) > 0 {
		return r.spec.Sinks
	}
	return r.configured() // the plan is of an older version
}
