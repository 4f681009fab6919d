package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/ampipe/ampipe/pkg/sink/postgres/pgcopy"
)

// inspection is what a server has and allows, as far as one table is concerned. It
// is read first; what is to change is planned without the server.
type inspection struct {
	version        int // such as 150018
	encoding       string
	database, user string
	standby        bool
	mayCreate      bool // schemas in the database
	mayStage       bool // temporary tables

	state  stateFacts
	schema struct{ made, use, create bool } // of the table
	table  *tableFacts                      // nil: it does not exist
}

// stateFacts is about the schema ampipe.
type stateFacts struct {
	made  bool
	owned bool        // by a role of this user, who may change it
	read  bool        // its tables may be read
	used  bool        // and written
	steps int         // migrations done
	entry *stateEntry // nil: the table is not known

	hindrances []hindrance
	hazards    []hazard
}

// stateEntry is the row of a table in ampipe.tables.
type stateEntry struct {
	id             int32
	pipeline, sink string
	adopting       bool // its adoption has begun and is not over
}

// tableFacts is about an existing table, or what else has its name.
type tableFacts struct {
	kind        string // as in pg_class
	owned       bool
	rights      map[string]bool
	columns     []columnFacts
	unique      [][]string // the columns of each index that can be a key, sorted
	primary     constraint
	constraints []constraint
	filled      bool // rows are there, and this sink has never met the table
	indexed     bool // by the block column, or a partitioned table
	hindrances  []hindrance
	hazards     []hazard
}

type columnFacts struct {
	name string
	pgcopy.Type
	bound         bool // its domain takes no NULL
	notNull       bool
	filled        bool   // by itself, if nothing is given
	generated     string // as in pg_attribute: nothing can be given if it is not ""
	identity      string // likewise: "a" if INSERT may not give a value
	deterministic bool   // texts are equal only if their bytes are
}

// constraint is one of a table.
type constraint struct {
	name    string
	columns []string
}

const (
	askServer = `SELECT current_setting('server_version_num')::int, current_setting('server_encoding'), current_database(), current_user,
		pg_is_in_recovery(), has_database_privilege(current_database(), 'CREATE'), has_database_privilege(current_database(), 'TEMP')`

	askSchema = `SELECT has_schema_privilege(oid, 'USAGE'), has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = $1`

	askState = `SELECT pg_has_role(n.nspowner, 'USAGE'), has_schema_privilege(n.oid, 'USAGE') AND coalesce(bool_and(
			has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT') AND
			has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE')), true),
			has_schema_privilege(n.oid, 'USAGE') AND coalesce(bool_and(has_table_privilege(c.oid, 'SELECT')), true),
			coalesce(bool_or(c.relname = 'migrations'), false)
		FROM pg_namespace n LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname IN ('migrations', 'tables', 'coverage', 'replaced')
		WHERE n.nspname = 'ampipe' GROUP BY n.oid, n.nspowner`

	askSteps = `SELECT coalesce(max(step), 0) FROM ampipe.migrations`

	// Older versions of the schema do not have the column.
	askEntry = `SELECT id, pipeline, sink, to_jsonb(t)->>'adopting' IS NOT NULL FROM ampipe.tables t WHERE schema_name = $1
		AND table_name = $2`

	askTable = `SELECT c.oid, c.relkind::text, pg_has_role(c.relowner, 'USAGE'),
			array(SELECT r FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) AS r WHERE has_table_privilege(c.oid, r))
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2`

	askUnique = `SELECT array_agg(a.attname::text ORDER BY a.attname::text COLLATE "C")
		FROM pg_index i
		CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, n)
		JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
		WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indimmediate
			AND i.indpred IS NULL AND i.indexprs IS NULL AND k.n <= i.indnkeyatts
		GROUP BY i.indexrelid`

	askConstraints = `SELECT c.contype = 'p', c.conname, array_agg(a.attname::text ORDER BY a.attnum) FROM pg_constraint c
		JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)
		WHERE c.conrelid = $1 AND c.contype IN ('p', 'u', 'c', 'f', 'x') GROUP BY c.oid, c.contype, c.conname`

	// Partitions may each have an index of their own.
	askIndexed = `SELECT c.relkind = 'p' OR EXISTS (SELECT FROM pg_index i
			JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam JOIN pg_attribute a ON a.attrelid = c.oid
				AND a.attnum = i.indkey[0]
			WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL AND m.amname IN ('btree', 'brin') AND a.attname = $2)
		FROM pg_class c WHERE c.oid = $1`
)

