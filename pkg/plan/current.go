package plan

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// errOvertaken ends a round because another planner has changed the plan since it was
// read. The next round starts from the plan as it is.
var errOvertaken = errors.New("the plan was changed by another planner")

// current is the plan of a round, and what earlier rounds have found under
// it. Under another plan none of that counts.
type current struct {
	spec state.Spec
	rev  uint64 // of spec; 0: not read yet

	queued    map[string]bool    // open partitions whose tasks this planner has seen queued
	drained   map[string]drained // by sink that was at the log's end
	lagging   map[string]lagging // by sink
	unplanned []block.Range      // blocks without a partition in the last round
}

// drained is a sink that was seen at the log's end.
type drained struct {
	parts    uint64    // latest revision of a partition when it was first seen there
	read     time.Time // the destination last
	readings int       // since it was first seen there
}

// adopt makes a plan the current one. What was found under it stays if it is already.
func (c *current) adopt(spec state.Spec, rev uint64) {
	if c.rev == rev && c.spec.Epoch == spec.Epoch { // revisions begin again when the state was deleted
		return
	}
	*c = current{
		spec: spec, rev: rev,
		queued: map[string]bool{}, drained: map[string]drained{}, lagging: map[string]lagging{},
	}
}

// readPlan makes the plan as it is stored the current one. One that is gone, which
// only a loss or somebody's change of the state can bring about, is written again as it
// was last known, as a new one: nothing of its live lane counts before the sinks were asked.
func (w *reconciler) readPlan(ctx context.Context) error {
	spec, rev, err := w.State.LoadSpec(ctx)
	switch {
	case errors.Is(err, queue.ErrNotFound):
		err = w.restorePlan(ctx)
	case err != nil:
		return fmt.Errorf("read the plan: %w", err)
	default:
		w.adopt(spec, rev)
	}
	if w.since == 0 || w.rev < w.since {
		w.since = w.rev
	}
	return err
}

func (w *reconciler) restorePlan(ctx context.Context) error {
	w.rev = 0
	err := w.change(ctx, func(s *state.Spec) {
		s.Epoch, s.Planned = max(s.Epoch+1, uint64(time.Now().Unix())), time.Now().UTC()
		if s.Live != nil {
			s.Live.Tentative = true
		}
	})
	if err == nil {
		w.ask()
		w.Logger.Warn().Msg("the plan was gone from the state; it is written again")
	}
	return err
}

// outdate begins a version that is later than those of all partitions. A plan is of an
// earlier one if a planner of an older release, which drops the version, has written it
// since, or if it was made anew while the partitions stayed. Nobody would read a
// partition of a later version, and which query that was is not known any more.
func (w *reconciler) outdate(ctx context.Context, parts []state.Partition) error {
	latest := 0
	for _, p := range parts {
		latest = max(latest, p.Version)
	}
	if latest <= w.spec.Version {
		return nil
	}
	w.Logger.Warn().Int("version", latest+1).
		Msg("the plan has lost the version of its query; what is not loaded is read with the query that the plan has")
	return w.change(ctx, func(s *state.Spec) {
		s.LiveFrom = s.FirstLive()
		s.Version = latest + 1
	})
}

// change writes the plan anew if it is still the one of this round.
// Otherwise the error is [errOvertaken].
func (w *reconciler) change(ctx context.Context, how func(*state.Spec)) error {
	spec := w.spec
	if spec.Live != nil {
		origin := *spec.Live
		spec.Live = &origin
	}
	how(&spec)
	rev, err := w.save(ctx, &spec, w.rev)
	if errors.Is(err, queue.ErrConflict) {
		return errOvertaken
	}
	if err != nil {
		return fmt.Errorf("write the plan: %w", err)
	}
	w.adopt(spec, rev)
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

// sinks returns the names of those that are waited for, whose entries are kept, and
// which have to be complete: those of the plan, so that all planners mean the same
// while a new configuration is rolled out.
func (w *reconciler) sinks() []string {
	if len(w.spec.Sinks) > 0 {
		return w.spec.Sinks
	}
	names := make([]string, len(w.Config.Sinks)) // the plan is of an older version
	for i, s := range w.Config.Sinks {
		names[i] = s.Name
	}
	return names
}
