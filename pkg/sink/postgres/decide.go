package postgres

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

const (
	oldest    = 120000 // the first server version that will do
	multiBRIN = 140000 // the first with minmax-multi
)

// work is what has to be done before rows can be written.
type work struct {
	makeState bool     // create the schema ampipe
	migrate   int      // migrations that are done already
	forget    bool     // what is known of the table, which is gone
	make      []string // statements for the table
}

// decide works out what has to be done, or says everything that is in the way.
func (s *survey) decide(g *target) (work, error) {
	switch {
	case s.version < oldest:
		return work{}, fmt.Errorf("the server is PostgreSQL %d, and ampipe needs 12 or later", s.version/10000)
	case s.encoding != "UTF8":
		return work{}, fmt.Errorf("the database %q stores text as %s, and ampipe needs UTF8; make a database with ENCODING 'UTF8'", s.database, s.encoding)
	}
	var (
		w     work
		wrong []error
	)
	deny := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }

	s.decideState(g, &w, deny)
	if g.upsert() && !s.mayStage {
		deny("the user %q may not make temporary tables, which mode: upsert needs; run GRANT TEMPORARY ON DATABASE %s TO %s",
			s.user, quoted(s.database), quoted(s.user))
	}
	if s.table == nil {
		s.decideNew(g, &w, deny)
	} else {
		s.decideOld(g, &w, deny)
	}
	return w, errors.Join(wrong...)
}

// decideState looks at the schema ampipe, and at whose table it is.
func (s *survey) decideState(g *target, w *work, deny func(string, ...any)) {
	st := s.state
	switch {
	case !st.made && !s.mayCreate:
		deny("the schema ampipe, where the progress is kept, does not exist, and the user %q may not create it; "+
			"run CREATE SCHEMA ampipe AUTHORIZATION %s as an administrator", s.user, quoted(s.user))
	case st.made && !st.used:
		deny("the user %q may not use the schema ampipe, where the progress is kept; run "+
			"GRANT USAGE ON SCHEMA ampipe TO %s; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ampipe TO %[2]s", s.user, quoted(s.user))
	case st.steps > len(migrations):
		deny("the schema ampipe was made by a newer ampipe (step %d, this one knows %d); use that version", st.steps, len(migrations))
	case st.hidden():
		// Nothing of it could be read.
	case st.made && st.steps < len(migrations) && !st.owned:
		deny("the schema ampipe has to be brought up to date, and the user %q does not own it; start ampipe once as its owner", s.user)
	}
	w.makeState, w.migrate = !st.made, st.steps
	for _, h := range st.hindrances {
		// Nobody but ampipe writes to its tables, so nothing there has to be changed.
		if h.kind == "rule" || h.alters(onInsert|onUpdate|onDelete) {
			deny("the progress is kept in %s, and %s may keep it from being written; run %s", h.table, h, h.remedy)
		}
	}
	for _, h := range st.hazards {
		h.mute = h.mute && st.steps == len(migrations) // else that is mended now
		h.decide(deny)
	}
	if e := st.entry; e != nil && (e.pipeline != g.pipeline || e.sink != g.sink) {
		deny("it is loaded by the sink %q of the pipeline %q, and one table is for one sink; "+
			"load into another table or, if that pipeline is gone for good, run DELETE FROM ampipe.tables WHERE id = %d", e.sink, e.pipeline, e.id)
	}
}

// decideNew looks at what is needed to make the table.
func (s *survey) decideNew(g *target, w *work, deny func(string, ...any)) {
	switch {
	case !s.schema.made && !s.mayCreate:
		deny("the schema %q does not exist, and the user %q may not create it; run CREATE SCHEMA %s AUTHORIZATION %s as an administrator",
			g.schema, s.user, quoted(g.schema), quoted(s.user))
	case s.schema.made && (!s.schema.create || !s.schema.use):
		deny("the user %q may not create tables in the schema %q; run GRANT USAGE, CREATE ON SCHEMA %s TO %s, or make the table yourself:\n%s",
			s.user, g.schema, quoted(g.schema), quoted(s.user), strings.Join(g.create(s.version >= multiBRIN), ";\n"))
	}
	w.forget = s.state.entry != nil
	if !s.schema.made {
		w.make = append(w.make, "CREATE SCHEMA "+quoted(g.schema))
	}
	w.make = append(w.make, g.create(s.version >= multiBRIN)...)
}

