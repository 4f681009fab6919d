package storage

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ampipe/ampipe/pkg/fault"
)

// Folder is a table in a folder of a local or mounted file system that has hard
// links. A file gets its name by a link to a synced temporary one, which fails if
// the name is taken: that is atomic between processes, where a look followed by a
// rename is not.
type Folder struct{ root string }

var _ Store = (*Folder)(nil)

// NewFolder returns the folder as a Store. It need not exist.
func NewFolder(root string) *Folder { return &Folder{root} }

// String returns the path.
func (f *Folder) String() string { return f.root }

// Close does nothing.
func (f *Folder) Close() error { return nil }

func (f *Folder) path(name string) string { return filepath.Join(f.root, filepath.FromSlash(name)) }

// Temporary begins the names of files that have none yet. Names with a dot in front are
// left alone by readers of Delta tables, and taken away by vacuum.
const Temporary = ".ampipe-"

// Create writes a new file; see [Store].
func (f *Folder) Create(ctx context.Context, name string, content []byte) error {
	return f.place(ctx, name, bytes.NewReader(content), int64(len(content)), func(from, to string) error {
		err := os.Link(from, to)
		return errors.Join(err, os.Remove(from))
	})
}

// Write copies a file; see [Store].
func (f *Folder) Write(ctx context.Context, name string, r io.ReaderAt, size int64) error {
	return f.place(ctx, name, r, size, os.Rename)
}

// place copies to a temporary file in the folder of name, syncs it, renames it and
// syncs the folder.
func (f *Folder) place(ctx context.Context, name string, r io.ReaderAt, size int64, settle func(from, to string) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("write %s: %w", name, context.Cause(ctx))
	}
	to := f.path(name)
	dir := filepath.Dir(to)
	if err := makeFolders(dir); err != nil {
		return Classify(fmt.Errorf("write %s: %w", name, err))
	}
	from := filepath.Join(dir, Temporary+rand.Text())
	err := writeSynced(from, func(w *os.File) error { return copyTo(w, r, size) })
	if err != nil {
		_ = os.Remove(from)
	} else {
		err = settle(from, to)
	}
	if err == nil {
		err = syncFolder(dir)
	}
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("write %s: %w", name, ErrExists)
	}
	if err != nil {
		return Classify(fmt.Errorf("write %s: %w", name, err))
	}
	return nil
}

func copyTo(w *os.File, r io.ReaderAt, size int64) error {
	if from, ok := r.(*os.File); ok { // the kernel copies
		if _, err := from.Seek(0, io.SeekStart); err != nil {
			return err
		}
		_, err := w.ReadFrom(io.LimitReader(from, size))
		return err
	}
	_, err := io.Copy(w, io.NewSectionReader(r, 0, size))
	return err
}

func writeSynced(path string, fill func(*os.File) error) error {
	w, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	err = fill(w)
	if err == nil {
		err = w.Sync()
	}
	return errors.Join(err, w.Close())
}

// makeFolders makes the missing folders of a path and syncs the ones that got an
// entry.
func makeFolders(dir string) error {
	if info, err := os.Stat(dir); err == nil {
		if !info.IsDir() {
			return &fs.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}
		}
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if err := makeFolders(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncFolder(parent)
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Read reads a file; see [Store].
func (f *Folder) Read(_ context.Context, name string) ([]byte, error) {
	content, err := os.ReadFile(f.path(name))
	if err != nil {
		return nil, f.failed("read", name, err)
	}
	return content, nil
}

// Open opens a file; see [Store].
func (f *Folder) Open(_ context.Context, name string) (File, error) {
	file, err := os.Open(f.path(name))
	if err != nil {
		return nil, f.failed("open", name, err)
	}
	return file, nil
}

// Delete removes a file; see [Store].
func (f *Folder) Delete(_ context.Context, name string) error {
	if err := os.Remove(f.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return f.failed("delete", name, err)
	}
	return nil
}

// List walks the folder; see [Store].
func (f *Folder) List(ctx context.Context, prefix, after string, each func(Info) error) error {
	var found []Info
	base := prefix[:strings.LastIndexByte(prefix, '/')+1]
	err := filepath.WalkDir(f.path(base), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(f.root, path)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(rel)
		if !strings.HasPrefix(name, prefix) || name <= after {
			return nil
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			found = append(found, Info{Name: name, Size: info.Size(), Modified: info.ModTime()})
		}
		return err
	})
	if err != nil {
		return f.failed("list", prefix, err)
	}
	sort.Slice(found, func(i, j int) bool { return found[i].Name < found[j].Name })
	for _, info := range found {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if err := each(info); err != nil {
			return err
		}
	}
	return nil
}

func (f *Folder) failed(verb, name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s %s: %w", verb, name, ErrNotFound)
	}
	return Classify(fmt.Errorf("%s %s: %w", verb, name, err))
}

// Longest returns what the system takes for a path, and every file system in use for a name.
func (f *Folder) Longest() (whole, part int) { return unix.PathMax - len(f.root) - 2, 255 }

// probe checks whether this user may write in the folder and in that of the log, or
// where they have to be made, and whether a link to a name that is taken fails there.
func (f *Folder) probe() error {
	dir, err := existing(f.root)
	if err != nil {
		return Classify(err)
	}
	if err := probeFolder(dir); err != nil {
		what := "write in the folder " + dir
		if dir != f.root {
			what = fmt.Sprintf("make the folder %s in %s", f.root, dir)
		}
		return refusedThere(what, err)
	}
	log := filepath.Join(f.root, "_delta_log")
	if _, err := os.Stat(log); err != nil {
		return nil // it is made where there was room just now
	}
	if err := probeFolder(log); err != nil {
		return refusedThere("write in the folder "+log, err)
	}
	return nil
}

// refusedThere classes an error of a probe, without the name of the probe's file.
func refusedThere(what string, err error) error {
	if fault.Of(err) == fault.ClassPermanent {
		return err
	}
	if number, ok := errors.AsType[syscall.Errno](err); ok {
		err = number
	}
	err = fmt.Errorf("%s: %w", what, err)
	if errors.Is(err, fs.ErrNotExist) { // the folder was there just now
		return fault.Permanent(fmt.Errorf("%w; nothing can be made there: put the table elsewhere", err))
	}
	return Classify(err)
}

// existing returns the folder, or the nearest one above it that there is.
func existing(dir string) (string, error) {
	for {
		info, err := os.Stat(dir)
		switch {
		case err == nil && info.IsDir():
			return dir, nil
		case err == nil:
			return "", &fs.PathError{Op: "open", Path: dir, Err: syscall.ENOTDIR}
		case !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir):
			return "", err
		}
		dir = filepath.Dir(dir)
	}
}

// probeFolder makes a file in a folder, links a second name to it, and removes both.
func probeFolder(dir string) error {
	from := filepath.Join(dir, Temporary+rand.Text())
	to := from + "-link"
	if err := writeSynced(from, fill); err != nil {
		_ = os.Remove(from)
		return err
	}
	err := os.Link(from, to)
	if err == nil && !errors.Is(os.Link(from, to), fs.ErrExist) {
		err = fault.Permanent(fmt.Errorf("the file system of %s gives a name twice; put the table on another one", dir))
	}
	for _, name := range []string{from, to} {
		if gone := os.Remove(name); err == nil && gone != nil {
			err = gone
		}
	}
	return err
}
