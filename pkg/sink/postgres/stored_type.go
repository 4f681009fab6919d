package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// askColumns reads the columns of a table. What a domain is made of is looked up as
// PostgreSQL does it: down to the type that is no domain, with the last modifier.
const askColumns = `SELECT a.attname, a.attnotnull, a.atthasdef OR a.attidentity <> '' OR t.typdefault IS NOT NULL,
		a.attgenerated::text, a.attidentity::text, coalesce(l.collisdeterministic, true),
		format_type(a.atttypid, a.atttypmod),
		CASE WHEN n.nspname = 'pg_catalog' THEN format_type(a.atttypid, a.atttypmod) ELSE format('%I.%I', n.nspname, t.typname) END,
		CASE WHEN b.typtype = 'e' THEN 'enum' WHEN b.typnamespace = 'pg_catalog'::regnamespace THEN format_type(b.oid, NULL)
			WHEN b.typname = 'citext' AND b.typtype = 'b' THEN 'citext' ELSE '' END,
		u.modifier, t.typtype = 'd', u.bound,
		CASE WHEN e.typtype = 'e' THEN 'enum' WHEN e.typtype = 'b' AND e.typnamespace = 'pg_catalog'::regnamespace THEN format_type(e.oid, NULL)
			WHEN e.typname = 'citext' AND e.typtype = 'b' THEN 'citext' ELSE '' END,
		coalesce(e.oid, 0), array(SELECT enumlabel::text FROM pg_enum WHERE enumtypid IN (b.oid, e.oid) ORDER BY enumsortorder)
	FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid JOIN pg_namespace n ON n.oid = t.typnamespace
		LEFT JOIN pg_collation l ON l.oid = a.attcollation
		CROSS JOIN LATERAL (WITH RECURSIVE made AS (
				SELECT a.atttypid AS oid, a.atttypmod AS modifier, false AS bound, 0 AS depth
				UNION ALL SELECT d.typbasetype, d.typtypmod, bound OR d.typnotnull, depth + 1 FROM made
					JOIN pg_type d ON d.oid = made.oid WHERE d.typtype = 'd'
			) SELECT * FROM made ORDER BY depth DESC LIMIT 1) u
		JOIN pg_type b ON b.oid = u.oid LEFT JOIN pg_type e ON e.oid = b.typelem AND b.typcategory = 'A'
	WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`

// columnsIn reads the columns of a table.
func columnsIn(ctx context.Context, tx pgx.Tx, oid uint32) ([]columnFacts, error) {
	rows, _ := tx.Query(ctx, askColumns, oid) // its error is that of collecting
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c columnFacts, err error) {
		t := &c.Type
		return c, row.Scan(&c.name, &c.notNull, &c.filled, &c.generated, &c.identity, &c.deterministic, &t.SQL, &t.Name,
			&t.Base, &t.Modifier, &t.Domain, &c.bound, &t.Element, &t.OID, &t.Labels)
	})
	if err != nil {
		return nil, fmt.Errorf("read the columns: %w", err)
	}
	return all, nil
}
