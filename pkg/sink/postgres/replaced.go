package postgres

import (
	"context"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
)

// Of rows with the same key the table holds the one of the highest block. If that
// block may still be taken back, the row that it replaced, or kept out, is kept in
// ampipe.replaced, and returns to the table with [replacedRows.restore].

// replacedRows is what one call of Apply knows of the rows that were replaced. Tables
// where a row of one block cannot replace one of another have none: nil.
type replacedRows struct {
	spec  *tableSpec
	id    int32
	final uint64 // blocks below the head that may still be taken back

	live    bool         // the live lane has been started; before, nothing is kept
	from    block.Number // what was replaced by a block from here on is kept
	unsaved int64        // the highest block that replaced a row that was not kept; -1: none
	lost    bool         // this call has replaced rows that are not kept
}

// replaces reports whether a row of one block can replace one of another.
func (g *tableSpec) replaces() bool { return g.upsert() && !g.keyed(g.block) }

// queueReplaced makes a batch read what the table knows of the rows that were
// replaced.
func (w *Writer) queueReplaced(b *pgx.Batch) *replacedRows {
	if !w.spec.replaces() {
		return nil
	}
	p := &replacedRows{spec: w.spec, id: w.id, final: w.cfg.Finality}
	b.Queue(statement("read-unsaved"), w.id).QueryRow(func(row pgx.Row) error { return row.Scan(&p.unsaved) })
	return p
}

// at fixes from where on rows are kept: a call that starts the live lane keeps
// what it replaces itself.
func (p *replacedRows) at(s sink.LiveState) {
	if p != nil {
		p.live, p.from = s.Started, firstOpen(s, p.final)
	}
}

// firstOpen returns the lowest block that is not final.
func firstOpen(s sink.LiveState, final uint64) block.Number {
	head := uint64(max(s.Start, s.Cursor.Number))
	return block.Number(head - min(head, final))
}

// alone reports whether what the changes replace has to be kept. Then nobody may
// write beside this call: a row that comes between looking for what is replaced
// and replacing it would be lost.
func (p *replacedRows) alone(changes []sink.Change) bool {
	if p == nil || !p.live {
		return false
	}
	for _, c := range changes {
		if c.Range.End > p.from {
			return true
		}
	}
	return false
}

// keeps reports whether a row that is replaced by a block has to be kept, and notes
// if it has not.
func (p *replacedRows) keeps(by block.Number) bool {
	if p == nil {
		return false
	}
	if p.live && by >= p.from {
		return true
	}
	p.lose()
	return false
}

// lose notes that a row is replaced which is not kept.
func (p *replacedRows) lose() {
	p.lost = true
	if p.live {
		p.unsaved = max(p.unsaved, int64(p.from)-1)
	}
}

// mayLose reports whether something that is not kept is lost if rows from a block
// on replace others, or are replaced.
func (p *replacedRows) mayLose(lowest block.Number) bool {
	return p != nil && (!p.live || lowest < p.from)
}

// check refuses to take blocks back if a row that one of them replaced is gone.
// The blocks of a closed range come again, and with them the same keys.
func (p *replacedRows) check(r block.Range) error {
	if p == nil || r.End <= block.Max || int64(r.Start) > p.unsaved {
		return nil
	}
	return fault.Permanent(fmt.Errorf("table %s: the chain takes back all blocks from %d on, and rows that blocks up to %d "+
		"have replaced were not kept: "+
		"they were more than %d blocks (finality) below the head, or came before the live chain was followed; nothing was changed. "+
		"Load the table again: stop this sink, set overwrite: true, run DELETE FROM ampipe.tables WHERE id = %d, and start it",
		p.spec, r.Start, p.unsaved, p.final, p.id))
}

// keep puts rows into ampipe.replaced: those of the table that rows of the staging
// table are about to replace, and those of the staging table that are of a lower
// block than the one in the table.
func (p *replacedRows) keep(ctx context.Context, tx pgx.Tx, staging string) error {
	if p == nil || !p.live {
		return nil
	}
	g := p.spec
	sql := g.statement("keep-replaced", "{staging}", staging)
	var lost, saved int64
	if err := tx.QueryRow(ctx, sql, p.id, g.names(), int64(p.from)).Scan(&lost, &saved); err != nil {
		return fmt.Errorf("keep the rows that are replaced: %w", err)
	}
	if saved != lost {
		return stateDiscrepancy("replaced", "INSERT of %d rows stored %d", lost, saved)
	}
	return nil
}

// restore deletes what is kept of blocks that were deleted from the table, and
// puts back, for each key that the table has lost, the row of the highest block.
func (p *replacedRows) restore(ctx context.Context, tx pgx.Tx, r block.Range) error {
	if p == nil {
		return nil
	}
	g := p.spec
	args := []any{p.id, int64(r.Start), int64(min(r.End, block.Max+1))}
	var b pgx.Batch
	b.Queue(statement("forget-replaced"), args...)
	var taken, back, left int64
	b.Queue(g.statement("restore-replaced"), args...).QueryRow(func(row pgx.Row) error { return row.Scan(&taken, &back) })
	b.Queue(g.statement("reassign-replaced"), args...)
	b.Queue(statement("count-replaced"), args...).QueryRow(func(row pgx.Row) error { return row.Scan(&left) })
	if err := tx.SendBatch(ctx, &b).Close(); err != nil {
		return fmt.Errorf("bring back the rows that blocks %v have replaced: %w", r, err)
	}
	switch {
	case back != taken:
		return g.discrepancy("INSERT of %d rows that blocks %v had replaced stored %d", taken, r, back)
	case left > 0:
		return stateDiscrepancy("replaced", "DELETE and UPDATE left %d rows that belong to blocks %v", left, r)
	}
	return nil
}

// replacedSince returns the statement that returns the rows of the blocks of r that rows
// of later blocks have replaced, and that nothing in r has.
func (g *tableSpec) replacedSince(id int32, r block.Range) string {
	return g.statement("read-replaced", "{id}", fmt.Sprint(id), "{start}", fmt.Sprint(r.Start), "{end}", fmt.Sprint(r.End))
}

// pruneEvery is how many blocks the head moves between two looks for kept rows
// that are final.
const pruneEvery = 1000

// queueChanges makes a batch store that rows were lost, and forget kept rows that
// are final. It comes after the coverage.
func (p *replacedRows) queueChanges(b *pgx.Batch, before, now sink.LiveState) {
	if p == nil {
		return
	}
	if p.lost {
		highest := int64(math.MaxInt64)
		if p.live {
			highest = int64(p.from) - 1
		}
		b.Queue(statement("write-unsaved"), p.id, highest).Exec(expect(1, "UPDATE", "tables"))
	}
	if now.Cursor.Number/pruneEvery > before.Cursor.Number/pruneEvery {
		b.Queue(statement("prune-replaced"), p.id, int64(firstOpen(now, p.final))).QueryRow(func(row pgx.Row) error {
			var noted bool
			if err := row.Scan(&noted); err != nil || noted {
				return err
			}
			return stateDiscrepancy("tables", "UPDATE of 1 row changed 0")
		})
	}
}
