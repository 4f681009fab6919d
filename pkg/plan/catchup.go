package plan

import (
	"context"
	"fmt"
	"slices"

	"github.com/ampipe/ampipe/pkg/sqlcheck"
	"github.com/ampipe/ampipe/pkg/state"
)

// worthHistory is how many blocks more than the reorg buffer the chain must have
// grown, while the history was loaded, to be read in parallel, too, rather than
// through the one stream of the live lane.
const worthHistory = 1000

// catchUp moves the beginning of a live lane that was to wait for the history, and of
// which no destination has anything, up to the reorg buffer below the head as it is
// now. It reports whether it did.
func (l *liveStep) catchUp(ctx context.Context, sinks []SinkStatus) (bool, error) {
	if l.spec.Live.Open || slices.ContainsFunc(sinks, func(s SinkStatus) bool { return s.Report.Live.Started }) {
		return false, nil
	}
	c, err := l.head(ctx)
	if err != nil || len(c.Head) != 1 {
		return false, err
	}
	c.LiveStart = liveStart(l.Config.Range, c.Head[0])
	if c.LiveStart < l.spec.Live.Start+worthHistory {
		return false, nil
	}
	if end := l.spec.MaxBlock; end != nil && c.LiveStart >= *end {
		return true, l.change(ctx, func(s *state.Spec) { s.Live, s.History.End = nil, *end })
	}
	origin, err := c.Origin(ctx, l.Source)
	if err != nil {
		return false, err
	}
	return true, l.change(ctx, func(s *state.Spec) { s.Live, s.History.End = origin, origin.Start })
}

// head asks for the head of the chain as it is now.
func (l *liveStep) head(ctx context.Context) (*Checked, error) {
	query, err := sqlcheck.Parse(l.spec.Query)
	if err != nil {
		return nil, fmt.Errorf("read the query of the plan: %w", err)
	}
	c := &Checked{Query: query, First: l.spec.History.Start}
	if c.Head, err = l.Source.Head(ctx, query.Head()); err != nil {
		return nil, fmt.Errorf("ask for the head: %w", err)
	}
	return c, nil
}
