package apply

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/state"
)

const (
	reportSoon    = 250 * time.Millisecond // between two, when this process has written rows
	reportEvery   = time.Second            // when something else may have changed
	endlessEvery  = 2 * time.Second        // the same while rows are of a lane without an end, for which nobody waits
	reportAtLeast = 15 * time.Second       // also when nothing changes, so that a dead sink looks old
	reportsOfLoss = 4                      // at that pace though nothing changes: planners do not take a single one's word for a loss
	readWait      = 2 * time.Second        // for the destination
	reportWait    = 5 * time.Second        // in all
)

// reporter says how far a sink has come. Only one goroutine uses it.
type reporter struct {
	run       *run
	runs      []*run // of each kind of lanes
	coverage  block.Set
	live      state.LiveState
	pruned    block.Number
	known     bool // coverage has been read: an empty one would have everything queued again
	asOf      time.Time
	sent      state.SinkReport
	losing    int  // reports that are still due of a loss
	byRequest bool // the sink is paused because a person has asked for it
	failing   bool
}

// loop reports, if something has changed, until ctx ends: every second, soon after rows
// have been written, and at once after the last. While rows are of a lane without an end, for
// which nobody waits, it reports every two seconds.
func (r *reporter) loop(ctx context.Context) {
	if r.run.Reports == nil {
		return
	}
	var begun, wrote time.Time // when a report was begun last, and when one was of new rows
	var written uint64         // rows of that
	report := func() {
		begun = time.Now()
		if rows := r.run.status.begin(); rows != written {
			written, wrote = rows, begun
		}
		r.report(ctx, "", "")
	}
	report()
	timer := time.NewTimer(fault.Aligned(r.run.status.reportEvery()))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.run.status.written:
			now := time.Now()
			switch {
			case r.run.status.atEnd():
				timer.Reset(0)
			case r.run.status.waitedFor() || now.Sub(wrote) >= r.run.status.reportEvery():
				timer.Reset(reportSoon - min(reportSoon, now.Sub(begun)))
			}
			continue
		case <-r.run.Asked:
			r.sent = state.SinkReport{}
		case <-timer.C:
		}
		report()
		timer.Reset(fault.Aligned(r.run.status.reportEvery()))
	}
}

// last reports that the sink has stopped, and why.
func (r *reporter) last(ctx context.Context, failure error) {
	if r.run.Reports == nil {
		return
	}
	if failure != nil {
		r.report(ctx, state.SinkFailed, failure.Error())
		return
	}
	r.report(ctx, state.SinkStopped, "")
}

// report reads the coverage from the destination and passes it on. as and
// reason are, if empty, what the loop knows. The coverage is read also while the
// loop is paused: another process of the sink may have committed more.
func (r *reporter) report(ctx context.Context, as state.SinkState, reason string) {
	ctx, cancel := context.WithTimeout(ctx, reportWait)
	defer cancel()
	rows, paused := r.run.status.read()
	if sink.IsInTurn(paused) {
		paused = nil
	}
	if err := r.read(ctx); err != nil {
		stalled, is := errors.AsType[*stalledError](paused)
		switch {
		case paused == nil:
			paused = err
		case is:
			paused = fmt.Errorf("%w; %w", stalled, err)
		}
	}
	if !r.known {
		return
	}
	report := state.SinkReport{
		Name: r.run.Table.Sink, Coverage: r.coverage, Live: r.live, Rows: rows,
		State: as, Reason: reason, ByRequest: r.byRequest, Read: r.asOf, Updated: time.Now(),
		Rejoins: r.run.Rejoin != nil, Pruned: r.pruned,
	}
	if paused != nil && reason == "" {
		report.Reason = paused.Error()
	}
	if as == "" {
		report.State = state.SinkRunning
		if paused != nil {
			report.State = state.SinkPaused
		}
	}
	if r.same(report) {
		return
	}
	if err := r.run.Reports.PutReport(ctx, report); err != nil {
		if !r.failing {
			r.run.Logger.Warn().Err(err).Msg("could not report the progress; will retry")
		}
		r.failing = true
		return
	}
	r.sent, r.failing = report, false
	r.losing = max(0, r.losing-1)
}

// read updates the coverage. It may wait for a destination that cannot be reached; the
// report of that must not.
func (r *reporter) read(ctx context.Context) error {
	reading, cancel := context.WithTimeout(ctx, readWait)
	defer cancel()
	s, err := r.run.Writer.State(reading)
	if err != nil && reading.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("the destination has not answered within %v: %w", readWait, err)
	}
	if err != nil {
		return err
	}
	if s.Live != r.live {
		r.live = s.Live
		for _, one := range r.runs {
			if one.live { // perhaps by another process of the sink
				one.stall.committed()
				one.stall.applied(s.Live.Seq)
			}
		}
	}
	if !s.Coverage.Equal(r.coverage) && s.Coverage.Intersect(r.coverage).Len() < r.coverage.Len() {
		r.losing = reportsOfLoss
	}
	r.coverage, r.pruned, r.known, r.asOf = s.Coverage, s.Pruned, true, time.Now()
	return nil
}

func (r *reporter) same(report state.SinkReport) bool {
	s := r.sent
	return r.losing == 0 && s.Name == report.Name && s.Rows == report.Rows &&
		s.State == report.State && s.Reason == report.Reason && s.ByRequest == report.ByRequest &&
		s.Live == report.Live && s.Pruned == report.Pruned && s.Coverage.Equal(report.Coverage) && report.Updated.Sub(s.Updated) < reportAtLeast
}
