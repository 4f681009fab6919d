package postgres

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/zeebo/xxh3"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sink"
)

// key stands for the values of the key columns: 128 bits of a hash of their
// encoded form.
type key = xxh3.Uint128

// place is a row of a portion.
type place struct {
	portion, row int
	block        block.Number
}

// dedupe drops the rows whose key comes again: the highest block wins, and in
// one block the last row. It reports whether some of them have to be kept.
func (s *scratch) dedupe(g *tableSpec, p *replacedRows, portions []portion) (kept bool, err error) {
	if s.ascend(g, portions) {
		return false, nil
	}
	if s.last == nil {
		s.last = make(map[key]place)
	}
	clear(s.last)
	for i := range portions {
		portion := &portions[i]
		blocks, err := sink.BlocksOf(portion.record, g.block)
		if err != nil {
			return false, err
		}
		for row := portion.From; row < portion.To; row++ {
			s.buf = portion.appendKey(s.buf[:0], g.key, row)
			k, winner := xxh3.Hash128(s.buf), place{i, row, blocks.At(row)}
			loser, twice := s.last[k]
			if twice && loser.block > winner.block {
				winner, loser = loser, winner
			}
			s.last[k] = winner
			if !twice {
				continue
			}
			keep := winner.block != loser.block && p.keeps(winner.block)
			portions[loser.portion].dropRow(loser.row, keep)
			kept = kept || keep
		}
	}
	return kept, nil
}

func (p *portion) appendKey(dst []byte, key []int, row int) []byte {
	for _, at := range key {
		dst = p.Values[at].Append(dst, row)
	}
	return dst
}

func (p *portion) dropRow(row int, keep bool) {
	if p.Drop == nil {
		p.Drop, p.kept = make([]bool, p.Len()), make([]bool, p.Len())
	}
	p.Drop[row-p.From], p.kept[row-p.From] = true, keep
}

// keptOf returns portions of the rows that were dropped and have to be kept.
func keptOf(portions []portion) []portion {
	var kept []portion
	for _, p := range portions {
		if p.kept == nil {
			continue
		}
		p.Drop = make([]bool, p.Len())
		for i, keep := range p.kept {
			p.Drop[i] = !keep
		}
		kept = append(kept, p)
	}
	return kept
}

// upsert writes rows by key, and keeps those that were dropped for others if they
// have to be.
func (w *Writer) upsert(ctx context.Context, tx pgx.Tx, s *scratch, p *replacedRows, portions []portion) (uint64, error) {
	kept, err := s.dedupe(w.spec, p, portions)
	if err != nil {
		return 0, err
	}
	if s.trial != nil {
		portions = s.trial.limit(portions)
		kept = kept && s.trial.whole()
	}
	if len(portions) == 0 {
		return 0, nil
	}
	n, err := w.upsertUnique(ctx, tx, s, p, portions)
	if err != nil || !kept {
		return n, err
	}
	// The table has rows of their keys now, of higher blocks.
	staging, _, err := w.stage(ctx, tx, s, keptOf(portions))
	if err != nil {
		return 0, err
	}
	return n, p.keep(ctx, tx, staging)
}

// upsertUnique writes rows whose keys differ. Nearly always none of the keys is
// there yet, so the rows are copied into the table itself first; only if one is
// there they go through a staging table.
func (w *Writer) upsertUnique(ctx context.Context, tx pgx.Tx, s *scratch, p *replacedRows, portions []portion) (uint64, error) {
	if s.strict || w.stagingBackoff.take() {
		return w.merge(ctx, tx, s, p, portions)
	}
	n, err := w.copy(ctx, tx, s, "SAVEPOINT optimistic; ", w.spec.quoted(), portions)
	if err == nil {
		w.stagingBackoff.clear()
	}
	if sqlState(err) != uniqueViolation {
		return n, err
	}
	if _, err := tx.Exec(ctx, "ROLLBACK TO SAVEPOINT optimistic"); err != nil {
		return 0, err
	}
	w.stagingBackoff.conflict()
	return w.merge(ctx, tx, s, p, portions)
}

// callBackoff remembers that something was tried in vain: then the next calls do not try
// it, twice as many after each conflict. It is safe for concurrent use.
type callBackoff struct {
	mu     sync.Mutex
	left   int // calls that still take it
	length int
}

const longestBackoff = 64 // calls

func (d *callBackoff) take() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.left == 0 {
		return false
	}
	d.left--
	return true
}

// waits reports whether the next call will not try it.
func (d *callBackoff) waits() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.left > 0
}

func (d *callBackoff) conflict() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.length = min(longestBackoff, max(2, 2*d.length))
	d.left = d.length
}

func (d *callBackoff) clear() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.length = 0
}

