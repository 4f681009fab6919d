package extract

import (
	"context"
	"fmt"
	"sync"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// Preparer is a [Source] that can have its server plan a query before it is fetched. What
// Prepare has done is lost if the text differs.
type Preparer interface {
	Prepare(ctx context.Context, query string) error
}

// nextTask is the task that a worker works on after the partition that it still reads. The
// source plans the query of it meanwhile. It is given back when somebody else could work on
// it. It is safe for concurrent use.
type nextTask struct {
	x   *Extractor
	ctx context.Context // ends when the worker is to take no more tasks

	mu     sync.Mutex
	closed bool            // the worker works on it
	task   *queue.Task     // nil: there is none
	end    func(wait bool) // ends what is done for the task, which can be answered then
}

// reserve takes a task from the queue, unless there is one.
func (n *nextTask) reserve(context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	source, can := n.x.Source.(Preparer)
	if !can || n.closed || n.task != nil {
		return nil
	}
	task, err := n.x.Tasks.Take(n.ctx, queue.PartitionTask)
	if err != nil { // the worker sees it when it needs one
		return nil
	}
	// One that was lost meanwhile is fenced like any other.
	_, release := task.Keep(context.WithoutCancel(n.ctx))
	ctx, cancel := context.WithCancel(n.ctx)
	var preparing sync.WaitGroup
	preparing.Go(func() {
		// If it fails, a round trip is lost: the query is planned when it is fetched.
		if err := n.x.prepare(ctx, source, task.ID); err != nil && ctx.Err() == nil {
			n.x.Logger.Debug().Err(err).Str("partition", task.ID).Msg("the next partition was not prepared")
		}
	})
	n.task = task
	n.end = func(wait bool) {
		if !wait {
			cancel()
		}
		preparing.Wait()
		cancel()
		release()
	}
	return nil
}

// reserved reports whether there is a task.
func (n *nextTask) reserved() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.task != nil
}

// giveBack returns the task to the queue.
func (n *nextTask) giveBack(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.task == nil {
		return nil
	}
	n.end(false)
	n.x.putBack(ctx, n.task)
	n.task = nil
	return nil
}

// take returns the task for the worker, or nil. After that none is reserved.
func (n *nextTask) take() *queue.Task {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	if n.task != nil {
		n.end(true)
	}
	return n.task
}

// prepare has the source plan the query of a partition.
func (x *Extractor) prepare(ctx context.Context, source Preparer, id string) error {
	part, _, err := x.State.Partition(ctx, id)
	if err != nil {
		return fmt.Errorf("read partition %s: %w", id, err)
	}
	spec, query, err := x.plan(ctx)
	if err != nil {
		return err
	}
	r := block.Range{Start: max(part.Start, part.Next), End: part.End}
	if x.MostBlocks != nil {
		if most := x.MostBlocks(); most > 0 && r.Len() > most {
			r.End = r.Start + block.Number(most)
		}
	}
	if part.State != state.PartitionOpen || part.Version != spec.Version || r.Empty() {
		return nil
	}
	return source.Prepare(ctx, query.Wrap(spec.BlockColumn, r))
}
