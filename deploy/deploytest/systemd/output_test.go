package systemd

import (
	"sync"

	"github.com/ampipe/ampipe/deploy/deploytest/printed"
)

// firstLine keeps what a process prints, and closes written when there is something.
type firstLine struct {
	printed.Text
	once    sync.Once
	written chan struct{}
}

func (f *firstLine) Write(p []byte) (int, error) {
	defer f.once.Do(func() { close(f.written) })
	return f.Text.Write(p)
}
