package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// hazard is a property of a table, or of one of its partitions, for which rows of it
// get lost, or cannot be deleted.
type hazard struct {
	table       string // quoted, with its schema
	partition   bool   // it is not the table itself
	foreign     bool
	persistence string // as in pg_class
	mute        bool   // published with its changes, and without a replica identity
}

// hazardsOf finds what endangers rows of tables of a schema.
func hazardsOf(ctx context.Context, tx pgx.Tx, updated bool, schema string, tables ...string) ([]hazard, error) {
	return collect(ctx, tx, "read how the table is stored and published", func(h *hazard) []any {
		return []any{&h.table, &h.partition, &h.foreign, &h.persistence, &h.mute}
	}, statement("ask-hazards"), schema, tables, updated)
}

// report says what is in the way.
func (h hazard) report(deny func(string, ...any)) {
	switch {
	case h.foreign:
		deny("the partition %s is a foreign table, whose rows another server commits by itself; detach it, or load into another table", h.table)
	case h.persistence != "p":
		deny("%s is unlogged or temporary, so a crash empties it, and not the other tables: rows and the record of them do not match any more. "+
			"Run ALTER TABLE %[1]s SET LOGGED. If the server has crashed meanwhile, load the table again: set overwrite: true and "+
			"delete its row in ampipe.tables", h.table)
	}
	if h.mute {
		deny("PostgreSQL refuses to change rows of %s, as a reorg has to, because a publication publishes that and the table has "+
			"no replica identity; "+
			"run ALTER TABLE %[1]s REPLICA IDENTITY FULL", h.table)
	}
}
