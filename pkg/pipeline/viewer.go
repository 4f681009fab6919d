package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/status"
)

// Viewer reads how pipelines are, whichever way they run, also while nothing runs. It is
// for one goroutine.
type Viewer struct {
	pipelines []*config.Pipeline
	open      func(context.Context, config.NATS) (*natsConn, error)
	conns     map[string]*natsConn // by configuration, kept between looks
	letters   map[string]seenLetters
}

// NewViewer returns a viewer of these pipelines.
func NewViewer(pipelines []*config.Pipeline) *Viewer {
	return newViewer(pipelines, func(ctx context.Context, c config.NATS) (*natsConn, error) {
		return openNATS(ctx, c, roleOperator, zerolog.Nop())
	})
}

func newViewer(pipelines []*config.Pipeline, open func(context.Context, config.NATS) (*natsConn, error)) *Viewer {
	return &Viewer{pipelines: pipelines, open: open, conns: map[string]*natsConn{}, letters: map[string]seenLetters{}}
}

// Close ends the connections.
func (v *Viewer) Close() {
	for key := range v.conns {
		v.drop(key)
	}
}

func (v *Viewer) drop(key string) {
	if n := v.conns[key]; n != nil {
		_ = n.Close() // it has only read
		delete(v.conns, key)
	}
}

// Look reads how the pipelines are now. One that cannot be read has failed, and its
// sentence says why.
func (v *Viewer) Look(ctx context.Context) status.Overview {
	return status.Summarize(v.each(ctx, func(status.Facts) {}))
}

// each returns how the pipelines are, and calls seen with the facts of each. Of one that
// cannot be read there are none.
func (v *Viewer) each(ctx context.Context, seen func(status.Facts)) []status.Pipeline {
	var all []status.Pipeline
	away := map[string]error{} // by connection: its other pipelines are not waited for, too
	for _, p := range v.pipelines {
		facts, err := status.Facts{}, away[keyOf(p)]
		if err == nil {
			facts, err = v.read(ctx, p)
		}
		if fault.Of(err) == fault.ClassLater {
			away[keyOf(p)] = err
		}
		full := fullDisk(p.NATS)
		if err != nil && full != "" {
			err = fmt.Errorf("%s: %w", status.DiskFull(full), err)
		}
		if err != nil {
			seen(status.Facts{Name: p.Name})
			all = append(all, status.Unseen(p.Name, err))
			continue
		}
		seen(facts)
		conn := v.conns[keyOf(p)]
		all = append(all, status.Build(facts, status.Options{
			Embedded: p.NATS.Embedded != "", Alone: conn != nil && conn.server != nil, FullDisk: full,
			CommitDelays: commitDelays(p),
		}))
	}
	for key, n := range v.conns {
		if n.server != nil { // nothing runs: a process that starts needs the folder
			v.drop(key)
		}
	}
	return all
}

// fullDisk returns the folder of the embedded server if its disk is full. Nothing can be
// written into the state then: what it says is of before.
func fullDisk(c config.NATS) string {
	if c.Embedded != "" && queue.DiskFull(c.Embedded) {
		return c.Embedded
	}
	return ""
}

// keyOf returns what pipelines with the same connection have in common.
func keyOf(p *config.Pipeline) string { return fmt.Sprintf("%+v", p.NATS) }

func commitDelays(p *config.Pipeline) map[string]time.Duration {
	delays := map[string]time.Duration{}
	for _, s := range p.Sinks {
		delays[s.Name] = s.CommitDelay()
	}
	return delays
}

// read reads the facts of a pipeline. A connection of before may be of a process that has
// ended since.
func (v *Viewer) read(ctx context.Context, p *config.Pipeline) (facts status.Facts, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout+reachWait)
	defer cancel()
	key := keyOf(p)
	for kept := v.conns[key] != nil; ; kept = false {
		if v.conns[key] == nil {
			n, err := v.open(ctx, p.NATS)
			if errors.Is(err, errNeverRun) {
				return status.Facts{Name: p.Name, Now: time.Now().UTC()}, nil
			}
			if err != nil {
				return facts, err
			}
			v.conns[key] = n
		}
		looking, done := context.WithTimeout(ctx, readTimeout)
		facts, err = status.Read(looking, v.conns[key].Conn, p.Name)
		done()
		if err == nil {
			return facts, nil
		}
		v.drop(key)
		if !kept {
			return facts, err
		}
	}
}

// Unwell returns the error with which a command ends that has shown an overview; nil: all
// pipelines are healthy.
func Unwell(o status.Overview) error {
	switch o.Level {
	case status.Healthy:
		return nil
	case status.Degraded:
		return ops.Incomplete(ops.ErrSaid)
	default:
		return &ops.ExitError{Code: ops.ExitFailed, Err: ops.ErrSaid}
	}
}

// readParts connects to the state of a pipeline, reads its partitions, in the order in
// which they were written, and calls do.
func readParts(
	ctx context.Context, p *config.Pipeline, open func(context.Context, config.NATS, zerolog.Logger) (*natsConn, error), log zerolog.Logger,
	do func(context.Context, *queue.State, status.Facts) error,
) error {
	return readFacts(ctx, p, open, log, func(ctx context.Context, conn *natsConn, facts status.Facts) error {
		state, err := conn.State(ctx, p.Name)
		if err != nil {
			return err
		}
		return do(ctx, state, facts)
	})
}

// readFacts is readParts for what needs more than the state.
func readFacts(
	ctx context.Context, p *config.Pipeline, open func(context.Context, config.NATS, zerolog.Logger) (*natsConn, error), log zerolog.Logger,
	do func(context.Context, *natsConn, status.Facts) error,
) (err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout+reachWait)
	defer cancel()
	conn, err := open(ctx, p.NATS, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	facts, err := status.Read(ctx, conn.Conn, p.Name)
	if err != nil {
		return err
	}
	err = planLacks(facts)
	if err != nil {
		return err
	}
	return do(ctx, conn, facts)
}

// planLacks returns why there is no plan, for who needs it; nil: there is one.
func planLacks(f status.Facts) error {
	switch {
	case f.Spec != nil:
		return nil
	case slices.Contains(f.Gone, status.GoneState):
		return fault.Later(fmt.Errorf("pipeline %q: %v; the planner makes it anew within seconds, if it runs: then ask again",
			f.Name, status.GoneState), 0)
	default:
		return fault.Permanent(fmt.Errorf("pipeline %q was not planned yet: start it first", f.Name))
	}
}

// asOperator is [openNATS] for a command that only reads.
func asOperator(ctx context.Context, c config.NATS, log zerolog.Logger) (*natsConn, error) {
	return openNATS(ctx, c, roleOperator, log)
}
