package postgres

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ampipe/ampipe/pkg/arrowfmt"
	"github.com/ampipe/ampipe/pkg/sink/postgres/pgcopy"
)

const (
	oldest         = 120000 // the first server version that will do
	dropExpression = 130000 // the first that makes a generated column an ordinary one
	multiBRIN      = 140000 // the first with minmax-multi
)

// changePlan is what has to be done before rows can be written.
type changePlan struct {
	makeState bool     // create the schema ampipe
	migrate   int      // migrations that are done already
	forget    bool     // what is known of the table, which is gone
	add       []string // statements that add columns to the table
	make      []string // other statements for the table
}

// planChanges returns what has to be done, or an error with everything that is in the way.
func (s *inspection) planChanges(g *tableSpec) (changePlan, error) {
	switch {
	case s.version < oldest:
		return changePlan{}, fmt.Errorf("the server is PostgreSQL %d, and ampipe needs 12 or later", s.version/10000)
	case s.encoding != "UTF8":
		return changePlan{}, fmt.Errorf("the database %q stores text as %s, and ampipe needs UTF8; make a database with ENCODING 'UTF8'",
			s.database, s.encoding)
	}
	var (
		w     changePlan
		wrong []error
	)
	deny := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }

	s.planState(g, &w, deny)
	if g.upsert() && !s.mayStage {
		deny("the user %q may not make temporary tables, which mode: upsert needs; run GRANT TEMPORARY ON DATABASE %s TO %s",
			s.user, quoted(s.database), quoted(s.user))
	}
	if g.adopt {
		s.planAdoption(g, deny)
	}
	switch {
	case s.table != nil:
		s.planExistingTable(g, &w, deny)
	case !g.adopt:
		s.planNewTable(g, &w, deny)
	}
	return w, errors.Join(wrong...)
}

// planState checks the schema ampipe, and whose table it is.
func (s *inspection) planState(g *tableSpec, w *changePlan, deny func(string, ...any)) {
	st := s.state
	switch {
	case !st.made && !s.mayCreate:
		deny("the schema ampipe, where the progress is kept, does not exist, and the user %q may not create it; "+
			"run CREATE SCHEMA ampipe AUTHORIZATION %s as an administrator", s.user, quoted(s.user))
	case st.made && !st.used:
		deny("the user %q may not use the schema ampipe, where the progress is kept; run "+
			"GRANT USAGE ON SCHEMA ampipe TO %s; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ampipe TO %[2]s",
			s.user, quoted(s.user))
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
		h.report(deny)
	}
	switch e := st.entry; {
	case e == nil:
	case e.pipeline != g.pipeline || e.sink != g.sink:
		deny("it is loaded by the sink %q of the pipeline %q, and one table is for one sink; "+
			"load into another table or, if that pipeline is gone for good, run DELETE FROM ampipe.tables WHERE id = %d", e.sink, e.pipeline, e.id)
	case g.adopt && !e.adopting:
		deny("ampipe loads it already, so there is nothing to adopt; ampipe verify compares it. If another program has filled it, and ampipe "+
			"was started on it by mistake: stop the sink, run DELETE FROM ampipe.tables WHERE id = %d, and adopt it then", e.id)
	case !g.adopt && e.adopting && s.table != nil:
		deny("it is being adopted, and that is not finished, so rows that are there would be loaded once more; run ampipe adopt "+
			"%s --sink %s to the end, "+
			"or, to load beside the rows that are there after all, DELETE FROM ampipe.tables WHERE id = %d", g.pipeline, g.sink, e.id)
	}
}

// planAdoption refuses what cannot be adopted.
func (s *inspection) planAdoption(g *tableSpec, deny func(string, ...any)) {
	switch {
	case s.table == nil:
		deny("it does not exist, so there is nothing to adopt; ampipe run makes it")
	case g.overwrite:
		deny("overwrite: true would empty it, and adopting keeps what is there; take that line out of the configuration")
	case g.replaces():
		deny("the key lacks the block column %q, so a row of one block replaces one of another, and blocks cannot be compared by themselves; "+
			"put the block column into the key, or load into another table", g.columns[g.block].name)
	}
}

// planNewTable checks what is needed to make the table.
func (s *inspection) planNewTable(g *tableSpec, w *changePlan, deny func(string, ...any)) {
	switch {
	case !s.schema.made && !s.mayCreate:
		deny("the schema %q does not exist, and the user %q may not create it; run CREATE SCHEMA %s AUTHORIZATION %s as an administrator",
			g.schema, s.user, quoted(g.schema), quoted(s.user))
	case s.schema.made && (!s.schema.create || !s.schema.use):
		deny("the user %q may not create tables in the schema %q; run GRANT USAGE, CREATE ON SCHEMA %s TO %s, or make the table yourself:\n%s",
			s.user, g.schema, quoted(g.schema), quoted(s.user), strings.Join(g.create(s.version >= multiBRIN), ";\n"))
	}
	g.columns, g.constraints = g.wanted, nil
	w.forget = s.state.entry != nil
	if !s.schema.made {
		w.make = append(w.make, "CREATE SCHEMA "+quoted(g.schema))
	}
	w.make = append(w.make, g.create(s.version >= multiBRIN)...)
}