// merge writes rows by way of a staging table, where they are new or not older
// than what is there. If all of them are there already, just as they are, nothing is written:
// an update would make each of them again, with its entries in the indexes.
func (w *Writer) merge(ctx context.Context, tx pgx.Tx, s *scratch, p *replacedRows, portions []portion) (uint64, error) {
	lowest, err := lowestBlock(w.spec, portions)
	if err != nil {
		return 0, err
	}
	staging, staged, err := w.stage(ctx, tx, s, portions)
	if err != nil {
		return 0, err
	}
	if !s.strict && !w.sameBackoff.take() {
		same, err := w.allSame(ctx, tx, staging, staged)
		if err != nil {
			return 0, err
		}
		if same {
			w.sameBackoff.clear()
			return staged, nil
		}
		w.sameBackoff.conflict()
	}
	if err := p.keep(ctx, tx, staging); err != nil {
		return 0, err
	}
	written, err := w.mergeStaged(ctx, tx, p, lowest, staging, staged)
	if err == nil && (s.strict || written != staged) {
		err = w.outcome(ctx, tx, staging, staged, written)
	}
	return written, err
}

// allSame reports whether the table has all rows of the staging table, bit for bit: values
// that PostgreSQL calls equal may differ, as 1 and 1.0 do.
func (w *Writer) allSame(ctx context.Context, tx pgx.Tx, staging string, staged uint64) (bool, error) {
	var same uint64
	if err := tx.QueryRow(ctx, w.spec.statement("count-same", "{staging}", staging)).Scan(&same); err != nil {
		return false, fmt.Errorf("compare rows with those that are there: %w", err)
	}
	return same == staged, nil
}

// mergeStaged moves rows from the staging table into the table and counts those that
// it has written.
func (w *Writer) mergeStaged(
	ctx context.Context, tx pgx.Tx, p *replacedRows, lowest block.Number, staging string, staged uint64,
) (uint64, error) {
	if p.mayLose(lowest) {
		if p.unsaved < 0 {
			fresh, err := w.mergeFresh(ctx, tx, staging, staged)
			if err != nil || fresh {
				return staged, err
			}
		}
		p.lose()
	}
	tag, err := tx.Exec(ctx, w.spec.merge(staging))
	if err != nil {
		return 0, err
	}
	return uint64(tag.RowsAffected()), nil
}

// mergeFresh moves rows from the staging table into the table if none of their
// keys is there, also while others write. As long as nothing has been lost, this tells
// a key that names each row once, where all can be undone, from one that does not.
func (w *Writer) mergeFresh(ctx context.Context, tx pgx.Tx, staging string, staged uint64) (bool, error) {
	if _, err := tx.Exec(ctx, "SAVEPOINT fresh"); err != nil {
		return false, err
	}
	tag, err := tx.Exec(ctx, w.spec.insert(staging)+" DO NOTHING")
	if err != nil || uint64(tag.RowsAffected()) == staged {
		return err == nil, err
	}
	_, err = tx.Exec(ctx, "ROLLBACK TO SAVEPOINT fresh")
	return false, err
}

// lowestBlock finds the first block of rows; they ascend in each portion.
func lowestBlock(g *tableSpec, portions []portion) (block.Number, error) {
	lowest := block.Max
	for _, p := range portions {
		blocks, err := sink.BlocksOf(p.record, g.block)
		if err != nil {
			return 0, err
		}
		if p.Len() > 0 {
			lowest = min(lowest, blocks.At(p.From))
		}
	}
	return lowest, nil
}

// stage copies rows into a temporary table of this connection, names it and counts
// them.
func (w *Writer) stage(ctx context.Context, tx pgx.Tx, s *scratch, portions []portion) (string, uint64, error) {
	g := w.spec
	staging := fmt.Sprintf("pg_temp.ampipe_staging_%d", w.id)
	lasts := ""
	if sessionOf(tx.Conn()).pooled { // nothing is left in a session that others get
		lasts = " ON COMMIT DROP"
	}
	_, err := tx.Conn().PgConn().Exec(ctx, fmt.Sprintf("CREATE TEMPORARY TABLE IF NOT EXISTS %s%s AS SELECT %s FROM %s "+
		"WITH NO DATA; TRUNCATE %[1]s",
		staging, lasts, g.list(), g.quoted())).ReadAll()
	if err != nil {
		return "", 0, fmt.Errorf("make the staging table: %w", err)
	}
	n, err := w.copy(ctx, tx, s, "", staging, portions)
	return staging, n, err
}

// merge returns the statement that moves rows from the staging table into the table,
// where they are new or not older than what is there.
func (g *tableSpec) merge(staging string) string {
	var set []string
	for i, c := range g.columns {
		if !g.keyed(i) {
			set = append(set, fmt.Sprintf("%s = excluded.%[1]s", quoted(c.name)))
		}
	}
	if len(set) == 0 {
		return g.insert(staging) + " DO NOTHING"
	}
	return g.insert(staging) + fmt.Sprintf(" DO UPDATE SET %s WHERE stored.%s <= excluded.%[2]s", strings.Join(set, ", "),
		quoted(g.columns[g.block].name))
}

// insert is such a statement up to what happens to a key that is there. Rows go in
// the order of their keys if other calls may have the same ones, so that two of
// them wait for each other in one direction only.
func (g *tableSpec) insert(staging string) string {
	key, order := quotedList(g.keyNames()), ""
	if !g.keyed(g.block) {
		order = " ORDER BY " + key
	}
	return fmt.Sprintf("INSERT INTO %s AS stored (%s) SELECT %[2]s FROM %s%s ON CONFLICT (%s)", g.quoted(), g.list(), staging, order, key)
}
