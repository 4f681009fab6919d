package systemd

import (
	"bytes"
	"sync"
)

// firstLine keeps what a process prints, and closes written when there is something.
// It is safe for concurrent use.
type firstLine struct {
	mu      sync.Mutex
	text    bytes.Buffer
	written chan struct{}
}

func (f *firstLine) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.text.Len() == 0 && len(p) > 0 {
		close(f.written)
	}
	return f.text.Write(p)
}

func (f *firstLine) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.text.String()
}
