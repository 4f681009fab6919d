package storage

import (
	"fmt"
	"os"

	"github.com/ampipe/ampipe/pkg/fault"
)

// NewSpool makes a temporary file in a folder (empty: the system's) that has no
// name any more: whatever happens to the process, nothing is left behind. The
// caller closes it.
func NewSpool(dir string) (*os.File, error) {
	if dir != "" {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fault.Permanent(fmt.Errorf("make the spool folder: %w", err))
		}
	}
	f, err := os.CreateTemp(dir, "ampipe-delta-")
	if err != nil {
		return nil, classifyOS(fmt.Errorf("make a spool file: %w", err))
	}
	if err := os.Remove(f.Name()); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("unlink a spool file: %w", err)
	}
	return f, nil
}
