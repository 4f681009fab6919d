package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
)

// A table that is being adopted has the number of rows that were adopted so far in
// ampipe.tables. That they are still as many at the end is what shows that nobody has
// written to the table meanwhile; docs/decisions/0100 says more.

var errNotAdopting = fault.Permanent(errors.New("the table is not being adopted any more: " +
	"another process has finished the adoption, or somebody has deleted its row in ampipe.tables; if it was finished, ampipe " +
	"run is next, else run ampipe adopt again"))

// OpenAdoption begins to adopt a table, or resumes it; see [sink.Adopter].
func (w *Writer) OpenAdoption(ctx context.Context, t sink.Table, dry bool) error {
	g, pool, err := w.begin(ctx, t)
	if err != nil {
		return err
	}
	g.adopt, w.dry = true, dry
	if dry {
		return w.openWith(ctx, g, pool, pool.lookToAdopt)
	}
	return w.openWith(ctx, g, pool, pool.open)
}

// lookToAdopt makes every check of an adoption and changes nothing. id is 0 if the
// table has not been adopted in part.
func (s *sessions) lookToAdopt(ctx context.Context, _ *patience, _ bool) (id int32, warnings []string, err error) {
	err = s.inTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly}, readPatience, func(tx pgx.Tx) error {
		found, todo, err := inspectAndPlan(ctx, tx, s.table)
		if err != nil {
			return err
		}
		if len(todo.add) > 0 {
			return fault.Permanent(fmt.Errorf("the table has to be changed first (schema_evolution); run %s, or ampipe adopt "+
				"without --dry-run", todo.add[0]))
		}
		warnings = found.warnings(s.table)
		if found.state.entry != nil {
			id = found.state.entry.id
		}
		return nil
	})
	return id, warnings, err
}

// Adopted returns the blocks that were adopted so far; see [sink.Adopter].
func (w *Writer) Adopted(ctx context.Context) (block.Set, error) {
	if w.pool != nil && w.id == 0 { // dry, and nothing was adopted before
		return block.Set{}, nil
	}
	s, err := w.State(ctx)
	return s.Coverage, err
}

// inAdoption runs f in a transaction in which nobody else writes to the table. f is given
// what of the window is covered, and how many rows have been adopted.
func (w *Writer) inAdoption(
	ctx context.Context, what string, window block.Range, f func(tx pgx.Tx, l *commitState, rows int64) error,
) error {
	if w.pool == nil {
		return errNotOpen
	}
	do := func(tx pgx.Tx) error {
		if w.id == 0 { // dry, and nothing was adopted before
			return f(tx, new(commitState), 0)
		}
		var (
			b    pgx.Batch
			rows *int64
		)
		if !w.dry {
			// The table comes first: LOCK takes no snapshot.
			b.Queue("LOCK TABLE " + w.spec.quoted() + " IN SHARE ROW EXCLUSIVE MODE")
			b.Queue("SELECT pg_advisory_xact_lock($1, $2)", tableLock, w.id)
			b.Queue(statement("read-adopting"), w.id).QueryRow(func(row pgx.Row) error { return row.Scan(&rows) })
		}
		l := queueCommitState(&b, w.id, window)
		err := tx.SendBatch(ctx, &b).Close()
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return errNotAdopting
		case err != nil:
			return err
		case w.dry:
			return f(tx, l, 0)
		case rows == nil:
			return errNotAdopting
		}
		return f(tx, l, *rows)
	}
	o, patience := pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, w.patience.now()
	if w.dry {
		o, patience = pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, readPatience
	}
	err := w.pool.inTx(ctx, o, patience, do)
	w.patience.note(err)
	if err != nil {
		return w.classed(ctx, what, ofForeignKey(ctx, w.pool, explained(ctx, w.pool, err)))
	}
	return nil
}

// Adopt compares blocks and covers those that are equal; see [sink.Adopter].
func (w *Writer) Adopt(ctx context.Context, r block.Range, want sink.Digests, replace bool) (sink.Adopted, error) {
	var done sink.Adopted
	err := w.inAdoption(ctx, "adopt rows", r, func(tx pgx.Tx, l *commitState, _ int64) error {
		done = sink.Adopted{Stored: make(sink.Digests)}
		before := l.Live
		done.Compared = block.NewSet(l.Coverage.Missing(r)...)
		for _, part := range done.Compared.Ranges() {
			if err := w.digestStored(ctx, tx, part, done.Stored); err != nil {
				return err
			}
		}
		wrong, missing := unequal(want, done.Stored, done.Compared)
		if w.dry {
			return nil
		}
		if replace {
			deleted, err := w.discard(ctx, tx, wrong)
			if err != nil {
				return err
			}
			done.Deleted = deleted
		}
		missing.AddAll(wrong)
		for _, part := range done.Compared.Ranges() {
			for _, equal := range missing.Missing(part) {
				l.Coverage.Add(equal)
			}
		}
		var rows uint64
		for n, have := range done.Stored {
			if !missing.Has(n) {
				rows += have.Rows
			}
		}
		var tell pgx.Batch
		l.queueChanges(&tell, w.id, before)
		tell.Queue(statement("add-adopting"), w.id, int64(rows)).Exec(expect(1, "UPDATE", "tables"))
		return tx.SendBatch(ctx, &tell).Close()
	})
	return done, err
}

