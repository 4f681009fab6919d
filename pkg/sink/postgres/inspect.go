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
	constraints []constraint
	filled      bool // rows are there, and this sink has never met the table
	indexed     bool // by the block column, or a partitioned table
	byBlock     bool // it is divided by ranges of the block column alone
	rest        bool // one of its partitions takes what no other does
	deep        bool // one of its partitions is divided itself, or is no table of this server
	indexes     []index
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

// factsOf returns what is known of the column with a name, if it exists.
func factsOf(columns []columnFacts, name string) (f columnFacts, found bool) {
	at := slices.IndexFunc(columns, func(f columnFacts) bool { return f.name == name })
	if at < 0 {
		return f, false
	}
	return columns[at], true
}

// constraint is one of a table.
type constraint struct {
	primary bool
	name    string
	columns []string
}

// inspect reads what the server has of the table.
func inspect(ctx context.Context, tx pgx.Tx, g *tableSpec) (*inspection, error) {
	var s inspection
	err := tx.QueryRow(ctx, statement("ask-server")).Scan(&s.version, &s.encoding, &s.database, &s.user, &s.standby, &s.mayCreate, &s.mayStage)
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
	s.schema.made, err = maybe(tx.QueryRow(ctx, statement("ask-schema"), g.schema).Scan(&s.schema.use, &s.schema.create))
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
	st.made, err = maybe(tx.QueryRow(ctx, statement("ask-state")).Scan(&st.owned, &st.used, &st.read, &begun))
	if err != nil || !st.read || !begun {
		return err
	}
	if st.hindrances, err = hindrancesOf(ctx, tx, "ampipe", stateTables...); err != nil {
		return err
	}
	if st.hidden() {
		return nil // what can be read may not be all there is
	}
	if err := tx.QueryRow(ctx, statement("ask-steps")).Scan(&st.steps); err != nil || st.steps == 0 {
		return err
	}
	if st.hazards, err = hazardsOf(ctx, tx, true, "ampipe", stateTables...); err != nil {
		return err
	}
	var e stateEntry
	known, err := maybe(tx.QueryRow(ctx, statement("ask-entry"), g.schema, g.table).Scan(&e.id, &e.pipeline, &e.sink, &e.adopting))
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
	found, err := maybe(tx.QueryRow(ctx, statement("ask-table"), g.schema, g.table).Scan(&oid, &t.kind, &t.owned, &rights))
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
	t.unique, err = collect(ctx, tx, "read the indexes", func(columns *[]string) []any { return []any{columns} }, statement("ask-unique"), oid)
	if err != nil {
		return err
	}
	if err := tx.QueryRow(ctx, statement("ask-indexed"), oid, g.columns[g.block].name).Scan(&t.indexed); err != nil {
		return fmt.Errorf("read the indexes: %w", err)
	}
	if t.kind == "p" {
		err = tx.QueryRow(ctx, statement("ask-partitioning"), g.quoted(), g.columns[g.block].name).Scan(&t.byBlock, &t.rest, &t.deep)
		if err != nil {
			return fmt.Errorf("read how the table is divided: %w", err)
		}
	}
	if t.indexes, err = indexesOf(ctx, tx, oid); err != nil {
		return err
	}
	t.constraints, err = collect(ctx, tx, "read the constraints", func(c *constraint) []any {
		return []any{&c.primary, &c.name, &c.columns}
	}, statement("ask-constraints"), oid)
	if err != nil {
		return err
	}
	if t.hindrances, err = hindrancesOf(ctx, tx, g.schema, g.table); err != nil {
		return err
	}
	t.hazards, err = hazardsOf(ctx, tx, g.upsert(), g.schema, g.table)
	s.table = &t
	return err
}

// columnsIn reads the columns of a table.
func columnsIn(ctx context.Context, tx pgx.Tx, oid uint32) ([]columnFacts, error) {
	return collect(ctx, tx, "read the columns", func(c *columnFacts) []any {
		return []any{&c.name, &c.notNull, &c.filled, &c.generated, &c.identity, &c.deterministic, &c.SQL, &c.Name,
			&c.Base, &c.Modifier, &c.Domain, &c.bound, &c.Element, &c.OID, &c.Labels}
	}, statement("ask-columns"), oid)
}

// querier is a transaction or a pool.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// collect reads all rows of a statement. fields returns where the columns of one go.
func collect[T any](ctx context.Context, db querier, what string, fields func(*T) []any, sql string, args ...any) ([]T, error) {
	rows, _ := db.Query(ctx, sql, args...) // its error is that of collecting
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (T, error) {
		var v T
		err := row.Scan(fields(&v)...)
		return v, err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return all, nil
}
