package queue

import (
	"context"

	"golang.org/x/sync/semaphore"
)

const (
	// largestShare is what a large message counts against the bound, however large it is.
	largestShare = 1 << 20
	// leastShare is what a small one counts: storing it takes a sync, too.
	leastShare = largestShare / 4
)

// publishBound bounds how many bytes of the history a process publishes at a time. It is
// safe for concurrent use. Nil bounds nothing.
type publishBound struct{ free *semaphore.Weighted }

// BoundHistory makes this process publish only a little of the history at a time, from now on.
// It is for a pipeline that follows the chain beside it: a server stores the messages of a
// stream one after the other, each with a sync, and neither acknowledges nor delivers one of
// them before it has stored all that had come meanwhile. So a live entry waits for everything
// that is under way, when it is stored and again when it is delivered. Two large messages
// keep a server busy: one comes while the other is stored. A server in this process, which
// they come to at once, is kept busy by one.
//
// In a cluster nothing is bounded: messages are under way between its nodes at the same time.
func (l *Log) BoundHistory() {
	if l.conn.cfg.Replicas > 1 {
		return
	}
	large := int64(2)
	if l.conn.server != nil {
		large = 1
	}
	l.history.Store(&publishBound{semaphore.NewWeighted(large * largestShare)})
}

// acquire waits until so many bytes of the history may be published, and returns what says
// that they have been. The error is ctx's.
func (b *publishBound) acquire(ctx context.Context, size int) (release func(), err error) {
	if b == nil {
		return func() {}, nil
	}
	share := int64(min(max(size, leastShare), largestShare))
	if err := b.free.Acquire(ctx, share); err != nil {
		return nil, context.Cause(ctx)
	}
	return func() { b.free.Release(share) }, nil
}