// unequal returns the blocks that have other rows in the table than in the source, and
// those of compared that have rows in the source only.
func unequal(want, have sink.Digests, compared block.Set) (wrong, missing block.Set) {
	for _, n := range slices.Sorted(maps.Keys(have)) {
		if want[n] != have[n] {
			wrong.Add(block.Closed(n, n))
		}
	}
	for _, n := range slices.Sorted(maps.Keys(want)) {
		if _, stored := have[n]; !stored && compared.Has(n) {
			missing.Add(block.Closed(n, n))
		}
	}
	return wrong, missing
}

// Discard deletes rows of blocks that are not covered; see [sink.Adopter].
func (w *Writer) Discard(ctx context.Context, r block.Range) (deleted uint64, err error) {
	err = w.inAdoption(ctx, "delete rows", r, func(tx pgx.Tx, l *commitState, _ int64) (err error) {
		deleted, err = w.discard(ctx, tx, block.NewSet(l.Coverage.Missing(r)...))
		return err
	})
	return deleted, err
}

// discard deletes the rows of blocks.
func (w *Writer) discard(ctx context.Context, tx pgx.Tx, blocks block.Set) (uint64, error) {
	if len(blocks.Ranges()) == 0 {
		return 0, nil
	}
	var starts, lasts []int64
	for _, r := range blocks.Ranges() {
		starts, lasts = append(starts, int64(r.Start)), append(lasts, int64(min(r.Last(), block.Max)))
	}
	bounds := []string{"{first}", strconv.FormatInt(starts[0], 10), "{last}", strconv.FormatInt(lasts[len(lasts)-1], 10)}
	return w.deleteRows(ctx, tx, "delete the rows of", blocks,
		w.spec.statement("discard-rows", bounds...), w.spec.statement("count-discarded", bounds...), starts, lasts)
}

// FinishAdoption ends the adoption if every row is adopted; see [sink.Adopter].
func (w *Writer) FinishAdoption(ctx context.Context, all block.Range, compared block.Set) (sink.Remainder, error) {
	var rest sink.Remainder
	err := w.inAdoption(ctx, "count rows", everything, func(tx pgx.Tx, l *commitState, adopted int64) error {
		rest = sink.Remainder{}
		have := l.Coverage.Clone()
		if w.dry {
			have.AddAll(compared)
		}
		rows, err := w.countRows(ctx, tx, all, have, &rest)
		if err != nil || w.dry {
			return err
		}
		var b pgx.Batch
		switch {
		case rows != uint64(adopted):
			rest.Disturbed = true
			b.Queue(statement("drop-adopted"), w.id)
			b.Queue(statement("restart-adopting"), w.id).Exec(expect(1, "UPDATE", "tables"))
		case rest.None():
			b.Queue(statement("end-adopting"), w.id).Exec(expect(1, "UPDATE", "tables"))
		default:
			return nil
		}
		return tx.SendBatch(ctx, &b).Close()
	})
	return rest, err
}

// countRows returns how many rows are of blocks in have, and notes the others.
func (w *Writer) countRows(ctx context.Context, tx pgx.Tx, all block.Range, have block.Set, rest *sink.Remainder) (uint64, error) {
	rows, err := tx.Query(ctx, w.spec.statement("count-blocks"), int64(all.Start), int64(min(all.Last(), block.Max)))
	if err != nil {
		return 0, fmt.Errorf("count the rows of each block: %w", err)
	}
	var (
		number  *int64
		n       int64
		covered uint64
		others  block.Range // that touch
	)
	flush := func() {
		if !others.Empty() {
			rest.Blocks.Add(others)
		}
	}
	_, err = pgx.ForEachRow(rows, []any{&number, &n}, func() error {
		switch {
		case number == nil:
			rest.Unnumbered += uint64(n)
		case have.Has(block.Number(*number)):
			covered += uint64(n)
		default:
			rest.Rows += uint64(n)
			at := block.Number(*number)
			if at != others.End || others.Empty() {
				flush()
				others.Start = at
			}
			others.End = at + 1
		}
		return nil
	})
	flush()
	if err != nil {
		return 0, fmt.Errorf("count the rows of each block: %w", err)
	}
	outside := tx.QueryRow(ctx, w.spec.statement("count-outside"), int64(all.Start), int64(min(all.Last(), block.Max)))
	if err := outside.Scan(&rest.Outside); err != nil {
		return 0, fmt.Errorf("count the rows of other blocks: %w", err)
	}
	return covered, nil
}
