package storage

import (
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

	"github.com/ampipe/ampipe/pkg/fault"
)

// Folder is a table in a folder of a local or mounted file system that has hard
// links. A file gets its name by a link to a synced temporary one, which fails if
// the name is taken: that is atomic between processes, where a look followed by a
// rename is not.
type Folder struct{ root string }

var _ Store = (*Folder)(nil)

// NewFolder gives the folder as a Store. It need not exist.
func NewFolder(root string) *Folder { return &Folder{root} }

// String gives the path.
func (f *Folder) String() string { return f.root }

// Close does nothing.
func (f *Folder) Close() error { return nil }

func (f *Folder) path(name string) string { return filepath.Join(f.root, filepath.FromSlash(name)) }

// Temporary begins the names of files that have none yet. Names with a dot in front are
// left alone by readers of Delta tables, and taken away by vacuum.
const Temporary = ".ampipe-"

// Create writes a new file; see [Store].
func (f *Folder) Create(ctx context.Context, name string, content []byte) error {
	return f.place(ctx, name, func(w *os.File) error {
		_, err := w.Write(content)
		return err
	}, func(from, to string) error {
		err := os.Link(from, to)
		return errors.Join(err, os.Remove(from))
	})
}

// Write copies a file; see [Store].
func (f *Folder) Write(ctx context.Context, name string, r io.ReaderAt, size int64) error {
	return f.place(ctx, name, func(w *os.File) error {
		if from, ok := r.(*os.File); ok { // the kernel copies
			if _, err := from.Seek(0, io.SeekStart); err != nil {
				return err
			}
			_, err := w.ReadFrom(io.LimitReader(from, size))
			return err
		}
		_, err := io.Copy(w, io.NewSectionReader(r, 0, size))
		return err
	}, os.Rename)
}

// Replace writes a file over another; see [Store].
func (f *Folder) Replace(ctx context.Context, name string, content []byte) error {
	return f.place(ctx, name, func(w *os.File) error {
		_, err := w.Write(content)
		return err
	}, os.Rename)
}

// place fills a temporary file in the folder of name, syncs it, gives it its name
// and syncs the folder.
func (f *Folder) place(ctx context.Context, name string, fill func(*os.File) error, settle func(from, to string) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("write %s: %w", name, context.Cause(ctx))
	}
	to := f.path(name)
	dir := filepath.Dir(to)
	if err := makeFolders(dir); err != nil {
		return classifyOS(fmt.Errorf("write %s: %w", name, err))
	}
	from := filepath.Join(dir, Temporary+rand.Text())
	err := writeSynced(from, fill)
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
		return classifyOS(fmt.Errorf("write %s: %w", name, err))
	}
	return nil
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
	return classifyOS(fmt.Errorf("%s %s: %w", verb, name, err))
}

// classifyOS marks what repeating cannot mend, and what passes by itself.
func classifyOS(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fault.Permanent(fmt.Errorf("%w; give this user the right to read and write there", err))
	case errors.Is(err, syscall.ENOTDIR):
		return fault.Permanent(fmt.Errorf("%w; a file stands where the table needs a folder", err))
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.ENOTSUP):
		return fault.Permanent(fmt.Errorf("%w; the file system has to offer hard links", err))
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fault.Later(fmt.Errorf("%w; make room", err), 0)
	default:
		return err
	}
}

// probe finds out whether this user may write in the folder, or where it has to be
// made, and whether a link to a name that is taken fails there.
func (f *Folder) probe() error {
	dir := f.root
	for {
		info, err := os.Stat(dir)
		if err == nil && !info.IsDir() {
			err = &fs.PathError{Op: "open", Path: dir, Err: syscall.ENOTDIR}
		}
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return classifyOS(err)
		}
		dir = filepath.Dir(dir)
	}
	from := filepath.Join(dir, Temporary+rand.Text())
	to := from + "-link"
	err := writeSynced(from, func(*os.File) error { return nil })
	if err != nil {
		return classifyOS(err)
	}
	err = os.Link(from, to)
	if err == nil && !errors.Is(os.Link(from, to), fs.ErrExist) {
		err = fault.Permanent(fmt.Errorf("the file system of %s gives a name twice; put the table on another one", dir))
	}
	for _, name := range []string{from, to} {
		if gone := os.Remove(name); err == nil && gone != nil {
			err = gone
		}
	}
	return classifyOS(err)
}