// inspect reads what the server has of the table.
func inspect(ctx context.Context, tx pgx.Tx, g *tableSpec) (*inspection, error) {
	var s inspection
	err := tx.QueryRow(ctx, askServer).Scan(&s.version, &s.encoding, &s.database, &s.user, &s.standby, &s.mayCreate, &s.mayStage)
	if err != nil {
		return nil, err
	}
	if s.version < oldest {
		return &s, nil // the rest may use what it does not have
	}
	if err := s.inspectState(ctx, tx, g); err != nil {
		return nil, err
	}
	// The table before its schema: others may be making both at this moment.
	if err := s.inspectTable(ctx, tx, g); err != nil {
		return nil, err
	}
	s.schema.made, err = maybe(tx.QueryRow(ctx, askSchema, g.schema).Scan(&s.schema.use, &s.schema.create))
	if err != nil {
		return nil, err
	}
	return &s, s.inspectRows(ctx, tx, g)
}

// inspectRows checks whether a table that this sink meets for the first time holds
// rows. What is refused anyway is not read.
func (s *inspection) inspectRows(ctx context.Context, tx pgx.Tx, g *tableSpec) error {
	t := s.table
	if t == nil || s.state.entry != nil || g.overwrite || g.adopt || !s.schema.use || !t.rights["SELECT"] || len(t.hazards) > 0 ||
		(t.kind != "r" && t.kind != "p") ||
		slices.ContainsFunc(t.hindrances, func(h hindrance) bool { return h.kind == rowSecurity }) {
		return nil
	}
	if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM "+g.quoted()+")").Scan(&t.filled); err != nil {
		return fmt.Errorf("look for rows: %w", err)
	}
	return nil
}

// maybe reports whether a row was found.
func maybe(err error) (bool, error) {
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// hidden reports whether row security may hide rows of the schema ampipe.
func (st *stateFacts) hidden() bool {
	return slices.ContainsFunc(st.hindrances, func(h hindrance) bool { return h.kind == rowSecurity })
}

func (s *inspection) inspectState(ctx context.Context, tx pgx.Tx, g *tableSpec) (err error) {
	st := &s.state
	var begun bool
	st.made, err = maybe(tx.QueryRow(ctx, askState).Scan(&st.owned, &st.used, &st.read, &begun))
	if err != nil || !st.read || !begun {
		return err
	}
	if st.hindrances, err = hindrancesOf(ctx, tx, "ampipe", stateTables...); err != nil {
		return err
	}
	if st.hidden() {
		return nil // what can be read may not be all there is
	}
	if err := tx.QueryRow(ctx, askSteps).Scan(&st.steps); err != nil || st.steps == 0 {
		return err
	}
	if st.hazards, err = hazardsOf(ctx, tx, true, "ampipe", stateTables...); err != nil {
		return err
	}
	var e stateEntry
	known, err := maybe(tx.QueryRow(ctx, askEntry, g.schema, g.table).Scan(&e.id, &e.pipeline, &e.sink, &e.adopting))
	if known {
		st.entry = &e
	}
	return err
}

func (s *inspection) inspectTable(ctx context.Context, tx pgx.Tx, g *tableSpec) error {
	var (
		oid    uint32
		t      tableFacts
		rights []string
	)
	found, err := maybe(tx.QueryRow(ctx, askTable, g.schema, g.table).Scan(&oid, &t.kind, &t.owned, &rights))
	if !found {
		return err
	}
	t.rights = make(map[string]bool)
	for _, r := range rights {
		t.rights[r] = true
	}
	if t.columns, err = columnsIn(ctx, tx, oid); err != nil {
		return err
	}
	rows, _ := tx.Query(ctx, askUnique, oid) // its error is that of collecting
	if t.unique, err = pgx.CollectRows(rows, pgx.RowTo[[]string]); err != nil {
		return fmt.Errorf("read the indexes: %w", err)
	}
	if err := tx.QueryRow(ctx, askIndexed, oid, g.columns[g.block].name).Scan(&t.indexed); err != nil {
		return fmt.Errorf("read the indexes: %w", err)
	}
	rows, _ = tx.Query(ctx, askConstraints, oid)
	t.constraints, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (c constraint, err error) {
		var primary bool
		err = row.Scan(&primary, &c.name, &c.columns)
		if primary {
			t.primary = c
		}
		return c, err
	})
	if err != nil {
		return fmt.Errorf("read the constraints: %w", err)
	}
	if t.hindrances, err = hindrancesOf(ctx, tx, g.schema, g.table); err != nil {
		return err
	}
	t.hazards, err = hazardsOf(ctx, tx, g.upsert(), g.schema, g.table)
	s.table = &t
	return err
}
