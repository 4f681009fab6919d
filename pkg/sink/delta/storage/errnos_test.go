package storage

import (
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ampipe/ampipe/pkg/fault"
)

// TestEveryErrnoIsDecided goes through the error numbers of this platform.
func TestEveryErrnoIsDecided(t *testing.T) {
	t.Parallel()
	published := 0
	for n := syscall.Errno(1); n < 256; n++ {
		name := unix.ErrnoName(n)
		if name == "" {
			continue
		}
		published++
		a, decided := errnos.find(name)
		if !decided || a.text == "" {
			t.Errorf("nothing is decided for %s (%v)", name, n)
			continue
		}
		err := Classify(fmt.Errorf("write a file: %w", &fs.PathError{Op: "write", Path: "/lake/x", Err: n}))
		if fault.Of(err) != a.class || !strings.HasSuffix(err.Error(), n.Error()+"; "+a.text) {
			t.Errorf("%s is classed as %v: %v", name, fault.Of(err), err)
		}
	}
	if published < 100 {
		t.Errorf("only %d error numbers have a name", published)
	}
}

// TestWhatMayPassIsWaitedFor names those that people meet.
func TestWhatMayPassIsWaitedFor(t *testing.T) {
	t.Parallel()
	for class, numbers := range map[fault.Class][]syscall.Errno{
		fault.ClassLater:     {syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.ENFILE, syscall.EIO, syscall.ESTALE, syscall.ENOTCONN, syscall.ETIMEDOUT},
		fault.ClassPermanent: {syscall.EACCES, syscall.EPERM, syscall.EROFS, syscall.ENOTDIR, syscall.ENAMETOOLONG, syscall.ENOTSUP, syscall.EFBIG, syscall.ELOOP},
	} {
		for _, n := range numbers {
			if err := Classify(n); fault.Of(err) != class {
				t.Errorf("%v is classed as %v", err, fault.Of(err))
			}
		}
	}
}
