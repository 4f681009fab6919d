package table

import (
	"container/list"
	"context"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
)

// cacheBytes bounds the decoded row groups that a dataset keeps: many small
// ranges of one large row group would else decode all of it each time.
const cacheBytes = 1 << 30

// cache keeps the row groups used last. It is safe for concurrent use.
type cache struct {
	limit int64

	mu    sync.Mutex
	used  int64
	order *list.List // of *group, last used first
	found map[groupKey]*list.Element
}

type groupKey struct {
	path  string
	index int
}

// group is a decoded row group; loaded is closed once batches or err is set.
type group struct {
	key     groupKey
	size    int64
	loaded  chan struct{}
	batches []arrow.RecordBatch
	err     error
}

func newCache(limit int64) *cache {
	return &cache{limit: limit, order: list.New(), found: map[groupKey]*list.Element{}}
}

// get returns some columns of a row group, loading all of it if that was not done yet. The
// caller releases the batches.
func (c *cache) get(
	ctx context.Context, key groupKey, columns []int, load func(context.Context) ([]arrow.RecordBatch, error),
) ([]arrow.RecordBatch, error) {
	c.mu.Lock()
	element, hit := c.found[key]
	if !hit {
		element = c.order.PushFront(&group{key: key, loaded: make(chan struct{})})
		c.found[key] = element
	}
	c.order.MoveToFront(element)
	g := element.Value.(*group)
	c.mu.Unlock()
	if hit {
		select {
		case <-g.loaded:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	} else {
		// Others wait for this load: it must not end with one caller's query.
		g.batches, g.err = load(context.WithoutCancel(ctx))
		close(g.loaded)
		c.settle(element)
	}
	if g.err != nil {
		return nil, g.err
	}
	out := make([]arrow.RecordBatch, len(g.batches))
	for i, b := range g.batches {
		out[i] = Project(b, columns)
	}
	return out, nil
}

// settle counts a group that has been loaded and drops the oldest ones above
// the limit. A dropped group stays valid for those who hold it: its memory
// belongs to the garbage collector.
func (c *cache) settle(element *list.Element) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := element.Value.(*group)
	if c.found[g.key] != element {
		return // dropped while it was loading
	}
	for _, b := range g.batches {
		for _, column := range b.Columns() {
			g.size += int64(column.Data().SizeInBytes())
		}
	}
	c.used += g.size
	if g.err != nil {
		c.drop(element)
	}
	for last := c.order.Back(); last != nil && c.used > c.limit; last = c.order.Back() {
		if last == element {
			break // the caller is about to use it
		}
		c.drop(last)
	}
}

// drop forgets a group; one that is still loading counts nothing yet.
func (c *cache) drop(element *list.Element) {
	g := element.Value.(*group)
	c.order.Remove(element)
	delete(c.found, g.key)
	c.used -= g.size
}