// decideOld compares an existing table with what it should be.
func (s *survey) decideOld(g *target, w *work, deny func(string, ...any)) {
	t := s.table
	if t.kind != "r" && t.kind != "p" {
		deny("it is not a table, so nothing can be loaded into it; use another name")
		return
	}
	for _, h := range t.hazards {
		h.decide(deny)
	}
	for _, h := range t.hindrances {
		g.decide(h, deny)
	}
	if !s.schema.use {
		deny("the user %q may not use the schema %q; run GRANT USAGE ON SCHEMA %s TO %s", s.user, g.schema, quoted(g.schema), quoted(s.user))
	}
	empty := g.overwrite && s.state.entry == nil
	var missing []string
	for _, right := range []string{"SELECT", "INSERT", "DELETE", "UPDATE", "TRUNCATE"} {
		needed := right == "UPDATE" && g.upsert() || right == "TRUNCATE" && empty || right != "UPDATE" && right != "TRUNCATE"
		if needed && !t.rights[right] {
			missing = append(missing, right)
		}
	}
	if len(missing) > 0 {
		deny("the user %q lacks rights; run GRANT %s ON %s TO %s", s.user, strings.Join(missing, ", "), g.quoted(), quoted(s.user))
	}
	s.compareColumns(g, w, deny)
	if g.upsert() {
		s.compareKey(g, deny)
	}
	if empty {
		w.make = append(w.make, "TRUNCATE "+g.quoted())
	}
}

// warnings returns what of an existing table may become trouble.
func (s *survey) warnings(g *target) []string {
	if s.table == nil {
		return nil
	}
	var all []string
	for _, h := range s.table.hindrances {
		if warning := g.warn(h); warning != "" {
			all = append(all, warning)
		}
	}
	if !s.table.indexed {
		all = append(all, fmt.Sprintf("no index of %s begins with the block column, so each reorg reads the whole table; run %s",
			g, g.createIndex(s.version >= multiBRIN)))
	}
	return all
}

// compareColumns adds the columns that are missing, if that is wanted.
func (s *survey) compareColumns(g *target, w *work, deny func(string, ...any)) {
	ours := make(map[string]bool)
	for i, c := range g.columns {
		ours[c.name] = true
		at := slices.IndexFunc(s.table.columns, func(f columnFacts) bool { return f.name == c.name })
		switch {
		case at < 0 && !g.evolve:
			deny("column %q is missing, of the type %s; set schema_evolution: true to have it added, or leave it out of the query", c.name, c.sql)
		case at < 0 && g.keyed(i):
			deny("the key column %q is missing, and rows that are there would have none; use another table", c.name)
		case at < 0 && !s.table.owned:
			deny("column %q is missing, of the type %s, and the user %q, who does not own the table, may not add it", c.name, c.sql, s.user)
		case at < 0:
			w.make = append(w.make, fmt.Sprintf("ALTER TABLE %s ADD COLUMN %s %s", g.quoted(), quoted(c.name), c.sql))
		case s.table.columns[at].sql != c.sql:
			deny("column %q is of the type %s, and the query needs %s%s", c.name, s.table.columns[at].sql, c.sql, c.hint(s.table.columns[at].sql))
		case s.table.columns[at].generated:
			deny("column %q is generated by the table, so nothing can be written to it; leave it out of the query", c.name)
		}
	}
	for _, f := range s.table.columns {
		if !ours[f.name] && f.notNull && !f.filled && !f.generated {
			deny("column %q has to have a value, and the query gives none; run ALTER TABLE %s ALTER COLUMN %s DROP NOT NULL, or give it a default",
				f.name, g.quoted(), quoted(f.name))
		}
	}
}

// hint tells how the column could become of the type that is there.
func (c column) hint(sql string) string {
	as := ""
	switch {
	case sql == "bigint":
		as = asBigint
	case sql == "text":
		as = asHex
	case strings.HasPrefix(sql, "numeric"):
		as = asNumeric
	default:
		return "; cast it in the query, or use another table"
	}
	if got, bind := overridden(c.arrow, as); bind == nil || got != sql {
		return "; cast it in the query, or use another table"
	}
	return fmt.Sprintf("; set types: {%s: %s}, or use another table", c.name, as)
}

// compareKey looks for the index that keeps the key.
func (s *survey) compareKey(g *target, deny func(string, ...any)) {
	key := slices.Sorted(slices.Values(g.keyNames()))
	if !slices.ContainsFunc(s.table.unique, func(index []string) bool { return slices.Equal(index, key) }) {
		deny("no primary key or unique index is on exactly the columns of the key; run ALTER TABLE %s ADD PRIMARY KEY (%s)",
			g.quoted(), quotedList(g.keyNames()))
	}
}
