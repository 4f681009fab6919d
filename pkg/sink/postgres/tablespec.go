package postgres

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ampipe/ampipe/pkg/arrowfmt"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/postgres/pgcopy"
)

// tableSpec is the table as the configuration and the query want it. It is known without
// a connection.
type tableSpec struct {
	pipeline, sink string
	schema, table  string
	network        string
	wanted         []column // as the table is made
	columns        []column // as they are written; opening a table that is there adapts them
	constraints    []constraint
	block          int   // index of the block column
	key            []int // indices of the key; upsert only
	evolve         bool
	overwrite      bool
	putsAside      bool       // refused rows become dead letters
	adopt          bool       // it is opened to be adopted
	perPartition   uint64     // blocks of each partition that is made; 0: none are
	indexes        [][]string // the columns of those that are wanted
	indexAtStart   bool       // they are made with the table
}

// newTableSpec returns the table, or an error that names everything that is wrong with it.
func newTableSpec(cfg config.Postgres, t sink.Table) (*tableSpec, error) {
	if t.BlockColumn < 0 || t.BlockColumn >= t.Schema.NumFields() {
		return nil, fault.Permanent(fmt.Errorf("the query gives %d columns, and none is the block column; name it in the query, "+
			"or set source.block_column", t.Schema.NumFields()))
	}
	g := &tableSpec{pipeline: t.Pipeline, sink: t.Sink, schema: cfg.Schema, table: cfg.Table, network: t.Network,
		block: t.BlockColumn, evolve: cfg.SchemaEvolution, overwrite: cfg.Overwrite,
		putsAside: cfg.OnBadRow == config.DeadLetter}
	columns, err := columnsOf(t, cfg.Types)
	wrong := []error{err, checkIdentifier("schema", cfg.Schema), checkIdentifier("table", cfg.Table)}
	if err == nil {
		g.wanted, g.columns = columns, columns
		wrong = append(wrong, g.checkBlock())
		if cfg.Mode == config.Upsert {
			wrong = append(wrong, g.setKey(cfg.Key))
		}
		wrong = append(wrong, g.setPartitions(cfg.PartitionBy), g.setIndexes(cfg))
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, fault.Permanent(fmt.Errorf("table %s.%s: %w", cfg.Schema, cfg.Table, err))
	}
	return g, nil
}

// brinClasses are the operator classes for BRIN indexes, by the type of the
// block column. A class not listed here is no block column.
var brinClasses = map[string]string{
	"smallint": "int2_minmax_multi_ops",
	"integer":  "int4_minmax_multi_ops",
	"bigint":   "int8_minmax_multi_ops",
}

func (g *tableSpec) checkBlock() error {
	c := g.columns[g.block]
	if arrowfmt.IsText(arrowfmt.Underlying(c.arrow)) || (brinClasses[c.SQL] == "" && c.Base != "numeric") {
		return fmt.Errorf("the block column %q is of the Arrow type %s and has to be an integer; set source.block_column", c.name, c.arrow)
	}
	return nil
}

// unkeyed are types whose values can be equal for PostgreSQL while their bytes
// differ (0 and -0, 24 hours and a day), so that a key of them would not be one.
var unkeyed = []string{"real", "double precision", "interval", "jsonb", "json", "citext"}

func (g *tableSpec) setKey(names []string) error {
	var wrong []error
	if len(names) == 0 {
		wrong = append(wrong, errors.New("mode: upsert needs a key; give the columns that name a row"))
	}
	for i, name := range names {
		at := slices.IndexFunc(g.columns, func(c column) bool { return c.name == name })
		switch {
		case slices.Contains(names[:i], name):
			wrong = append(wrong, fmt.Errorf("the key names column %q twice", name))
		case at < 0:
			wrong = append(wrong, fmt.Errorf("the key names column %q, and the query gives only %q", name, g.names()))
		case slices.Contains(unkeyed, g.columns[at].SQL):
			wrong = append(wrong, fmt.Errorf("the key column %q is of the type %s, whose values PostgreSQL may call equal although "+
				"they differ; choose another key",
				name, g.columns[at].SQL))
		case g.columns[at].as == pgcopy.AsNumeric && arrowfmt.IsText(arrowfmt.Underlying(g.columns[at].arrow)):
			wrong = append(wrong, fmt.Errorf("the key column %q is text that is written as numeric, "+
				"where 1 and 1.0 are equal although they differ; "+
				"take it out of types, or choose another key", name))
		case len(g.key) == 32:
			wrong = append(wrong, errors.New("the key has more than 32 columns, which is all that an index of PostgreSQL takes; "+
				"choose fewer that name a row"))
		default:
			g.key = append(g.key, at)
		}
	}
	return errors.Join(wrong...)
}

