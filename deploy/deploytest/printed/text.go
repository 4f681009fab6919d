// Package printed collects what the processes of the tests print.
package printed

import (
	"bytes"
	"sync"
)

// Text is what has been printed. The zero value is ready, and it is safe for concurrent
// use.
type Text struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (t *Text) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all.Write(b)
}

// String returns all of it.
func (t *Text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all.String()
}

// End returns the last n bytes of it, or all if there are fewer.
func (t *Text) End(n int) string {
	text := t.String()
	return text[max(0, len(text)-n):]
}
