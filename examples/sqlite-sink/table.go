package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
)

// stateTable holds, for each table, whose it is and what is loaded: the ledger.
const stateTable = "ampipe_state"

// table is the table of a sink, and the statements for it.
//
// Rows are appended to the table itself if they have no key. If they have one, the table is
// a view of the newest version of each row, and the versions are in a table beside it: what
// a reorg takes away uncovers the version before it.
type table struct {
	sink.Table
	name    string
	rows    string   // the table that rows are written to
	columns []string // quoted
	types   []string // of SQLite
	block   string   // the block column, quoted
	key     []int    // columns of the key; nil: none
}

func newTable(c Config, t sink.Table) (*table, error) {
	g := &table{Table: t, name: c.Table, rows: c.Table}
	seen := map[string]bool{}
	for _, f := range t.Schema.Fields() {
		name := strings.ToLower(f.Name) // SQLite's names differ in more than case
		if seen[name] {
			return nil, fault.Permanent(fmt.Errorf("two columns are called %q: rename one in the query, with AS", f.Name))
		}
		seen[name] = true
		g.columns, g.types = append(g.columns, quoted(f.Name)), append(g.types, typeOf(f.Type))
	}
	if t.BlockColumn < 0 || t.BlockColumn >= len(g.types) || !arrow.IsInteger(t.Schema.Field(t.BlockColumn).Type.ID()) {
		return nil, fault.Permanent(fmt.Errorf("the block column, at index %d, is not an integer column; set source.block_column", t.BlockColumn))
	}
	g.block = g.columns[t.BlockColumn]
	for _, name := range c.Key {
		found := t.Schema.FieldIndices(name)
		if len(found) != 1 {
			return nil, fault.Permanent(fmt.Errorf("the query has no column %q, which key names; change the key or the query", name))
		}
		g.key = append(g.key, found[0])
	}
	if g.key != nil {
		g.rows = c.Table + "_versions"
	}
	return g, nil
}

// owner names the sink, for a table that another sink must not load.
func (g *table) owner() string { return g.Pipeline + "/" + g.Sink }

// definition is what the table was made by.
func (g *table) definition() string { return strings.Join(g.ddl(), ";\n") }

func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// windowed reports whether a row can be replaced by one of its own block only.
func (g *table) windowed() bool { return g.key == nil || slices.Contains(g.key, g.BlockColumn) }

// keyColumns returns the quoted columns of the key.
func (g *table) keyColumns() []string {
	var columns []string
	for _, i := range g.key {
		columns = append(columns, g.columns[i])
	}
	return columns
}

// ddl returns the statements that make the table.
func (g *table) ddl() []string {
	var lines, same []string
	for i, c := range g.columns {
		lines = append(lines, "  "+c+" "+g.types[i])
	}
	key := g.keyColumns()
	if g.key == nil {
		return []string{
			fmt.Sprintf("CREATE TABLE %s (\n%s\n) STRICT", quoted(g.rows), strings.Join(lines, ",\n")),
			fmt.Sprintf("CREATE INDEX %s ON %s (%s)", quoted(g.rows+"_block"), quoted(g.rows), g.block),
		}
	}
	if !g.windowed() {
		key = append(key, g.block) // a version of each block
	}
	lines = append(lines, fmt.Sprintf("  PRIMARY KEY (%s)", strings.Join(key, ", ")))
	for _, c := range g.keyColumns() {
		same = append(same, fmt.Sprintf("newer.%s = v.%s", c, c))
	}
	return []string{
		fmt.Sprintf("CREATE TABLE %s (\n%s\n) STRICT", quoted(g.rows), strings.Join(lines, ",\n")),
		fmt.Sprintf("CREATE INDEX %s ON %s (%s)", quoted(g.rows+"_block"), quoted(g.rows), g.block),
		fmt.Sprintf("CREATE VIEW %s AS\nSELECT %s FROM %s AS v\nWHERE NOT EXISTS (SELECT 1 FROM %s AS newer WHERE %s AND newer.%s > v.%s)",
			quoted(g.name), strings.Join(g.columns, ", "), quoted(g.rows), quoted(g.rows), strings.Join(same, " AND "), g.block, g.block),
	}
}

// insert is the statement that writes a row. One of the same key and block is replaced.
func (g *table) insert() string {
	verb := "INSERT"
	if g.key != nil {
		verb = "INSERT OR REPLACE"
	}
	return fmt.Sprintf("%s INTO %s (%s) VALUES (?%s)", verb, quoted(g.rows), strings.Join(g.columns, ", "), strings.Repeat(", ?", len(g.columns)-1))
}

// count counts the rows of some blocks that the table shows.
func (g *table) count() string {
	return fmt.Sprintf("SELECT count(*) FROM %s WHERE %s BETWEEN ? AND ?", quoted(g.name), g.block)
}

// remove deletes the rows of some blocks, with their versions.
func (g *table) remove() string {
	return fmt.Sprintf("DELETE FROM %s WHERE %s BETWEEN ? AND ?", quoted(g.rows), g.block)
}

// read reads the rows of some blocks that the table shows.
func (g *table) read() string {
	return fmt.Sprintf("SELECT %s FROM %s WHERE %s BETWEEN ? AND ?", strings.Join(g.columns, ", "), quoted(g.name), g.block)
}
