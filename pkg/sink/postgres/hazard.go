package postgres

import (
	"context"
	"fmt"

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

// askHazards finds them on tables ($2) of a schema ($1). $3 says that rows are
// updated, not only deleted.
const askHazards = `WITH RECURSIVE family AS (
		SELECT c.oid, false AS partition FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1
			AND c.relname = ANY ($2)
		UNION SELECT i.inhrelid, true FROM family JOIN pg_inherits i ON i.inhparent = family.oid
	), published AS (
		SELECT c.oid FROM pg_publication p JOIN pg_publication_tables t ON t.pubname = p.pubname
		JOIN pg_namespace n ON n.nspname = t.schemaname JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename
		WHERE p.pubdelete OR p.pubupdate AND $3
	), found AS (
		SELECT format('%I.%I', n.nspname, c.relname) AS name, partition, c.relispartition AND c.relkind = 'f' AS foreign,
			CASE WHEN c.relispartition OR NOT partition THEN c.relpersistence::text ELSE 'p' END AS persistence,
			c.relkind = 'r' AND c.relreplident <> 'f'
				AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid AND i.indimmediate
					AND (c.relreplident = 'd' AND i.indisprimary OR c.relreplident = 'i' AND i.indisreplident))
				AND EXISTS (SELECT FROM published WHERE oid IN (SELECT c.oid UNION ALL SELECT relid FROM pg_partition_ancestors(c.oid))) AS mute
		FROM family JOIN pg_class c ON c.oid = family.oid JOIN pg_namespace n ON n.oid = c.relnamespace)
	SELECT name, partition, "foreign", persistence, mute FROM found WHERE "foreign" OR persistence <> 'p' OR mute ORDER BY partition, name`

// hazardsOf finds what endangers rows of tables of a schema.
func hazardsOf(ctx context.Context, tx pgx.Tx, updated bool, schema string, tables ...string) ([]hazard, error) {
	rows, _ := tx.Query(ctx, askHazards, schema, tables, updated) // its error is that of collecting
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (h hazard, err error) {
		return h, row.Scan(&h.table, &h.partition, &h.foreign, &h.persistence, &h.mute)
	})
	if err != nil {
		return nil, fmt.Errorf("read how the table is stored and published: %w", err)
	}
	return all, nil
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
