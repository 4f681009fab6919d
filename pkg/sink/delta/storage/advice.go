package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ampipe/ampipe/pkg/fault"
)

// advice is what an error of a storage means to the user. What is to be waited for is
// [fault.ClassLater]: the sink waits without end, and shows it. [fault.ClassAgain] is
// tried until time is up.
type advice struct {
	class fault.Class
	text  string
}

// on returns err with the advice behind it, and its class.
func (a advice) on(err error) error { return fault.As(a.class, fmt.Errorf("%w; %s", err, a.text)) }

// Classify marks an error of the operating system with what to do about it, and says
// so. Errors that are classed already stay as they are.
func Classify(err error) error {
	if err == nil || fault.Of(err) != fault.ClassAgain {
		return err
	}
	number, ok := errors.AsType[syscall.Errno](err)
	if !ok {
		return err
	}
	a, known := errnos[unix.ErrnoName(number)]
	if !known {
		return err
	}
	return a.on(err)
}

// ofFile returns the error of the operating system about a file that is in err, or nil.
// Errors of the network hold one of another kind.
func ofFile(err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path
	}
	return nil
}
