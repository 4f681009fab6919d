package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/ampipe/ampipe/pkg/fault"
)

// NewSpool makes a temporary file in a folder (empty: the system's) that has no
// name any more: whatever happens to the process, nothing is left behind. The
// caller closes it.
func NewSpool(dir string) (*os.File, error) {
	if dir != "" {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, OfSpool(dir, err)
		}
	}
	f, err := os.CreateTemp(dir, "ampipe-delta-")
	if err != nil {
		return nil, OfSpool(dir, err)
	}
	if err := os.Remove(f.Name()); err != nil {
		_ = f.Close()
		return nil, OfSpool(dir, err)
	}
	return f, nil
}

// ProbeSpool checks whether files can be written in the folder of the spool, or where
// it has to be made. It makes no folder and leaves nothing behind.
func ProbeSpool(dir string) error {
	there := dir
	if dir != "" {
		var err error
		if there, err = existing(dir); err != nil {
			return OfSpool(dir, err)
		}
	}
	f, err := NewSpool(there)
	if err != nil {
		return err
	}
	if err = fill(f); err != nil {
		err = OfSpool(dir, err)
	}
	return errors.Join(err, f.Close())
}

// probeSize is what a probe writes: an empty file finds room on a full disk.
const probeSize = 64 << 10

// fill writes to a file, so that the disk has to have room for it.
func fill(f *os.File) error {
	if _, err := f.Write(make([]byte, probeSize)); err != nil {
		return err
	}
	return f.Sync()
}

// OfSpool classes an error of the spool in a folder, names it, and says what to do.
func OfSpool(dir string, err error) error {
	where := dir
	if where == "" {
		where = os.TempDir()
	}
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		err = path.Err
	}
	err = Classify(fmt.Errorf("write to the spool folder %s: %w", where, err))
	return fault.As(fault.Of(err), fmt.Errorf("%w, or set spool to another folder", err))
}
