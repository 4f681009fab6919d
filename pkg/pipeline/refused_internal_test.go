package pipeline

import (
	"errors"
	"fmt"
	"testing"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/queue"
)

// TestWhatKeepsAProcessDown is what a person has to mend, and not a disk that was full while
// it started.
func TestWhatKeepsAProcessDown(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		code int
	}{
		"a full disk":     {fault.Permanent(&queue.ServerError{Again: true}), ops.ExitFailed},
		"a missing right": {fault.Permanent(&queue.ServerError{}), ops.ExitConfig},
		"another query":   {fault.Permanent(errors.New("the query has changed")), ops.ExitConfig},
		"NATS is away":    {fault.Later(errors.New("NATS does not answer"), 0), ops.ExitFailed},
	} {
		if got := ops.ExitCode(refused(fmt.Errorf("pipeline %q: %w", "p", c.err))); got != c.code {
			t.Errorf("%s: exit code %d, want %d", name, got, c.code)
		}
	}
}
