package postgres

import (
	_ "embed"
	"strings"
)

//go:embed statements.sql
var statementsFile string

//go:embed schema.sql
var schemaFile string

var (
	statements = sections(statementsFile)
	// migrations make the schema ampipe: 1 is the first.
	migrations    = sections(schemaFile)
	askGuard      = statement("ask-guard", "{members}", statement("members"), "{internal}", statement("trigger-is-internal"))
	askHindrances = statement("ask-hindrances", "{internal}", statement("trigger-is-internal"))
	askIndexes    = statement("ask-indexes", "{serves}", statement("index-serves"))
	// checkWritten is used by every transaction that writes.
	checkWritten = statement("check-written", "{guard}", askGuard, "{inserted}", "")

	// What transactions that read nothing begin and end with, for a table, and for one that is
	// divided into partitions.
	ofTable   = newCounting(statement("count-inserted"))
	ofDivided = newCounting(statement("count-inserted-divided", "{members}", statement("members")))
)

// counting are statements of a transaction in which the server counts the rows that it inserts.
type counting struct{ lock, check string }

func newCounting(inserted string) *counting {
	return &counting{
		lock: statement("lock-or-fail", "{inserted}", inserted),
		check: statement("check-written", "{guard}", askGuard,
			"{inserted}", " AND "+inserted+" - current_setting('ampipe.inserted')::bigint = $18::bigint"),
	}
}

// sections returns what a file has of each name, without comments.
func sections(file string) map[string]string {
	all := make(map[string]string)
	for _, section := range strings.Split(file, "\n-- name: ")[1:] {
		name, text, _ := strings.Cut(section, "\n")
		for strings.HasPrefix(text, "--") {
			_, text, _ = strings.Cut(text, "\n")
		}
		all[name] = strings.TrimSpace(text)
	}
	return all
}

// statement returns a statement of statements.sql, with its fields filled in: pairs of
// the name of a field and a text.
func statement(name string, fields ...string) string {
	sql, ok := statements[name]
	if !ok {
		panic("statements.sql has no " + name)
	}
	if len(fields) == 0 {
		return sql
	}
	return strings.NewReplacer(fields...).Replace(sql)
}

// statement returns a statement about the table, with fields beside those that every
// table has.
func (g *tableSpec) statement(name string, fields ...string) string {
	var key []column
	for _, at := range g.key {
		key = append(key, g.columns[at])
	}
	// A row that was replaced is JSON, whose values are texts.
	replaced := func(c column) string { return "(r.content->>" + literal(c.name) + ")::" + c.SQL }
	text := func(alias string) func(column) string {
		return func(c column) string { return alias + quoted(c.name) + "::text" }
	}
	comparable := func(alias string) func(column) string {
		return func(c column) string {
			if c.Base == "json" { // PostgreSQL cannot compare those
				return alias + quoted(c.name) + "::text"
			}
			return alias + quoted(c.name)
		}
	}
	return statement(name, append(fields,
		"{table}", g.quoted(), "{block}", quoted(g.columns[g.block].name), "{columns}", g.list(),
		"{texts}", each(g.columns, ", ", text("t.")), "{staged_texts}", each(g.columns, ", ", text("s.")),
		"{comparable}", each(g.columns, ", ", comparable("t.")), "{staged_comparable}", each(g.columns, ", ", comparable("s.")),
		"{replaced}", each(g.columns, ", ", replaced), "{replaced_key}", each(key, ", ", replaced),
		"{same_key}", each(key, " AND ", func(c column) string { return "t." + quoted(c.name) + " = " + replaced(c) }),
		"{staged_key}", each(key, " AND ", func(c column) string { return "t." + quoted(c.name) + " = s." + quoted(c.name) }),
	)...)
}

// each writes columns by a form.
func each(columns []column, separator string, form func(column) string) string {
	all := make([]string, len(columns))
	for i, c := range columns {
		all[i] = form(c)
	}
	return strings.Join(all, separator)
}
