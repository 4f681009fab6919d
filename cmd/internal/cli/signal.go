package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/ampipe/ampipe/pkg/ops"
)

// sameSignal is how long after a signal another one is taken as the same: `timeout` and
// some supervisors send it to the process and to its group.
const sameSignal = 100 * time.Millisecond

// untilSignal returns a context that ends, with cause [ops.ErrInterrupted], at the first
// SIGINT or SIGTERM. A second signal, [sameSignal] later or more, ends the process at once.
// stop ends the handling of signals.
func untilSignal() (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		var first time.Time
		for {
			select {
			case <-done:
				return
			case <-signals:
				if first.IsZero() {
					first = time.Now()
					cancel(ops.ErrInterrupted)
				} else if time.Since(first) >= sameSignal {
					os.Exit(ops.ExitInterrupted)
				}
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel(nil)
	}
}
