package delta

import (
	"context"
	"fmt"

	"github.com/ampipe/ampipe/pkg/sink/delta/storage"
)

// Reach checks whether the storage can be used, while the columns of the query are not
// known. What it writes for that it removes. The Writer is not open after.
func (w *Writer) Reach(ctx context.Context) (err error) {
	w.store, err = storage.Open(ctx, w.storagePlace())
	if err != nil {
		return fmt.Errorf("table %s: %w", w.place(), err)
	}
	if err := w.opened(ctx, w.probe(ctx)); err != nil {
		return err
	}
	return w.Close()
}

// storagePlace returns where the table is stored.
func (w *Writer) storagePlace() storage.Place {
	return storage.Place{
		Path: w.cfg.Path, URL: w.cfg.URL, Endpoint: w.cfg.Endpoint, Region: w.cfg.Region, Spool: w.cfg.Spool,
	}
}
