// Package ops is what every process has in common: signals, exit codes, a
// logger and the HTTP listener for metrics and health.
package ops

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes, the same for every command.
const (
	ExitDone        = 0   // everything asked for is done
	ExitFailed      = 1   // an error
	ExitConfig      = 2   // bad configuration or command line
	ExitIncomplete  = 3   // finished, but with failed partitions or dead letters
	ExitInterrupted = 130 // stopped by a signal
)

// ErrInterrupted is the cause of a context that a signal has ended.
var ErrInterrupted = errors.New("interrupted")

// ExitError carries an exit code from where it is known to [Main].
type ExitError struct {
	Code int
	Err  error
}

// Error is the text of the wrapped error.
func (e *ExitError) Error() string { return e.Err.Error() }

// Unwrap gives the wrapped error.
func (e *ExitError) Unwrap() error { return e.Err }

// Config marks err as the user's to mend: exit code 2.
func Config(err error) error {
	if err == nil {
		return nil
	}
	return &ExitError{Code: ExitConfig, Err: err}
}

// Incomplete marks err as "finished, with something left out": exit code 3.
func Incomplete(err error) error { return &ExitError{Code: ExitIncomplete, Err: err} }

// Main runs a process: the context of run ends, with cause [ErrInterrupted], at
// the first SIGINT or SIGTERM; a second signal ends the process at once. An
// error is printed to standard error. The result is the exit code.
func Main(run func(context.Context) error) int {
	ctx, stop := context.WithCancelCause(context.Background())
	defer stop(nil)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	done := make(chan struct{})
	defer close(done)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-done:
				return
			case <-signals:
				if n > 0 {
					os.Exit(ExitInterrupted)
				}
				stop(ErrInterrupted)
			}
		}
	}()
	err := run(ctx)
	code := ExitCode(err)
	if err != nil && code != ExitInterrupted {
		fmt.Fprintln(os.Stderr, "ampipe:", err)
	}
	return code
}

// ExitCode maps an error to the code of the process.
func ExitCode(err error) int {
	var exit *ExitError
	switch {
	case err == nil:
		return ExitDone
	case errors.As(err, &exit):
		return exit.Code
	case errors.Is(err, ErrInterrupted):
		return ExitInterrupted
	default:
		return ExitFailed
	}
}
