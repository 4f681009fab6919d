package table

import (
	"context"
	"iter"

	"github.com/apache/arrow-go/v18/arrow"
)

// Pulled is a batch, or why there is none.
type Pulled struct {
	Batch arrow.RecordBatch
	Err   error
}

// Pull takes batches in a goroutine of its own; rows is given the context that ends
// with it. The caller stops it, which waits for its end and releases what is left.
func Pull(ctx context.Context, rows func(context.Context) iter.Seq2[arrow.RecordBatch, error]) (<-chan Pulled, func()) {
	ctx, cancel := context.WithCancel(ctx)
	out := make(chan Pulled)
	go func() {
		defer close(out)
		for batch, err := range rows(ctx) {
			select {
			case out <- Pulled{batch, err}:
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
			if left.Batch != nil {
				left.Batch.Release()
			}
		}
	}
}
