package pipeline

import (
	"context"
	"errors"
	"sync"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/health"
	"github.com/ampipe/ampipe/pkg/sink/apply"
	"github.com/ampipe/ampipe/pkg/state"
)

// unlessPaused calls work or, while a person has paused the sink, rest, until ctx ends or
// work fails. The context of the call ends when that changes.
func (s *stages) unlessPaused(
	ctx context.Context, sink string, work func(context.Context) error, rest func(context.Context, state.Pause),
) error {
	now, err := s.readPause(ctx, sink)
	if ctx.Err() != nil {
		return nil // stopped before it began
	}
	for err == nil && ctx.Err() == nil {
		phase, end := context.WithCancel(ctx)
		var next state.Pause
		changed := false
		var watch sync.WaitGroup
		watch.Go(func() {
			next, changed = s.waitPause(phase, sink, !now.Paused)
			end()
		})
		if now.Paused {
			rest(phase, now)
		} else {
			err = work(phase)
		}
		end()
		watch.Wait()
		if changed {
			now = next
		}
	}
	return err
}

// readPause reads whether the sink is paused. It waits without end for NATS.
func (s *stages) readPause(ctx context.Context, sink string) (now state.Pause, err error) {
	part := stageSink(sink)
	err = fault.Retry(ctx, fault.Backoff{GiveUp: fault.Forever}, func(ctx context.Context) (err error) {
		now, err = s.state.Pause(ctx, sink)
		return err
	}, s.waiting(part))
	s.meter.Waiting(part, "")
	return now, err
}

// waitPause waits until the sink is paused, or resumed; it returns false when ctx ends. That
// NATS is away is reported by its connection.
func (s *stages) waitPause(ctx context.Context, sink string, paused bool) (state.Pause, bool) {
	retrier := fault.Retrier{Backoff: fault.Backoff{GiveUp: fault.Forever, Max: readyEvery}}
	for ctx.Err() == nil {
		p, err := s.state.WaitPause(ctx, sink, paused)
		if err == nil {
			return p, true
		}
		pause, _ := retrier.Pause(fault.Again(err)) // never ends
		_ = fault.Sleep(ctx, pause)                 // its end is seen above
	}
	return state.Pause{}, false
}

// rest keeps a sink that is paused up, visibly, until ctx ends.
func (s *stages) rest(ctx context.Context, sink string, loop *apply.Loop, p state.Pause) {
	reason := p.Reason(sink)
	s.meter.WaitingFor(health.Expected, stageSink(sink), reason)
	loop.Rest(ctx, errors.New(reason))
	s.meter.WaitingFor(health.Expected, stageSink(sink), "")
}