// planExistingTable compares an existing table with what it should be.
func (s *inspection) planExistingTable(g *tableSpec, w *changePlan, deny func(string, ...any)) {
	t := s.table
	if t.kind != "r" && t.kind != "p" {
		deny("it is not a table, so nothing can be loaded into it; use another name")
		return
	}
	for _, h := range t.hazards {
		h.report(deny)
	}
	for _, h := range t.hindrances {
		g.report(h, deny)
	}
	if !s.schema.use {
		deny("the user %q may not use the schema %q; run GRANT USAGE ON SCHEMA %s TO %s", s.user, g.schema, quoted(g.schema), quoted(s.user))
	}
	if g.perPartition > 0 {
		s.comparePartitions(g, deny)
	}
	s.compareIndexes(g, deny)
	empty := g.overwrite && s.state.entry == nil && !g.adopt
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
func (s *inspection) warnings(g *tableSpec) []string {
	if s.table == nil {
		return nil
	}
	var all []string
	for _, h := range s.table.hindrances {
		if warning := g.warn(h); warning != "" {
			all = append(all, warning)
		}
	}
	if s.table.filled {
		all = append(all, fmt.Sprintf("%s holds rows that ampipe has not written, and ampipe run would load beside them; "+
			"to keep those that are right, run ampipe adopt %s --sink %s --dry-run first",
			g, g.pipeline, g.sink))
	}
	if limits := g.limits(s.table.columns); limits != "" {
		all = append(all, limits)
	}
	if !s.table.indexed {
		all = append(all, fmt.Sprintf("no index of %s begins with the block column, so each reorg reads the whole table; run %s",
			g, g.createIndex(s.version >= multiBRIN)))
	}
	return all
}

// compareColumns adds the columns that are missing, if that is wanted.
func (s *inspection) compareColumns(g *tableSpec, w *changePlan, deny func(string, ...any)) {
	ours := make(map[string]bool)
	g.columns, g.constraints = slices.Clone(g.wanted), s.table.constraints
	for i, c := range g.wanted {
		ours[c.name] = true
		f, found := factsOf(s.table.columns, c.name)
		switch {
		case !found && !g.evolve:
			deny("column %q is missing, of the type %s; "+
				"%srun ALTER TABLE %s ADD COLUMN %s %s, set schema_evolution: true to have it added, or leave it out of the query",
				c.name, c.SQL, s.table.alike(c.name, g.names()), g.quoted(), quoted(c.name), c.SQL)
		case !found && g.keyed(i):
			deny("the key column %q is missing, and rows that are there would have none; use another table", c.name)
		case !found && !s.table.owned:
			deny("column %q is missing, of the type %s, and the user %q, who does not own the table, may not add it; "+
				"as its owner, run ALTER TABLE %s ADD COLUMN %s %s",
				c.name, c.SQL, s.user, g.quoted(), quoted(c.name), c.SQL)
		case !found:
			w.add = append(w.add, fmt.Sprintf("ALTER TABLE %s ADD COLUMN %s %s", g.quoted(), quoted(c.name), c.SQL))
		default:
			s.compareColumn(g, i, f, deny)
		}
	}
	var bare []columnFacts
	for _, f := range s.table.columns {
		if !ours[f.name] && f.bound && !f.filled {
			deny("column %q has to have a value, and the query gives none; "+
				"run ALTER DOMAIN %s DROP NOT NULL, or give it a default", f.name, f.Type.Name)
		}
		if !ours[f.name] && f.notNull && !f.filled && f.generated == "" {
			bare = append(bare, f)
		}
	}
	switch {
	case len(bare) == 1:
		deny("column %q has to have a value, and the query gives none; "+
			"run %s, or give it a default", bare[0].name, g.release(bare...))
	case len(bare) > 1:
		names := make([]string, len(bare))
		for i, f := range bare {
			names[i] = f.name
		}
		deny("columns %q have to have values, and the query gives none; "+
			"run %s, or give them defaults", names, g.release(bare...))
	}
}

// compareColumn adapts what is written to a column that is there.
func (s *inspection) compareColumn(g *tableSpec, i int, f columnFacts, deny func(string, ...any)) {
	c, ok := g.wanted[i].into(f.Type)
	switch {
	case f.generated == "s" && s.version >= dropExpression:
		deny("column %q is generated by the table, so nothing can be written to it; "+
			"run ALTER TABLE %s ALTER COLUMN %s DROP EXPRESSION, or leave it out of the query",
			c.name, g.quoted(), quoted(c.name))
	case f.generated != "":
		deny("column %q is generated by the table, so nothing can be written to it; leave it out of the query", c.name)
	case !ok:
		deny("column %q is of the type %s, and the query needs %s%s", c.name, f.SQL, c.SQL, g.remedy(c, f.Type))
	case f.identity == "a" && g.upsert():
		deny("column %q is GENERATED ALWAYS AS IDENTITY, and mode: upsert could not write it; "+
			"run ALTER TABLE %s ALTER COLUMN %s SET GENERATED BY DEFAULT",
			c.name, g.quoted(), quoted(c.name))
	case g.keyed(i) && !f.names(c):
		deny("the key column %q is of the type %s, whose values PostgreSQL may call equal although they differ; "+
			"%schoose another key", c.name, f.SQL, g.asKey(c))
	}
	switch {
	case f.bound:
		c.full = fmt.Sprintf("the value is NULL, and the domain %s takes none; "+
			"have the query replace NULL, or run ALTER DOMAIN %s DROP NOT NULL", f.SQL, f.Type.Name)
	case f.notNull:
		c.full = "the value is NULL, and the column is NOT NULL; " +
			"have the query replace NULL, or run " + g.release(f)
	}
	g.columns[i] = c
}

// names reports whether values of a column are equal for PostgreSQL only if they are the
// same, so that they can name a row.
func (f columnFacts) names(c column) bool {
	switch {
	case slices.Contains(unkeyed, f.Base) || slices.Contains(unkeyed, f.Element) || !f.deterministic:
		return false
	case f.Base == "numeric" && arrowfmt.IsText(arrowfmt.Underlying(c.arrow)), f.Base == "character":
		return f.Modifier >= 0 // 1 and 1.0 differ, as a text with and without blanks does
	default:
		return true
	}
}

// asKey returns what makes a column of texts one that can be part of a key.
func (g *tableSpec) asKey(c column) string {
	as := ""
	switch {
	case c.Base == "numeric":
		as = "numeric(78,0)"
	case arrowfmt.IsText(arrowfmt.Underlying(c.arrow)) || c.as == pgcopy.AsHex:
		as = `text COLLATE "C"`
	default:
		return ""
	}
	return fmt.Sprintf("run ALTER TABLE %s ALTER COLUMN %s TYPE %s, or ", g.quoted(), quoted(c.name), as)
}

// alike returns which column of the table has the name in other letters, and none of the
// query's.
func (t *tableFacts) alike(name string, taken []string) string {
	for _, f := range t.columns {
		if strings.EqualFold(f.name, name) && !slices.Contains(taken, f.name) {
			return fmt.Sprintf("the table has %q, so write %s AS %s in the query, or ", f.name, quoted(name), quoted(f.name))
		}
	}
	return ""
}

// compareKey looks for the index that keeps the key.
func (s *inspection) compareKey(g *tableSpec, deny func(string, ...any)) {
	key := slices.Sorted(slices.Values(g.keyNames()))
	if !slices.ContainsFunc(s.table.unique, func(index []string) bool { return slices.Equal(index, key) }) {
		deny("no primary key or unique index is on exactly the columns of the key; run ALTER TABLE %s ADD PRIMARY KEY (%s)",
			g.quoted(), quotedList(g.keyNames()))
	}
}

// limits returns what of the columns that are there may be refused or cut off, as a
// warning, or "".
func (g *tableSpec) limits(columns []columnFacts) string {
	var narrow, steps, cut []string
	for _, c := range g.columns {
		f, found := factsOf(columns, c.name)
		switch {
		case !found:
		case c.Wider != "":
			narrow = append(narrow, fmt.Sprintf("%q is %s", c.name, f.SQL))
			steps = append(steps, fmt.Sprintf("ALTER COLUMN %s TYPE %s", quoted(c.name), c.Wider))
		case c.Cuts:
			cut = append(cut, fmt.Sprintf("%q is %s", c.name, f.SQL))
			steps = append(steps, fmt.Sprintf("ALTER COLUMN %s TYPE %s", quoted(c.name), f.Base))
		}
	}
	var said []string
	switch {
	case len(narrow) > 0 && g.putsAside:
		said = append(said, "a row with a value that does not fit becomes a dead letter ("+strings.Join(narrow, ", ")+")")
	case len(narrow) > 0:
		said = append(said, "a value that does not fit stops the sink ("+strings.Join(narrow, ", ")+")")
	}
	if len(cut) > 0 {
		said = append(said, "digits of a second are cut off ("+strings.Join(cut, ", ")+")")
	}
	if len(said) == 0 {
		return ""
	}
	return fmt.Sprintf("%s is narrower than the query: %s; to take all that may come, run ALTER TABLE %s %s",
		g, strings.Join(said, ", and "), g.quoted(), strings.Join(steps, ", "))
}
