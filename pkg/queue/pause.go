package queue

import (
	"context"
	"errors"

	"github.com/ampipe/ampipe/pkg/state"
)

const keyPause = "pause"

// PutPause writes whether a sink is to stand still.
func (s *State) PutPause(ctx context.Context, sink string, p state.Pause) error {
	if err := checkName("sink", sink); err != nil {
		return err
	}
	_, err := s.Put(ctx, keyPause+"."+sink, p)
	return err
}

// Pause returns whether a sink is to stand still. One that was never paused is not.
func (s *State) Pause(ctx context.Context, sink string) (state.Pause, error) {
	if err := checkName("sink", sink); err != nil {
		return state.Pause{}, err
	}
	p, _, err := Get[state.Pause](ctx, s, keyPause+"."+sink)
	if errors.Is(err, ErrNotFound) {
		err = nil
	}
	return p, err
}

// WaitPause waits until a sink is to stand still, or is to resume, and returns what is
// written about it then.
func (s *State) WaitPause(ctx context.Context, sink string, paused bool) (p state.Pause, err error) {
	if err := checkName("sink", sink); err != nil {
		return state.Pause{}, err
	}
	found := errors.New("found")
	err = Watch(ctx, s, keyPause+"."+sink, func(now state.Pause, _ uint64) error {
		if now.Paused != paused {
			return nil
		}
		p = now
		return found
	})
	if errors.Is(err, found) {
		err = nil
	}
	return p, err
}
