package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Reach connects and asks whether the server takes writes: what can be found out while
// the columns of the query are not known. It changes nothing.
func (w *Writer) Reach(ctx context.Context) error {
	g := &tableSpec{schema: w.cfg.Schema, table: w.cfg.Table}
	pool, err := connect(ctx, w.cfg, g)
	if err != nil {
		return opened(ctx, g, err)
	}
	defer pool.Close()
	err = pool.inTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, openPatience, func(tx pgx.Tx) error {
		return takesWrites(ctx, tx)
	})
	return opened(ctx, g, err)
}
