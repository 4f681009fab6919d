// Package freelist keeps memory that will be needed again.
package freelist

import (
	"sync"
	"time"
)

// Period is how long a [List] keeps what nobody needs, at least, and twice that at most.
const Period = 3 * time.Second

// List keeps what was put into it until it is asked for. In contrast to a [sync.Pool] it is
// not emptied by collections: buffers that are allocated anew after each would make the
// next one come sooner. What was not needed for a while is left to the collector. The zero
// value is an empty list. It is safe for concurrent use.
type List[T any] struct {
	mu    sync.Mutex
	free  []T
	least int // how many there were at least since the last look
	looks bool
}

// Get returns what was put last, and reports whether there was anything.
func (l *List[T]) Get() (item T, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := len(l.free) - 1
	if last < 0 {
		return item, false
	}
	item = l.free[last]
	clear(l.free[last:])
	l.free = l.free[:last]
	l.least = min(l.least, last)
	return item, true
}

// Put keeps an item, which nobody may use any more.
func (l *List[T]) Put(item T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free = append(l.free, item)
	if !l.looks {
		l.looks, l.least = true, 0
		time.AfterFunc(Period, l.look)
	}
}

// look drops what was not needed since the last look. It is called again as long as there
// is something to drop, so an empty list wakes nobody.
func (l *List[T]) look() {
	l.mu.Lock()
	defer l.mu.Unlock()
	rest := copy(l.free, l.free[l.least:]) // those that lay longest are first
	clear(l.free[rest:])
	l.free = l.free[:rest]
	l.least = rest
	if rest == 0 {
		l.free, l.looks = nil, false
		return
	}
	time.AfterFunc(Period, l.look)
}
