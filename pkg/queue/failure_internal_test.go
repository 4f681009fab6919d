package queue

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/fault"
)

// TestAServerThatCannotWriteHasFailed: who waits for that learns it at once, and not only who
// writes next.
func TestAServerThatCannotWriteHasFailed(t *testing.T) {
	t.Parallel()
	s, err := StartServer(t.Context(), ServerConfig{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }() // the test is over
	ended, end := context.WithCancel(t.Context())
	end()
	if err := s.AwaitFailure(ended); err != nil {
		t.Errorf("it serves, and is said to have failed: %v", err)
	}
	failed := make(chan error, 1)
	go func() { failed <- s.AwaitFailure(t.Context()) }()
	for range 2 {
		(*notices)(s).Errorf("Filestore [%s] Critical write error: %s", "KV", "no space left on device")
	}
	err = <-failed
	if reason, is := errors.AsType[*ServerError](err); !is || !reason.Again {
		t.Errorf("%v: starting the process again is not said to help", err)
	}
	if fault.Of(err) != fault.ClassPermanent || !strings.Contains(err.Error(), "is full: make room and start again") {
		t.Errorf("it has failed: %v (%v)", err, fault.Of(err))
	}
}
