package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ampipe/ampipe/pkg/fault"
)

// CheckFolder returns the error with which a server in the folder, or a log of a
// pipeline in it, would be refused, or how many bytes the log can have. It tries
// that and leaves nothing behind: a folder that is missing stays missing.
func CheckFolder(dir, pipeline string, needs Needs) (logBytes int64, err error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return 0, folderError(dir, err)
	}
	exists, err := existing(path)
	if err != nil {
		return 0, folderError(path, err)
	}
	if err := tryWriting(exists, path); err != nil {
		return 0, folderError(path, err)
	}
	if err := tryLock(path); err != nil {
		return 0, err
	}
	store, err := storeRoom(exists, path)
	if err != nil {
		return 0, folderError(path, err)
	}
	return boundedBy(path, store, reservedIn(path), pipeline, needs)
}

// existing returns the folder, or the nearest above it that exists.
func existing(path string) (string, error) {
	for at := path; ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		switch {
		case err == nil && !info.IsDir():
			return "", &fs.PathError{Op: "mkdir", Path: at, Err: unix.ENOTDIR}
		case err == nil:
			return at, nil
		case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR), at == filepath.Dir(at):
			return "", err
		}
	}
}

// tryWriting makes a folder in a folder and removes it. An error is that of path.
func tryWriting(folder, path string) error {
	name, err := os.MkdirTemp(folder, ".ampipe-check-")
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		return &fs.PathError{Op: failed.Op, Path: path, Err: failed.Err}
	}
	if err != nil {
		return err
	}
	return os.Remove(name)
}

// tryLock takes the lock of a folder, if there is one, and releases it.
func tryLock(dir string) error {
	if _, err := os.Stat(lockFile(dir)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	f, err := lockFolder(dir, "")
	if err != nil {
		return err
	}
	return f.Close()
}

const (
	// brief stands behind the process id of a command that has the folder for a moment.
	brief = "command"
	// briefWait is how long a command may have it.
	briefWait = 10 * time.Second
)

// takeFolder locks the folder for a server. For one that a command has it waits a while.
func takeFolder(ctx context.Context, dir string, isBrief bool) (*os.File, error) {
	holder := strconv.Itoa(os.Getpid())
	if isBrief {
		holder += " " + brief
	}
	began := time.Now()
	f, err := lockFolder(dir, holder)
	for errors.Is(err, ErrInUse) && time.Since(began) < briefWait {
		if cause := fault.Sleep(ctx, briefWait/100); cause != nil {
			return nil, cause
		}
		text, _ := os.ReadFile(lockFile(dir)) // it has had the time to say what it is
		isCommand := strings.HasSuffix(strings.TrimSpace(string(text)), brief)
		f, err = lockFolder(dir, holder)
		if !isCommand {
			break
		}
	}
	return f, err
}

// reservedIn returns what the streams of a store reserve, by name. One that cannot be
// read counts as none: the server will report what is wrong with it.
func reservedIn(dir string) map[string]int64 {
	reserved := map[string]int64{}
	files, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "*", "meta.inf"))
	if err != nil { // the pattern is malformed
		return reserved
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		var stream struct {
			Name     string `json:"name"`
			MaxBytes int64  `json:"max_bytes"`
		}
		if json.Unmarshal(text, &stream) == nil {
			reserved[stream.Name] = max(0, stream.MaxBytes)
		}
	}
	return reserved
}

// boundedBy returns how many bytes the log of a pipeline has in a store of so many bytes
// of which streams have reserved some: at most half of what the others leave, so that
// further pipelines find room.
func boundedBy(dir string, store int64, reserved map[string]int64, pipeline string, needs Needs) (int64, error) {
	own := reserved[logStream+pipeline]
	left := store + own
	for _, bytes := range reserved {
		left -= bytes
	}
	for name, bytes := range needs.beside(pipeline) {
		if _, there := reserved[name]; !there {
			left -= bytes
		}
	}
	for _, sink := range needs.DeadLetters {
		if _, there := reserved[deadStream(pipeline, sink)]; !there && left < own {
			return 0, noRoomForLetters(sink, needs.DeadLetterBytes)
		}
	}
	want := needs.LogBytes
	left = max(own, left/2) // what it has it keeps
	if min(want, left) < leastLog {
		return 0, fault.Permanent(fmt.Errorf("the disk of folder %s has room for a log of %s beside %s for tasks and state, "+
			"and the least is %s: make room, or name a folder on another disk in nats.embedded",
			dir, Size(max(left, 0)), Size(taskBytes+stateBytes), Size(leastLog)))
	}
	return min(want, left), nil
}

// leastRoom is the free space with which a disk counts as full.
const leastRoom = 1 << 20

// DiskFull reports whether the disk of a folder has no room for anything that is stored
// there. One that cannot be asked is not.
func DiskFull(dir string) bool {
	var disk unix.Statfs_t
	if err := unix.Statfs(dir, &disk); err != nil {
		return false
	}
	return int64(disk.Bavail)*int64(disk.Bsize) < leastRoom
}

// storeRoom returns nine tenths of what a store in dir can grow to: what is free and what it
// takes already. onDisk is a folder of the same disk that exists.
func storeRoom(onDisk, dir string) (int64, error) {
	var disk unix.Statfs_t
	if err := unix.Statfs(onDisk, &disk); err != nil {
		return 0, err
	}
	free := int64(disk.Bavail) * int64(disk.Bsize)
	err := filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // the folder, or what was removed meanwhile
			return nil
		case err != nil || d.IsDir():
			return err
		}
		info, err := d.Info()
		if err == nil {
			free += info.Size()
		}
		return err
	})
	return free / 10 * 9, err
}

func lockFile(dir string) string { return filepath.Join(dir, "lock") }

// lockFolder locks the folder for this process, so that no second server opens the same
// store: it would destroy it. The lock ends with the process, however it ends. The file
// then holds who has it, for a process that is refused; empty: it is only tried.
func lockFolder(dir, holder string) (*os.File, error) {
	path, flags := lockFile(dir), os.O_RDWR
	if holder != "" {
		flags |= os.O_CREATE
	}
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, folderError(dir, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, folderError(dir, err)
		}
		return nil, fault.Permanent(&inUseError{fmt.Errorf(
			"folder %s is in use by process %s (%s): stop it, or name another folder in nats.embedded", dir, HolderOf(dir), path)})
	}
	if holder == "" {
		return f, nil
	}
	if err = f.Truncate(0); err == nil {
		_, err = fmt.Fprintln(f, holder)
	}
	if err != nil {
		f.Close()
		return nil, folderError(dir, err)
	}
	return f, nil
}

// inUseError is an [ErrInUse] that says more.
type inUseError struct{ error }

func (*inUseError) Is(target error) bool { return target == ErrInUse }

// folderError explains why the store cannot be used.
func folderError(dir string, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.EROFS):
		return fault.Permanent(fmt.Errorf("folder %s cannot be written: %w: "+
			"give this user the right, or name another folder in nats.embedded", dir, err))
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return fault.Permanent(fmt.Errorf("the disk of folder %s is full: %w: make room and start again", dir, err))
	case errors.Is(err, unix.ENOTDIR):
		return fault.Permanent(fmt.Errorf("folder %s cannot be made: %w: name another folder in nats.embedded", dir, err))
	default:
		return fault.Permanent(fmt.Errorf("use folder %s: %w: name another folder in nats.embedded", dir, err))
	}
}
