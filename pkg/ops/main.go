// Package ops is what every process has in common: exit codes, interruption, a logger and
// the HTTP listener for metrics and health. It neither handles signals nor ends the
// process: that is its program's.
package ops

import (
	"context"
	"errors"
	"runtime/debug"
	"slices"
)

// Exit codes, the same for every command.
const (
	ExitDone        = 0   // everything asked for is done
	ExitFailed      = 1   // an error
	ExitConfig      = 2   // bad configuration or command line
	ExitIncomplete  = 3   // finished, but with failed partitions or dead letters
	ExitInterrupted = 130 // stopped from outside, as by a signal
)

// ErrInterrupted is the cause of a context that was ended from outside: see
// [Interruptible].
var ErrInterrupted = errors.New("interrupted")

// ExitError carries an exit code from where it is known to [Main].
type ExitError struct {
	Code int
	Err  error
}

// Error returns the text of the wrapped error.
func (e *ExitError) Error() string { return e.Err.Error() }

// Unwrap returns the wrapped error.
func (e *ExitError) Unwrap() error { return e.Err }

// ErrSaid is the error of a command that has printed what is wrong itself: nothing more is
// reported of it.
var ErrSaid = errors.New("it was printed")

// Config marks err as the user's to mend: exit code 2.
func Config(err error) error {
	if err == nil {
		return nil
	}
	return &ExitError{Code: ExitConfig, Err: err}
}

// Incomplete marks err as "finished, with something left out": exit code 3.
func Incomplete(err error) error { return &ExitError{Code: ExitIncomplete, Err: err} }

// Interruptible returns a context that ends with ctx, and whose cause is [ErrInterrupted],
// whatever has ended ctx: a signal, a deadline, or the caller, who has no more use for the
// work. The cause that ctx has is wrapped in it. stop releases the context.
func Interruptible(ctx context.Context) (_ context.Context, stop func()) {
	inner, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	unhook := context.AfterFunc(ctx, func() {
		cause := context.Cause(ctx)
		if !errors.Is(cause, ErrInterrupted) {
			cause = interruption{cause}
		}
		cancel(cause)
	})
	return inner, func() {
		unhook()
		cancel(nil)
	}
}

// interruption is [ErrInterrupted], and wraps the cause that the caller's context had.
type interruption struct{ cause error }

func (i interruption) Error() string { return ErrInterrupted.Error() + ": " + i.cause.Error() }

func (i interruption) Unwrap() error { return i.cause }

func (interruption) Is(target error) bool { return target == ErrInterrupted }

// Main runs the work of a process until it is done, or ctx ends, which is an interruption.
// An error, or a panic of run, is reported. The result is the exit code.
func Main(ctx context.Context, report Reporter, run func(context.Context) error) (code int) {
	ctx, stop := Interruptible(ctx)
	defer stop()
	defer func() {
		if value := recover(); value != nil {
			report.Panic(value, debug.Stack())
			code = ExitFailed
		}
	}()
	err := run(ctx)
	code = exitCode(err, ctx.Err() != nil)
	if err != nil && code != ExitInterrupted {
		report.Report(err, code)
	}
	return code
}

// ExitCode returns the exit code of a process that ends with err. Of several
// joined errors the worst decides: a failure before a mistake of the user's,
// before what is incomplete, before an interruption.
func ExitCode(err error) int { return exitCode(err, false) }

// exitCode implements [ExitCode]. In a process that was interrupted, an error of
// cancellation counts as the interruption, whatever has become of its cause on the way.
func exitCode(err error, interrupted bool) int {
	if err == nil {
		return ExitDone
	}
	if several := joined(err); several != nil {
		worst := ExitInterrupted
		for _, one := range several {
			if code := exitCode(one, interrupted); slices.Index(bySeverity, code) < slices.Index(bySeverity, worst) {
				worst = code
			}
		}
		return worst
	}
	var exit *ExitError
	switch {
	case errors.As(err, &exit):
		return exit.Code
	case errors.Is(err, ErrInterrupted), interrupted && errors.Is(err, context.Canceled):
		return ExitInterrupted
	default:
		return ExitFailed
	}
}

// bySeverity lists the exit codes of errors, the worst first.
var bySeverity = []int{ExitFailed, ExitConfig, ExitIncomplete, ExitInterrupted}

// joined returns the errors that were joined into err, below what wraps them, or
// nil if none were. What an [ExitError] holds has its code and is not taken apart.
func joined(err error) []error {
	for err != nil {
		if _, coded := err.(*ExitError); coded {
			return nil
		}
		switch e := err.(type) {
		case interface{ Unwrap() []error }:
			return e.Unwrap()
		case interface{ Unwrap() error }:
			err = e.Unwrap()
		default:
			return nil
		}
	}
	return nil
}

// Failures joins errors. Interruptions are left out if anything else is among
// them: a process that was asked to stop after a part of it had failed has failed.
func Failures(errs ...error) error {
	failures := slices.DeleteFunc(slices.Clone(errs), func(err error) bool {
		return err == nil || ExitCode(err) == ExitInterrupted
	})
	if len(failures) > 0 {
		return errors.Join(failures...)
	}
	return errors.Join(errs...)
}
