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
// one block the last row.
func (s *scratch) dedupe(g *target, portions []portion) error {
	if s.last == nil {
		s.last = make(map[key]place)
	}
	clear(s.last)
	for i := range portions {
		p := &portions[i]
		blocks, err := sink.BlocksOf(p.Record, g.block)
		if err != nil {
			return err
		}
		for row := p.From; row < p.To; row++ {
			s.buf = p.appendKey(s.buf[:0], g.key, row)
			k, now := xxh3.Hash128(s.buf), place{i, row, blocks.At(row)}
			before, twice := s.last[k]
			if twice {
				if before.block > now.block {
					p.dropRow(row)
					continue
				}
				portions[before.portion].dropRow(before.row)
			}
			s.last[k] = now
		}
	}
	return nil
}

func (p *portion) appendKey(dst []byte, key []int, row int) []byte {
	for _, at := range key {
		dst = p.cells[at].append(dst, row)
	}
	return dst
}

func (p *portion) dropRow(row int) {
	if p.drop == nil {
		p.drop = make([]bool, p.Len())
	}
	p.drop[row-p.From] = true
}

// upsert writes rows by key. Nearly always none of the keys is there yet, so the
// rows are copied into the table itself first; only if one is there they go
// through a staging table.
func (w *Writer) upsert(ctx context.Context, tx pgx.Tx, s *scratch, portions []portion) (uint64, error) {
	if err := s.dedupe(w.target, portions); err != nil {
		return 0, err
	}
	if w.detour.take() {
		return w.stage(ctx, tx, s, portions)
	}
	if _, err := tx.Exec(ctx, "SAVEPOINT optimistic"); err != nil {
		return 0, err
	}
	n, err := w.copy(ctx, tx, s, w.target.quoted(), portions)
	if err == nil {
		w.detour.clear()
	}
	if state(err) != uniqueViolation {
		return n, err
	}
	if _, err := tx.Exec(ctx, "ROLLBACK TO SAVEPOINT optimistic"); err != nil {
		return 0, err
	}
	w.detour.conflict()
	return w.stage(ctx, tx, s, portions)
}

// detour remembers that rows were in the table already: then the next calls go
// through the staging table at once, twice as many after each conflict. It is
// safe for concurrent use.
type detour struct {
	mu     sync.Mutex
	left   int // calls that still take it
	length int
}

const longestDetour = 64 // calls

func (d *detour) take() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.left == 0 {
		return false
	}
	d.left--
	return true
}

func (d *detour) conflict() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.length = min(longestDetour, max(2, 2*d.length))
	d.left = d.length
}

func (d *detour) clear() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.length = 0
}

// stage copies rows into a temporary table of this connection, and from there
// into the table where they are new or not older than what is there.
func (w *Writer) stage(ctx context.Context, tx pgx.Tx, s *scratch, portions []portion) (uint64, error) {
	g := w.target
	staging := fmt.Sprintf("pg_temp.ampipe_staging_%d", w.id)
	_, err := tx.Conn().PgConn().Exec(ctx, fmt.Sprintf("CREATE TEMPORARY TABLE IF NOT EXISTS %s AS SELECT %s FROM %s WITH NO DATA; TRUNCATE %s",
		staging, g.list(), g.quoted(), staging)).ReadAll()
	if err != nil {
		return 0, fmt.Errorf("make the staging table: %w", err)
	}
	if _, err := w.copy(ctx, tx, s, staging, portions); err != nil {
		return 0, err
	}
	tag, err := tx.Exec(ctx, g.merge(staging))
	if err != nil {
		return 0, err
	}
	return uint64(tag.RowsAffected()), nil
}

// merge is the statement that moves rows from the staging table into the table.
// Rows go in the order of their keys if other calls may have the same ones, so
// that two of them wait for each other in one direction only.
func (g *target) merge(staging string) string {
	var set []string
	for i, c := range g.columns {
		if !g.keyed(i) {
			set = append(set, fmt.Sprintf("%s = excluded.%[1]s", quoted(c.name)))
		}
	}
	key, order := quotedList(g.keyNames()), ""
	if !g.keyed(g.block) {
		order = " ORDER BY " + key
	}
	action := "DO NOTHING"
	if len(set) > 0 {
		at := quoted(g.columns[g.block].name)
		action = fmt.Sprintf("DO UPDATE SET %s WHERE stored.%s <= excluded.%[2]s", strings.Join(set, ", "), at)
	}
	return fmt.Sprintf("INSERT INTO %s AS stored (%s) SELECT %[2]s FROM %s%s ON CONFLICT (%s) %s", g.quoted(), g.list(), staging, order, key, action)
}
