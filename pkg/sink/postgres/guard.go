package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
)

// queueGuard makes a batch fail if the table has become unlogged, and report
// whether what was written has to be compared with what is stored.
func (g *tableSpec) queueGuard(b *pgx.Batch, altering *bool) {
	b.Queue(askGuard, g.quoted(), !g.upsert()).QueryRow(func(row pgx.Row) error {
		var unlogged *string
		if err := row.Scan(&unlogged, altering); err != nil {
			return fmt.Errorf("look for triggers: %w", err)
		}
		if unlogged != nil {
			return fault.Permanent(fmt.Errorf("table %s: %s has been made unlogged, so a crash of the server empties it without the others; "+
				"nothing was written. Start this sink again: it says what to do", g, *unlogged))
		}
		return nil
	})
}

// compare fails if triggers have moved rows to other blocks, or deleted them. Values of
// other columns are theirs to change. An upsert is compared by [Writer.outcome], in
// another attempt if it was not.
func (w *Writer) compare(ctx context.Context, tx pgx.Tx, s *scratch, steps []sink.Step) error {
	w.altering.Store(true)
	if w.spec.upsert() {
		if !s.strict {
			return errAltered
		}
		return nil
	}
	// So that triggers that wait for the end of the transaction have run, too.
	if _, err := tx.Exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE"); err != nil {
		return err
	}
	sent, blocks, err := w.spec.sent(steps)
	if err != nil {
		return err
	}
	var starts, ends []int64
	for _, r := range blocks.Ranges() {
		starts, ends = append(starts, int64(r.Start)), append(ends, int64(r.End))
	}
	rows, err := tx.Query(ctx, w.spec.statement("count-stored"), starts, ends)
	if err != nil {
		return fmt.Errorf("compare what is stored: %w", err)
	}
	var n, stored int64
	_, err = pgx.ForEachRow(rows, []any{&n, &stored}, func() error {
		sent[block.Number(n)] -= stored
		return nil
	})
	if err != nil {
		return fmt.Errorf("compare what is stored: %w", err)
	}
	for n, missing := range sent {
		if missing > 0 {
			return w.spec.discrepancy("%d rows that were sent for block %d are not stored under that number", missing, n)
		}
	}
	return nil
}

// sent counts the rows of each block that steps write, from the last one on that
// deletes: others may be gone again.
func (g *tableSpec) sent(steps []sink.Step) (map[block.Number]int64, block.Set, error) {
	rows := make(map[block.Number]int64)
	var all block.Set
	for _, step := range steps {
		if len(step.Delete) > 0 {
			clear(rows)
		}
		for _, run := range step.Write {
			blocks, err := sink.BlocksOf(run.Record, g.block)
			if err != nil {
				return nil, all, err
			}
			for row := run.From; row < run.To; row++ {
				rows[blocks.At(row)]++
			}
			if run.Len() > 0 {
				all.Add(block.Closed(blocks.At(run.From), blocks.At(run.To-1)))
			}
		}
	}
	return rows, all, nil
}

// outcome fails unless each row of the staging table is in the table, or one of its
// key and a higher block. written is how many the server says it has written.
func (w *Writer) outcome(ctx context.Context, tx pgx.Tx, staging string, staged, written uint64) error {
	g := w.spec
	sql := g.statement("compare-staged", "{staging}", staging)
	var outdone, changed, missing uint64
	if err := tx.QueryRow(ctx, sql).Scan(&outdone, &changed, &missing); err != nil {
		return fmt.Errorf("compare what is stored: %w", err)
	}
	switch unwritten := staged - min(staged, written+outdone); {
	case missing > 0:
		return g.discrepancy("%d of %d rows that were sent are not stored, nor is a newer row of their keys", missing, staged)
	case unwritten > 0 && changed > 0:
		return g.discrepancy("%d of %d rows that were sent are not stored: older rows of their keys are still there",
			min(unwritten, changed), staged)
	case written+outdone > staged:
		return g.discrepancy("%d of %d rows that were sent are stored under another block number", written+outdone-staged, staged)
	}
	return nil
}
