package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
)

// askGuard asks which of the table ($1), its partitions and the tables of ampipe lose
// their rows in a crash, and whether the table or a partition has triggers that may
// change what is written: those of each row before it is or, if $2, any on INSERT. It
// is asked after rows were written: nobody can add a trigger any more until the
// transaction ends. pg_partition_tree would lock every partition, also those that
// others work on.
const askGuard = `WITH RECURSIVE member AS (
		SELECT to_regclass($1)::oid AS oid
		UNION ALL SELECT i.inhrelid FROM member m JOIN pg_class c ON c.oid = m.oid AND c.relkind = 'p' JOIN pg_inherits i ON i.inhparent = m.oid
	), part AS (SELECT array_agg(oid) AS oids FROM member)
	SELECT (SELECT string_agg(c.oid::regclass::text, ', ') FROM pg_class c
			WHERE c.oid = ANY ((SELECT oids FROM part) || ARRAY['ampipe.coverage'::regclass::oid, 'ampipe.replaced'::regclass])
				AND c.relpersistence <> 'p'),
		EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = ANY ((SELECT oids FROM part)::oid[]) AND NOT t.tgisinternal AND t.tgenabled <> 'D'
			AND (t.tgtype & 3 = 3 AND t.tgtype & 20 <> 0 OR $2 AND t.tgtype & 4 <> 0))`

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
	if w.spec.upsert() {
		w.altering.Store(true)
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
	// Rows of this transaction, and of those that began to write after it.
	sql := fmt.Sprintf(`SELECT t.%[1]s::bigint, count(*) FROM unnest($1::bigint[], $2::bigint[]) AS r (first, past)
		JOIN %[2]s t ON t.%[1]s >= r.first AND t.%[1]s < r.past
		WHERE age(t.xmin) <= age((txid_current() & 4294967295)::text::xid) GROUP BY 1`,
		quoted(w.spec.columns[w.spec.block].name), w.spec.quoted())
	rows, err := tx.Query(ctx, sql, starts, ends)
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

// comparable writes every column of a table as something that PostgreSQL can compare.
func (g *tableSpec) comparable(of string) string {
	all := make([]string, len(g.columns))
	for i, c := range g.columns {
		all[i] = of + "." + quoted(c.name)
		if c.Base == "json" {
			all[i] += "::text"
		}
	}
	return strings.Join(all, ", ")
}

// outcome fails unless each row of the staging table is in the table, or one of its
// key and a higher block. written is how many the server says it has written.
func (w *Writer) outcome(ctx context.Context, tx pgx.Tx, staging string, staged, written uint64) error {
	g := w.spec
	at := quoted(g.columns[g.block].name)
	sql := fmt.Sprintf(`SELECT count(*) FILTER (WHERE t.%[1]s > s.%[1]s),
			count(*) FILTER (WHERE t.%[1]s = s.%[1]s AND ROW(%[2]s) IS DISTINCT FROM ROW(%[3]s)),
			count(*) FILTER (WHERE coalesce(t.%[1]s < s.%[1]s, true))
		FROM %[4]s s LEFT JOIN %[5]s t ON %[6]s`,
		at, g.comparable("t"), g.comparable("s"), staging, g.quoted(), g.sameKey("s.%s"))
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
