package postgres

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/ampipe/ampipe/pkg/config"
)

// setIndexes takes over which indexes are wanted.
func (g *tableSpec) setIndexes(cfg config.Postgres) error {
	var wrong []error
	for i, index := range cfg.Indexes {
		for _, name := range index {
			if !slices.Contains(g.names(), name) {
				wrong = append(wrong, fmt.Errorf("indexes names column %q, and the query gives only %q; write one of these", name, g.names()))
			}
		}
		if len(index) > 32 {
			wrong = append(wrong, errors.New("an index has more than 32 columns, which is all that PostgreSQL takes; choose fewer"))
		}
		if slices.ContainsFunc(cfg.Indexes[:i], func(other []string) bool { return slices.Equal(other, index) }) {
			wrong = append(wrong, fmt.Errorf("indexes has the index on %q twice; take one of them out", index))
		}
	}
	g.indexes, g.indexAtStart = cfg.Indexes, cfg.BuildIndexes == config.AtStart
	return errors.Join(wrong...)
}

// indexName returns the name of an index on a table. What does not fit into a name becomes a
// hash, so that two indexes have two names.
func indexName(table string, columns []string) string {
	name := table + "_" + strings.Join(columns, "_") + "_idx"
	if len(name) <= maxIdentifier {
		return name
	}
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(name))
	end := fmt.Sprintf("_%08x_idx", hash.Sum32())
	name = name[:maxIdentifier-len(end)]
	return strings.ToValidUTF8(name, "") + end
}

// createIndexes returns the statements that make the indexes of a table that is empty.
func (g *tableSpec) createIndexes() []string {
	var all []string
	for _, columns := range g.indexes {
		all = append(all, fmt.Sprintf("CREATE INDEX %s ON %s (%s)", quoted(indexName(g.table, columns)), g.quoted(), quotedList(columns)))
	}
	return all
}

// index is one of a table: a B-tree of all rows on plain columns.
type index struct {
	oid     uint32
	schema  string
	name    string
	columns []string
	valid   bool   // queries can use it
	parent  uint32 // the index of the table above that it is a part of; 0: of none
}

func (i index) quoted() string { return quoted(i.schema) + "." + quoted(i.name) }

// indexesOf reads the indexes of a table.
func indexesOf(ctx context.Context, tx pgx.Tx, table uint32) ([]index, error) {
	return collect(ctx, tx, "read the indexes", func(i *index) []any {
		return []any{&i.oid, &i.schema, &i.name, &i.columns, &i.valid, &i.parent}
	}, askIndexes, table)
}

// validIndex returns the index on some columns that queries can use, whatever its name is.
func validIndex(all []index, columns []string) (found index, ok bool) {
	at := slices.IndexFunc(all, func(i index) bool { return i.valid && slices.Equal(i.columns, columns) })
	if at < 0 {
		return index{}, false
	}
	return all[at], true
}

// compareIndexes checks whether the indexes that an existing table lacks can be built.
func (s *inspection) compareIndexes(g *tableSpec, deny func(string, ...any)) {
	t := s.table
	for _, columns := range g.indexes {
		if _, there := validIndex(t.indexes, columns); there {
			continue
		}
		for _, name := range columns {
			f, found := factsOf(t.columns, name)
			if found && (f.Base == "json" || f.Element == "json") {
				deny("indexes names column %q, which is of the type %s, and PostgreSQL cannot compare those; "+
					"take it out, or run ALTER TABLE %s ALTER COLUMN %s TYPE jsonb", name, f.SQL, g.quoted(), quoted(name))
			}
		}
		create := fmt.Sprintf("CREATE INDEX ON %s (%s)", g.quoted(), quotedList(columns))
		switch {
		case !t.owned:
			deny("the table has no index on %q, and the user %q, who does not own the table, may not build it; as its owner, run %s, "+
				"or take it out of indexes", columns, s.user, create)
		case !s.schema.create:
			deny("the table has no index on %q, and the user %q may not build one in the schema %q; "+
				"run GRANT CREATE ON SCHEMA %s TO %s, or, as an administrator, %s", columns, s.user, g.schema, quoted(g.schema), quoted(s.user), create)
		case t.deep:
			deny("the table has no index on %q, and one of its partitions is divided itself, for which ampipe builds none; run %s, "+
				"or take it out of indexes", columns, create)
		}
	}
}

// Unbuilt returns how many indexes are still to be built; see [sink.Indexer].
func (w *Writer) Unbuilt(ctx context.Context) (int, error) {
	if w.pool == nil {
		return 0, errNotOpen
	}
	if len(w.spec.indexes) == 0 {
		return 0, nil
	}
	var missing [][]string
	err := w.inTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) (err error) {
		_, missing, err = w.spec.missingIndexes(ctx, tx)
		return err
	})
	if err != nil {
		return 0, w.classed(ctx, "read the indexes", err)
	}
	return len(missing), nil
}

// indexed is a table whose indexes are built.
type indexed struct {
	oid     uint32
	kind    string // as in pg_class
	schema  string
	name    string
	indexes []index
}

func (t indexed) quoted() string { return quoted(t.schema) + "." + quoted(t.name) }

// missingIndexes reads the indexes of the table and returns the columns of those that it
// lacks.
func (g *tableSpec) missingIndexes(ctx context.Context, tx pgx.Tx) (t indexed, missing [][]string, err error) {
	t = indexed{schema: g.schema, name: g.table}
	err = tx.QueryRow(ctx, "SELECT oid, relkind::text FROM pg_class WHERE oid = to_regclass($1)", g.quoted()).Scan(&t.oid, &t.kind)
	if err != nil {
		return t, nil, fmt.Errorf("look for the table: %w", err)
	}
	if t.indexes, err = indexesOf(ctx, tx, t.oid); err != nil {
		return t, nil, err
	}
	for _, columns := range g.indexes {
		if _, there := validIndex(t.indexes, columns); !there {
			missing = append(missing, columns)
		}
	}
	return t, missing, nil
}
