package memsink

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/sink"
)

// Describe returns the columns of the table, one a line.
func (w *Writer) Describe(t sink.Table) (string, error) { return t.Schema.String(), nil }

// Reach does nothing: the store is in this process.
func (w *Writer) Reach(ctx context.Context) error { return ctx.Err() }

// Check makes the checks of [Writer.Open].
func (w *Writer) Check(ctx context.Context, t sink.Table) error {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	_, _, err := w.fits(ctx, t)
	return err
}

// CheckRows returns nil: the store takes every row of a table that it takes.
func (w *Writer) CheckRows(arrow.RecordBatch) error { return nil }

// OpenStored makes the writer read what the store holds.
func (w *Writer) OpenStored(ctx context.Context, t sink.Table) error { return w.Open(ctx, t) }

// Warnings returns nothing.
func (w *Writer) Warnings(sink.Table) []string { return nil }
