package postgres

import (
	"context"
	"fmt"
	"strings"
)

// stateTables are the tables of the schema ampipe.
var stateTables = []string{"migrations", "tables", "coverage", "replaced"}

// hindrance is something in a database that can make a table store other rows than
// it was told to, without an error: a trigger, a rule or row security.
type hindrance struct {
	table      string // quoted, with its schema
	kind       string // trigger, rule or rowSecurity
	name       string
	definition string
	remedy     string // a statement
	events     int16  // a set of the constants below, as in pg_trigger.tgtype
	instead    bool   // of a rule: its actions replace the statement
}

const rowSecurity = "row security"

const (
	forRow   = 1 << iota // else for each statement
	before               // else after
	onInsert             // COPY too
	onDelete
	onUpdate
)

// alters reports whether a statement for one of the events may store something
// else than it says. Triggers after it, and for each statement, cannot keep rows
// out; COPY knows no rules.
func (h hindrance) alters(events int16) bool {
	switch h.kind {
	case "trigger":
		return h.events&(forRow|before) == forRow|before && h.events&events != 0
	case "rule":
		return h.instead && h.events&events != 0
	default:
		return true
	}
}

func (h hindrance) String() string {
	return fmt.Sprintf("%s on %s (%s)", strings.TrimSpace(h.kind+" "+h.name), h.table, h.definition)
}

// hindrancesOf finds what is in the way of tables of a schema. Of a trigger that
// partitions have copies of only the original is told if it is on one of the tables.
func hindrancesOf(ctx context.Context, db querier, schema string, tables ...string) ([]hindrance, error) {
	return collect(ctx, db, "read the triggers, rules and policies", func(h *hindrance) []any {
		return []any{&h.table, &h.kind, &h.name, &h.definition, &h.remedy, &h.events, &h.instead}
	}, askHindrances, schema, tables)
}

// report says whether something on the table is certainly in the way of what ampipe
// does with it.
func (g *tableSpec) report(h hindrance, deny func(string, ...any)) {
	switch {
	case h.kind == rowSecurity:
		deny("row security (%s) applies to the user of the dsn: PostgreSQL lets nobody use COPY under it, and may hide rows; run %s, "+
			"or load as a user to whom it does not apply", h.definition, h.remedy)
	case h.kind == "rule" && h.instead && h.events == onDelete:
		deny("the %s keeps rows that a reorg has to delete; run %s", h, h.remedy)
	case h.kind == "rule" && h.events != onDelete && g.upsert():
		deny("PostgreSQL does not do INSERT … ON CONFLICT, which mode: upsert needs, on a table with the %s; run %s", h, h.remedy)
	}
}

// warn returns what may come of it, or "".
func (g *tableSpec) warn(h hindrance) string {
	events := int16(onInsert | onDelete)
	if g.upsert() {
		events |= onUpdate
	}
	if h.kind != "trigger" || !h.alters(events) {
		return ""
	}
	return fmt.Sprintf("the %s runs before each row is changed: if it holds back a row, or gives it another block number, this sink stops", h)
}
