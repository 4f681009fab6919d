package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// tellIndexing tells how far the server is with an index of the table or of a partition, and
// whom it waits for. pid is the process of the server that builds, 0: it is not known.
func (w *Writer) tellIndexing(ctx context.Context, pid uint32, tell func(string)) error {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	var (
		name, phase string
		done        float64
		found       bool
	)
	err := w.inTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) (err error) {
		found, err = maybe(tx.QueryRow(ctx, statement("ask-progress"), w.spec.quoted()).Scan(&pid, &name, &phase, &done))
		return err
	})
	text, waits := indexingText(name, phase, done)
	if !found {
		text, waits = "building indexes", true // it may be about to begin, or remove one that was not finished
	}
	var holders []blocker
	if err == nil && waits && pid != 0 {
		holders, err = w.pool.lookFor(ctx, pid)
	}
	switch {
	case err != nil:
		return fmt.Errorf("ask how far an index is: %w", err)
	case len(holders) > 0:
		tell(text + ": waits for " + named(holders))
	case found:
		tell(text)
	}
	return nil
}

// indexingPhases are the phases of building an index that take long, in their order, with
// the share of the work that is done when each begins.
var indexingPhases = []struct {
	phase string
	begin float64
}{
	{"building index: scanning table", 0},
	{"building index: sorting live tuples", 0.5},
	{"building index: loading tuples in tree", 0.6},
	{"index validation: scanning index", 0.8},
	{"index validation: sorting tuples", 0.85},
	{"index validation: scanning table", 0.87},
	{"", 1},
}

// indexingText says how far an index is, and whether it waits for others; done is how much of
// the phase is.
func indexingText(name, phase string, done float64) (text string, waits bool) {
	for i, p := range indexingPhases {
		if p.phase == phase && phase != "" {
			share := p.begin + done*(indexingPhases[i+1].begin-p.begin)
			return fmt.Sprintf("building index %s, %.0f %%", name, 100*share), false
		}
	}
	return fmt.Sprintf("building index %s (%s)", name, phase), true
}
