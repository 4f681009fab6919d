package cli

import (
	"context"
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/ops"
)

// TestSignalsEndTheContext: two at once are one, as some supervisors signal a process and
// its group.
func TestSignalsEndTheContext(t *testing.T) {
	ctx, stop := untilSignal()
	defer stop()
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		if err := syscall.Kill(os.Getpid(), s); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-ctx.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the context has not ended")
	}
	if cause := context.Cause(ctx); !errors.Is(cause, ops.ErrInterrupted) {
		t.Errorf("the cause is %v", cause)
	}
}
