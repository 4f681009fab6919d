package fault

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
)

// PanicError is a panic that [Catch] has made an error of.
type PanicError struct {
	Value any    // what it panicked with
	Stack string // of the goroutine, for the log
}

// Error returns one line, without the stack.
func (e *PanicError) Error() string {
	return fmt.Sprintf("ampipe has a bug: panic: %s; report it with the stack in the log",
		strings.Join(strings.Fields(fmt.Sprint(e.Value)), " "))
}

// Unwrap returns the value if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// Catch runs op, which works on data from outside, so that an unforeseen input ends one
// piece of work and not the process: a panic of op becomes a permanent *[PanicError].
// What op has left half done must not be used afterwards.
func Catch(op func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = Permanent(&PanicError{Value: p, Stack: string(debug.Stack())})
		}
	}()
	return op()
}

// Stack returns the stack of the panic that err was made of, or nothing.
func Stack(err error) string {
	if p, caught := errors.AsType[*PanicError](err); caught {
		return p.Stack
	}
	return ""
}
