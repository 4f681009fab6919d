package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// storedType is the type of a column that is there.
type storedType struct {
	sql      string // as PostgreSQL prints it, with its length or precision
	name     string // likewise, for statements: with its schema unless it is PostgreSQL's own
	base     string // without length and precision; of a domain, that which it is made of. "": of no kind known here
	modifier int32  // of the base, as in pg_attribute; -1: none
	domain   bool
	bound    bool     // the domain takes no NULL
	element  string   // of an array: the base of its elements
	oid      uint32   // of an array: that of the type of its elements
	labels   []string // of an enum, or an array of one
}

// enum is the base of every enum.
const enum = "enum"

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
		t := &c.storedType
		return c, row.Scan(&c.name, &c.notNull, &c.filled, &c.generated, &c.identity, &c.deterministic, &t.sql, &t.name,
			&t.base, &t.modifier, &t.domain, &t.bound, &t.element, &t.oid, &t.labels)
	})
	if err != nil {
		return nil, fmt.Errorf("read the columns: %w", err)
	}
	return all, nil
}

// length returns how many characters a column of texts takes, if that is limited.
func (t storedType) length() (n int, limited bool) { return int(t.modifier) - 4, t.modifier >= 4 }

// precision returns how many digits a numeric takes in all, and behind the point, if
// that is limited.
func (t storedType) precision() (digits, places int, limited bool) {
	if t.modifier < 4 {
		return 0, 0, false
	}
	m := int(t.modifier) - 4
	return m >> 16 & 0xffff, (m&0x7ff ^ 1024) - 1024, true // the scale has a sign since version 15
}

// step returns how many microseconds apart the values of a time or timestamp are.
func (t storedType) step() int64 {
	step := int64(1)
	if t.modifier >= 0 {
		for range 6 - min(6, t.modifier) {
			step *= 10
		}
	}
	return step
}

// of returns the type of the elements of an array, whose modifier is the array's.
func (t storedType) of() storedType {
	return storedType{sql: t.element, base: t.element, modifier: t.modifier, labels: t.labels}
}
