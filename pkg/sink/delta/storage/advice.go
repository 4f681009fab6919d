package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ampipe/ampipe/pkg/fault"
)

// advice is what an error of a storage means to the user. What is to be waited for is
// [fault.ClassLater]: the sink waits without end, and shows it. [fault.ClassAgain] is
// tried until time is up.
type advice struct {
	codes string // that it is for, between spaces
	class fault.Class
	text  string
}

type decisions []advice

// find returns what is decided for a code.
func (d decisions) find(code string) (advice, bool) {
	for _, a := range d {
		if slices.Contains(strings.Fields(a.codes), code) {
			return a, true
		}
	}
	return advice{}, false
}

// Classify marks an error of the operating system with what to do about it, and says
// so. Errors that are classed already stay as they are.
func Classify(err error) error {
	number, ok := errors.AsType[syscall.Errno](err)
	if !ok || fault.Of(err) != fault.ClassAgain {
		return err
	}
	a, known := errnos.find(unix.ErrnoName(number))
	if !known {
		return err
	}
	return fault.As(a.class, fmt.Errorf("%w; %s", err, a.text))
}

// ofFile returns the error of the operating system about a file that is in err, or nil.
// Errors of the network hold one of another kind.
func ofFile(err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path
	}
	return nil
}
