package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ampipe/ampipe/pkg/sink"
)

// condition is what a server, and the table if it is there, are like.
type condition struct {
	settings     serverSettings
	byCommand    map[string]bool // settings that are options of the command that starts the server
	user         string
	roundTrip    time.Duration // the shortest of a few
	age          int64         // transactions since the oldest one that is not frozen
	slots        []slot
	publications []publication
	triggers     []hindrance
	invalid      []string // indexes, quoted
	tables       []vacuumed
}

// slot is a replication slot.
type slot struct {
	name            string
	logical, active bool
	kept            int64 // bytes of WAL
}

// publication is one that brings new rows of the table and not their deletion.
type publication struct {
	name             string
	update, truncate bool     // it brings them, too
	nameless         []string // of its tables, quoted, those whose rows it could not name, were they deleted
}

// vacuumed is a table, quoted, and how autovacuum treats it.
type vacuumed struct {
	name       string
	auto       bool
	live, dead int64 // rows, as estimated
}

// roundTrips is how often the time of one is measured.
const roundTrips = 5

// Examine looks at the settings of the server and at the table for what costs speed or
// safety; see [sink.Examiner].
func (w *Writer) Examine(ctx context.Context, t sink.Table) ([]sink.Finding, error) {
	g := &tableSpec{schema: w.cfg.Schema, table: w.cfg.Table}
	if t.Schema != nil {
		whole, err := newTableSpec(w.cfg, t)
		if err == nil { // else Check says it
			g = whole
		}
	}
	pool, err := connect(ctx, w.cfg, g)
	if err != nil {
		return nil, opened(ctx, g, err)
	}
	defer pool.Close()
	var c condition
	err = pool.inTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly}, readPatience, func(tx pgx.Tx) (err error) {
		c, err = examine(ctx, tx, g)
		return err
	})
	if err != nil {
		return nil, opened(ctx, g, fmt.Errorf("examine the server: %w", err))
	}
	events := int16(onInsert | onDelete)
	if g.upsert() {
		events |= onUpdate
	}
	return slices.Concat(c.safety(g), c.speed(events)), nil
}

func examine(ctx context.Context, tx pgx.Tx, g *tableSpec) (c condition, err error) {
	type setting struct {
		name, value string
		byCommand   bool
	}
	found, err := collect(ctx, tx, "read the settings", func(s *setting) []any { return []any{&s.name, &s.value, &s.byCommand} },
		statement("examine-settings"), settingsExamined)
	if err != nil {
		return c, err
	}
	c.settings, c.byCommand = make(serverSettings, len(found)), map[string]bool{}
	for _, s := range found {
		c.settings[s.name], c.byCommand[s.name] = s.value, s.byCommand
	}
	if c.roundTrip, err = measure(ctx, tx, &c.user); err != nil {
		return c, err
	}
	if err := tx.QueryRow(ctx, statement("examine-age")).Scan(&c.age); err != nil {
		return c, fmt.Errorf("ask for the age of the database: %w", err)
	}
	c.slots, err = collect(ctx, tx, "read the replication slots", func(s *slot) []any {
		return []any{&s.name, &s.logical, &s.active, &s.kept}
	}, statement("examine-slots"))
	if err != nil {
		return c, err
	}
	c.publications, err = collect(ctx, tx, "read the publications", func(p *publication) []any {
		return []any{&p.name, &p.update, &p.truncate, &p.nameless}
	}, statement("examine-publications"), g.schema, g.table)
	if err != nil {
		return c, err
	}
	c.invalid, err = collect(ctx, tx, "read the indexes", func(name *string) []any { return []any{name} },
		statement("examine-indexes", "{serves}", statement("index-serves")), g.schema, g.table)
	if err != nil {
		return c, err
	}
	c.tables, err = collect(ctx, tx, "read how tables are vacuumed", func(v *vacuumed) []any {
		return []any{&v.name, &v.auto, &v.live, &v.dead}
	}, statement("examine-vacuum"), g.schema, g.table, stateTables)
	if err != nil {
		return c, err
	}
	c.triggers, err = hindrancesOf(ctx, tx, g.schema, g.table)
	return c, err
}

// measure returns how long a statement that does nothing takes, and reads who the user is.
func measure(ctx context.Context, tx pgx.Tx, user *string) (shortest time.Duration, err error) {
	for n := range roundTrips {
		began := time.Now()
		if err := tx.QueryRow(ctx, "SELECT session_user::text").Scan(user); err != nil {
			return 0, fmt.Errorf("measure the round trip: %w", err)
		}
		if took := time.Since(began); n == 0 || took < shortest {
			shortest = took
		}
	}
	return shortest, nil
}
