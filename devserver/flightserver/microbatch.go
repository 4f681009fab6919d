package flightserver

import (
	"context"
	"errors"
	"time"

	"github.com/ampipe/ampipe/devserver/faults"
	"github.com/ampipe/ampipe/devserver/sqlengine"
	"github.com/ampipe/ampipe/devserver/table"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/apache/arrow-go/v18/arrow"
)

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
	batches, stop := table.Pull(ctx, func(ctx context.Context) faults.Rows {
		if faults.Wait(ctx, time.Duration(switches.Slow)) != nil {
			return func(func(arrow.RecordBatch, error) bool) {}
		}
		return f.faults.Switches.Bend(result.Rows(), true)
	})
	defer stop()
	alive := time.NewTicker(f.server.streaming.KeepAlive)
	defer alive.Stop()
	for {
		select {
		case c, more := <-batches:
			if !more {
				return ctx.Err() // rows that were cut off are not complete
			}
			if c.Err != nil {
				return c.Err
			}
			err := f.send(ctx, c.Batch, metadata)
			c.Batch.Release()
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
