package postgres

import (
	"context"
	"fmt"
	"math"
	"strings"

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
	b.Queue(readUnsaved, w.id).QueryRow(func(row pgx.Row) error { return row.Scan(&p.unsaved) })
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
	at := quoted(g.columns[g.block].name)
	sql := fmt.Sprintf(`WITH lost AS (
			SELECT $1::integer AS table_id, least(s.%[1]s, t.%[1]s)::bigint AS block, greatest(s.%[1]s, t.%[1]s)::bigint AS replaced_by,
				jsonb_object($2::text[], CASE WHEN s.%[1]s < t.%[1]s THEN ARRAY[%[2]s] ELSE ARRAY[%[3]s] END) AS content
			FROM %[4]s s JOIN %[5]s t ON %[6]s
			WHERE s.%[1]s <> t.%[1]s AND greatest(s.%[1]s, t.%[1]s) >= $3::bigint
		), saved AS (INSERT INTO ampipe.replaced (table_id, block, replaced_by, content) SELECT * FROM lost RETURNING 1)
		SELECT (SELECT count(*) FROM lost), (SELECT count(*) FROM saved)`,
		at, g.each("s.%s::text"), g.each("t.%s::text"), staging, g.quoted(), g.sameKey("s.%s"))
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
	at := quoted(g.columns[g.block].name)
	stored, key := g.sameKey("(r.content->>%[2]s)::%[3]s"), g.keyOf("(r.content->>%[2]s)::%[3]s")
	args := []any{p.id, int64(r.Start), int64(min(r.End, block.Max+1))}
	var b pgx.Batch
	b.Queue("DELETE FROM ampipe.replaced WHERE table_id = $1 AND replaced_by >= $2 AND block >= $2 AND block < $3", args...)
	var taken, back, left int64
	b.Queue(fmt.Sprintf(`WITH taken AS (DELETE FROM ampipe.replaced WHERE id IN (
			SELECT DISTINCT ON (%[1]s) r.id FROM ampipe.replaced r
			WHERE r.table_id = $1 AND r.replaced_by >= $2 AND r.replaced_by < $3 AND NOT EXISTS (SELECT FROM %[2]s t WHERE %[3]s)
			ORDER BY %[1]s, r.block DESC, r.id DESC) RETURNING content
		), back AS (INSERT INTO %[2]s (%[4]s) SELECT %[5]s FROM taken r RETURNING 1)
		SELECT (SELECT count(*) FROM taken), (SELECT count(*) FROM back)`,
		key, g.quoted(), stored, g.list(), g.each("(r.content->>%[2]s)::%[3]s")),
		args...).QueryRow(func(row pgx.Row) error { return row.Scan(&taken, &back) })
	// What replaced the others is gone as well: now it is the row that came back,
	// or the one that is there.
	b.Queue(fmt.Sprintf(`UPDATE ampipe.replaced r SET replaced_by = t.%s::bigint FROM %s t
		WHERE r.table_id = $1 AND r.replaced_by >= $2 AND r.replaced_by < $3 AND %s`, at, g.quoted(), stored), args...)
	b.Queue(`SELECT count(*) FROM ampipe.replaced WHERE table_id = $1 AND replaced_by >= $2
		AND (replaced_by < $3 OR block >= $2 AND block < $3)`,
		args...).QueryRow(func(row pgx.Row) error { return row.Scan(&left) })
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
	key := g.keyOf("(r.content->>%[2]s)::%[3]s")
	return fmt.Sprintf(`SELECT DISTINCT ON (%[1]s) %[2]s FROM ampipe.replaced r
		WHERE r.table_id = %[3]d AND r.replaced_by >= %[5]d AND r.block >= %[4]d AND r.block < %[5]d
			AND NOT EXISTS (SELECT FROM %[6]s t WHERE %[7]s AND t.%[8]s < %[5]d)
		ORDER BY %[1]s, r.block DESC, r.id DESC`,
		key, g.each("(r.content->>%[2]s)::%[3]s"), id, r.Start, r.End, g.quoted(),
		g.sameKey("(r.content->>%[2]s)::%[3]s"), quoted(g.columns[g.block].name))
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
		b.Queue(writeUnsaved, p.id, highest).Exec(expect(1, "UPDATE", "tables"))
	}
	if now.Cursor.Number/pruneEvery > before.Cursor.Number/pruneEvery {
		b.Queue(pruneReplaced, p.id, int64(firstOpen(now, p.final))).QueryRow(func(row pgx.Row) error {
			var noted bool
			if err := row.Scan(&noted); err != nil || noted {
				return err
			}
			return stateDiscrepancy("tables", "UPDATE of 1 row changed 0")
		})
	}
}

// each writes every column by a form, separated by commas: its name is %[1]s, its
// name as a text %[2]s and its type %[3]s.
func (g *tableSpec) each(form string) string {
	all := make([]string, len(g.columns))
	for i := range g.columns {
		all[i] = g.formed(form, i)
	}
	return strings.Join(all, ", ")
}

// keyOf writes the key columns like each.
func (g *tableSpec) keyOf(form string) string {
	all := make([]string, len(g.key))
	for i, at := range g.key {
		all[i] = g.formed(form, at)
	}
	return strings.Join(all, ", ")
}

// sameKey compares the key columns of the table, t, with others, written by a form
// as for each.
func (g *tableSpec) sameKey(form string) string {
	all := make([]string, len(g.key))
	for i, at := range g.key {
		all[i] = "t." + quoted(g.columns[at].name) + " = " + g.formed(form, at)
	}
	return strings.Join(all, " AND ")
}

func (g *tableSpec) formed(form string, i int) string {
	c := g.columns[i]
	return strings.NewReplacer("%[1]s", quoted(c.name), "%[2]s", literal(c.name), "%[3]s", c.SQL, "%s", quoted(c.name)).Replace(form)
}
