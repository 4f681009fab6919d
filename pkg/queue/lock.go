package queue

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ampipe/ampipe/pkg/fault"
)

// lockFolder takes the folder for this process, so that no second server opens
// the same store: it would destroy it. The lock ends with the process, however
// it ends. The file holds the process id, for whoever is refused.
func lockFolder(dir string) (*os.File, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, folderError(dir, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		holder, _ := os.ReadFile(path)
		f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, folderError(dir, err)
		}
		return nil, fault.Permanent(fmt.Errorf(
			"folder %s is in use by process %s (%s): stop it, join it by its listening address, or use another folder",
			dir, strings.TrimSpace(string(holder)), path))
	}
	if err = f.Truncate(0); err == nil {
		_, err = fmt.Fprintln(f, os.Getpid())
	}
	if err != nil {
		f.Close()
		return nil, folderError(dir, err)
	}
	return f, nil
}

// folderError explains why the store cannot be used.
func folderError(dir string, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.EROFS):
		return fault.Permanent(fmt.Errorf("folder %s cannot be written: %w: give this user the right, or use another folder", dir, err))
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return fault.Permanent(fmt.Errorf("the disk of folder %s is full: %w: make room and start again", dir, err))
	default:
		return fault.Permanent(fmt.Errorf("use folder %s: %w", dir, err))
	}
}
