package queue

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

type fakeConsumer struct{ jetstream.Consumer }

// TestSilenceEndsNoFailure: what was waited for is over once something has worked, which
// is an answer, or that the consumer was found, and never that nothing was heard.
func TestSilenceEndsNoFailure(t *testing.T) {
	t.Parallel()
	errAway, errPull := errors.New("no responders"), errors.New("the request failed")
	var looks error
	p := puller{open: func(context.Context, time.Duration) (jetstream.Consumer, error) { return fakeConsumer{}, looks }}
	for i, step := range []struct {
		looks    error
		answered bool
		pulled   error
		want     error
	}{
		{nil, false, nil, nil}, // a quiet log
		{nil, false, errPull, errPull},
		{errAway, false, nil, errAway}, // looks again, and hears nothing
		{errAway, false, nil, errAway},
		{errAway, false, errPull, errPull},
		{errAway, true, nil, nil},  // a cluster without a leader for its API delivers
		{errAway, false, nil, nil}, // so nothing is looked for
		{nil, true, nil, nil},
		{nil, false, errPull, errPull},
		{nil, false, nil, nil}, // it was found
		{nil, true, errPull, errPull},
		{jetstream.ErrStreamNotFound, false, nil, jetstream.ErrStreamNotFound},
		{nil, false, nil, nil},
	} {
		looks = step.looks
		consumer, err := p.find(t.Context())
		if consumer != nil {
			err = p.result(err, step.answered, step.pulled)
		}
		if !errors.Is(err, step.want) || (err != nil && step.want == nil) {
			t.Errorf("step %d: %v, want %v", i, err, step.want)
		}
	}
}

// TestASlowLookHoldsNobody: while one worker waits for NATS, others look, and tell what
// they have found.
func TestASlowLookHoldsNobody(t *testing.T) {
	t.Parallel()
	calls, release := make(chan time.Duration), make(chan struct{})
	p := puller{open: func(_ context.Context, wait time.Duration) (jetstream.Consumer, error) {
		calls <- wait
		<-release
		return fakeConsumer{}, nil
	}}
	found := make(chan error)
	for range 2 {
		go func() {
			_, err := p.find(t.Context())
			found <- err
		}()
	}
	for range 2 {
		if wait := <-calls; wait != apiWait {
			t.Errorf("waits %v for a consumer that is not known", wait)
		}
	}
	if err := p.result(nil, true, nil); err != nil {
		t.Error(err)
	}
	close(release)
	for range 2 {
		if err := <-found; err != nil {
			t.Error(err)
		}
	}
	if _, err := p.find(t.Context()); err != nil { // looks no more
		t.Error(err)
	}
	for failed := 1; failed < 40; failed++ {
		_ = p.result(nil, false, errSilent)
	}
	go func() { _, _ = p.find(t.Context()) }()
	if wait := <-calls; wait != apiWait {
		t.Errorf("waits %v after many failures", wait)
	}
}

// TestHowTheServerEndsARequest: what it says when the time or the bytes of a request are used up
// is an answer like any other; what it says when it cannot go on is an error.
func TestHowTheServerEndsARequest(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status, text string
		over         bool
		err          error
	}{
		{"100", "Idle Heartbeat", false, nil},
		{"404", "No Messages", true, nil},
		{"408", "Request Timeout", true, nil},
		{"408", "Interest Expired", true, nil},
		{"409", "Message Size Exceeds MaxBytes", true, nil},
		{"409", "Batch Completed", true, nil},
		{"423", "Nats-Wrong-Pin-Id", true, nil},
		{"400", "Bad Request", true, jetstream.ErrBadRequest},
		{"503", "", true, nats.ErrNoResponders},
		{"409", "Consumer Deleted", true, jetstream.ErrConsumerDeleted},
		{"409", "Leadership Change", true, jetstream.ErrConsumerLeadershipChanged},
		{"409", "Server Shutdown", true, jetstream.ErrServerShutdown},
	} {
		if over, err := ended(c.status, c.text); over != c.over || !errors.Is(err, c.err) {
			t.Errorf("%s %s: over %v, error %v", c.status, c.text, over, err)
		}
	}
	if over, err := ended("409", "Exceeded MaxWaiting"); !over || err == nil || !strings.Contains(err.Error(), "Exceeded MaxWaiting") {
		t.Errorf("a refusal: over %v, error %v", over, err)
	}
}
