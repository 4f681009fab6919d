package apply_test

import (
	"context"
	"errors"
	"testing"

	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/sink/apply"
	"github.com/ampipe/ampipe/pkg/state"
)

// trimmedLane is a live lane of which the first message that is left is known.
type trimmedLane struct {
	first *queue.Message
	err   error
}

func (l *trimmedLane) Read(_ context.Context, lane string, seq uint64) (*queue.Message, error) {
	if l.err != nil || l.first == nil || lane != queue.LiveLane {
		return nil, l.err
	}
	m := *l.first
	if m.Seq < seq {
		m.Seq, m.After = seq, seq-1
	}
	return &m, nil
}

// TestARequestThatHoldsNoMoreIsNotPassedOn: the log was trimmed since, or an epoch has begun.
func TestARequestThatHoldsNoMoreIsNotPassedOn(t *testing.T) {
	t.Parallel()
	request := state.Rejoin{Sink: "cache", Keep: 7, To: state.LiveState{Started: true, Epoch: 2, Seq: 40, Start: 50}}
	plan := state.Spec{Epoch: 2, Rejoins: []state.Rejoin{{Sink: "lake", Keep: 3, To: request.To}, request}}
	lane := &trimmedLane{}
	r := apply.NewRejoiner("cache", lane)
	passes := func(what string, wanted bool, pass func() error) {
		t.Helper()
		err := pass()
		if err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-r.Requests():
			if !wanted || got != request {
				t.Errorf("%s: it passes on %+v", what, got)
			}
		default:
			if wanted {
				t.Errorf("%s: it passes on nothing", what)
			}
		}
	}
	follow := func() error { return r.Follow(t.Context(), plan) }
	passes("an empty lane", false, follow)
	lane.first = &queue.Message{Seq: 30, After: 29}
	passes("the place is in the log", true, follow)
	lane.first = &queue.Message{Seq: 43, After: 40}
	passes("what follows the place is the first in the log", true, follow)
	lane.first = &queue.Message{Seq: 43, After: 42}
	passes("what follows was trimmed", false, follow)

	lane.first = &queue.Message{Seq: 40, After: 39}
	err := follow() // and no loop takes it
	if err != nil {
		t.Fatal(err)
	}
	passes("looked at again", true, func() error { return r.Renew(t.Context()) })
	err = follow()
	if err != nil {
		t.Fatal(err)
	}
	lane.first = &queue.Message{Seq: 50, After: 49}
	passes("it was trimmed while the sink was paused", false, func() error { return r.Renew(t.Context()) })

	lane.first = &queue.Message{Seq: 40, After: 39}
	plan.Epoch = 3
	passes("an epoch has begun", false, follow)
	plan.Epoch, plan.Rejoins = 2, plan.Rejoins[:1]
	passes("nothing is asked of it", false, follow)

	plan.Rejoins = append(plan.Rejoins, request)
	lane.err = errors.New("no answer")
	if err := r.Follow(t.Context(), plan); !errors.Is(err, lane.err) {
		t.Errorf("the error of the log: %v", err)
	}
}
