package flightserver

import (
	"context"
	"errors"
	"time"

	"github.com/ampipe/ampipe/devserver/faults"
	"github.com/ampipe/ampipe/devserver/sqlengine"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/apache/arrow-go/v18/arrow"
)

// computed is a batch of a microbatch, or why there is none.
type computed struct {
	batch arrow.RecordBatch
	err   error
}

// rows sends the rows of a microbatch, and an empty batch now and then while
// they are computed.
func (f *follower) rows(
	ctx context.Context, blocks block.Range, snapshots sqlengine.Snapshots, switches faults.Switches, metadata []byte,
) (err error) {
	result, err := f.plan.Window(ctx, snapshots, blocks)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, result.Close()) }()
	batches, stop := compute(ctx, time.Duration(switches.Slow), f.faults.Switches.Bend(result.Rows(), true))
	defer stop()
	alive := time.NewTicker(f.server.streaming.KeepAlive)
	defer alive.Stop()
	for {
		select {
		case c, more := <-batches:
			if !more {
				return ctx.Err() // rows that were cut off are not complete
			}
			if c.err != nil {
				return c.err
			}
			err := f.send(ctx, c.batch, metadata)
			c.batch.Release()
			if err != nil {
				return err
			}
		case <-alive.C:
			if err := f.empty(ctx, metadata); err != nil {
				return err
			}
		case err := <-f.faults.Failed():
			return err
		}
	}
}

// compute takes rows in a goroutine of its own, beginning after a while. The
// caller stops it, which waits for its end and releases what is left.
func compute(ctx context.Context, after time.Duration, rows faults.Rows) (<-chan computed, func()) {
	ctx, cancel := context.WithCancel(ctx)
	out := make(chan computed)
	go func() {
		defer close(out)
		if faults.Wait(ctx, after) != nil {
			return
		}
		for batch, err := range rows {
			select {
			case out <- computed{batch, err}:
			case <-ctx.Done():
				if batch != nil {
					batch.Release()
				}
				return
			}
		}
	}()
	return out, func() {
		cancel()
		for left := range out {
			if left.batch != nil {
				left.batch.Release()
			}
		}
	}
}