// upsert reports whether rows have a key.
func (g *tableSpec) upsert() bool { return len(g.key) > 0 }

// keyed reports whether column i is part of the key.
func (g *tableSpec) keyed(i int) bool { return slices.Contains(g.key, i) }

// names returns the names of all columns.
func (g *tableSpec) names() []string {
	names := make([]string, len(g.columns))
	for i, c := range g.columns {
		names[i] = c.name
	}
	return names
}

// keyNames returns the names of the key columns, in the order of the key.
func (g *tableSpec) keyNames() []string {
	names := make([]string, len(g.key))
	for i, at := range g.key {
		names[i] = g.columns[at].name
	}
	return names
}

// String names the table for people.
func (g *tableSpec) String() string { return g.schema + "." + g.table }

// quoted names the table for PostgreSQL.
func (g *tableSpec) quoted() string { return quoted(g.schema) + "." + quoted(g.table) }

// list returns all columns, quoted, separated by commas.
func (g *tableSpec) list() string { return quotedList(g.names()) }

// createTable returns the statement that makes the table.
func (g *tableSpec) createTable() string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE %s (", g.quoted())
	for i, c := range g.columns {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "\n    %s %s", quoted(c.name), c.SQL)
	}
	if g.upsert() {
		fmt.Fprintf(&b, ",\n    PRIMARY KEY (%s)", quotedList(g.keyNames()))
	}
	b.WriteString("\n)")
	if g.perPartition > 0 {
		fmt.Fprintf(&b, " PARTITION BY RANGE (%s)", quoted(g.columns[g.block].name))
	}
	return b.String()
}

// createIndex returns the statement that makes the index on the block column. Block
// numbers come in several ascending runs, one for each partition, which is what
// minmax-multi is for; it exists since version 14.
func (g *tableSpec) createIndex(multi bool) string {
	c := g.columns[g.block]
	class := ""
	if multi {
		class = " numeric_minmax_multi_ops"
		if of := brinClasses[c.Base]; of != "" {
			class = " " + of
		}
	}
	return fmt.Sprintf("CREATE INDEX ON %s USING brin (%s%s) WITH (autosummarize = on)", g.quoted(), quoted(c.name), class)
}

// create returns the statements that make the table. Without a key it has nothing that
// names a row for logical replication, and a publication would forbid deleting.
func (g *tableSpec) create(multi bool) []string {
	all := []string{g.createTable(), g.createIndex(multi)}
	if g.indexAtStart {
		all = append(all, g.createIndexes()...)
	}
	if !g.upsert() {
		all = append(all, fmt.Sprintf("ALTER TABLE %s REPLICA IDENTITY FULL", g.quoted()))
	}
	return all
}

// Describe returns the statements that [Writer.Open] would run to make the table, and those
// of indexes that come later, each ending in a semicolon and a line feed. It needs no connection, so it
// assumes PostgreSQL 14 or later. An error is permanent.
func (w *Writer) Describe(t sink.Table) (string, error) {
	g, err := newTableSpec(w.cfg, t)
	if err != nil {
		return "", err
	}
	text := strings.Join(g.create(true), ";\n") + ";\n"
	if later := g.createIndexes(); len(later) > 0 && !g.indexAtStart {
		text += "-- when the history is loaded, beside those who read and write:\n" + strings.Join(later, ";\n") + ";\n"
	}
	return text, nil
}
