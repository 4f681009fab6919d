package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
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

// askHindrances finds them on tables ($2) of a schema ($1). The triggers of
// partitions fire as well; their rules and their row security do not apply to
// statements that name the table above them.
const askHindrances = `WITH RECURSIVE family AS (
		SELECT c.oid, true AS named FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = ANY ($2)
		UNION SELECT i.inhrelid, false FROM family JOIN pg_inherits i ON i.inhparent = family.oid
	), member AS (
		SELECT c.oid, named, format('%I.%I', n.nspname, c.relname) AS name, c.relowner, c.relforcerowsecurity,
			CASE current_setting('session_replication_role') WHEN 'replica' THEN 'R' ELSE 'O' END AS firing
		FROM family JOIN pg_class c ON c.oid = family.oid JOIN pg_namespace n ON n.oid = c.relnamespace
	), found AS (
		SELECT m.named, m.name AS relation, 'trigger' AS kind, t.tgname::text AS name, pg_get_triggerdef(t.oid) AS definition,
			CASE to_jsonb(t)->>'tgparentid' WHEN '0' THEN format('DROP TRIGGER %I ON %s', t.tgname, m.name)
				ELSE format('ALTER TABLE %s DISABLE TRIGGER %I', m.name, t.tgname) END AS remedy, t.tgtype AS events, false AS instead
		FROM member m JOIN pg_trigger t ON t.tgrelid = m.oid WHERE NOT t.tgisinternal AND t.tgenabled IN ('A', m.firing)
			AND NOT EXISTS (SELECT FROM pg_trigger p JOIN member o ON o.oid = p.tgrelid WHERE p.oid = (to_jsonb(t)->>'tgparentid')::oid)
		UNION ALL
		SELECT m.named, m.name, 'rule', r.rulename, pg_get_ruledef(r.oid),
			format('DROP RULE %I ON %s', r.rulename, m.name), CASE r.ev_type WHEN '2' THEN 16 WHEN '3' THEN 4 ELSE 8 END, r.is_instead
		FROM member m JOIN pg_rewrite r ON r.ev_class = m.oid WHERE m.named AND r.ev_type <> '1' AND r.ev_enabled IN ('A', m.firing)
		UNION ALL
		SELECT m.named, m.name, 'row security', '', coalesce('policies ' || (SELECT string_agg(polname, ', ' ORDER BY polname)
			FROM pg_policy WHERE polrelid = m.oid), 'no policy'),
			CASE WHEN m.relforcerowsecurity AND pg_has_role(m.relowner, 'USAGE') THEN format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY', m.name)
				ELSE format('ALTER ROLE %I BYPASSRLS', current_user) END, 0, false
		FROM member m WHERE m.named AND row_security_active(m.oid))
	SELECT relation, kind, name, definition, remedy, events, instead FROM found ORDER BY named DESC, kind, relation, name`

// querier is a transaction or a pool.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// hindrancesOf finds what is in the way of tables of a schema. Of a trigger that
// partitions have copies of only the original is told if it is on one of the tables.
func hindrancesOf(ctx context.Context, db querier, schema string, tables ...string) ([]hindrance, error) {
	rows, _ := db.Query(ctx, askHindrances, schema, tables) // its error is that of collecting
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (h hindrance, err error) {
		return h, row.Scan(&h.table, &h.kind, &h.name, &h.definition, &h.remedy, &h.events, &h.instead)
	})
	if err != nil {
		return nil, fmt.Errorf("read the triggers, rules and policies: %w", err)
	}
	return all, nil
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
