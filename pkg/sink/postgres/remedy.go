package postgres

import (
	"fmt"
	"slices"
	"strings"
)

// takes reports whether values of the column can be written to a column of the given
// type, and come back from it, as if it were the column's own.
func (c column) takes(sql string) bool {
	return sql == c.sql || c.sql == "text" && sql == "character varying"
}

// remedy says how a column that is of another type becomes usable: by a setting, by a
// statement, or not at all.
func (g *target) remedy(c column, found string) string {
	as := ""
	switch {
	case found == "bigint":
		as = asBigint
	case found == "text" || found == "character varying":
		as = asHex
	case strings.HasPrefix(found, "numeric"):
		as = asNumeric
	}
	var ways []string
	if as != "" {
		want := column{}
		want.sql, want.bind = overridden(c.arrow, as)
		if want.bind != nil && want.takes(found) {
			setting := fmt.Sprintf("set types: {%s: %s}", c.name, as)
			if as == asHex {
				setting += ", if its values are 0x and lower-case digits"
			}
			ways = append(ways, setting)
		}
	}
	if using, ok := conversion(found, c); ok {
		ways = append(ways, fmt.Sprintf("run ALTER TABLE %s ALTER COLUMN %s TYPE %s%s", g.quoted(), quoted(c.name), c.sql, using))
	}
	if len(ways) == 0 {
		ways = append(ways, "cast it in the query")
	}
	return "; " + strings.Join(ways, ", or ") + ", or use another table"
}

// conversion returns the USING of the statement that turns a type into that of a
// column, and whether there is one that keeps the values.
func conversion(found string, c column) (using string, ok bool) {
	is := func(types ...string) bool { return slices.Contains(types, found) }
	number := is("smallint", "integer", "bigint") || strings.HasPrefix(found, "numeric")
	switch {
	case c.sql == "text":
		return "", strings.HasPrefix(found, "character varying")
	case c.sql == "bigint", c.sql == "integer", c.sql == "smallint", strings.HasPrefix(c.sql, "numeric"):
		return "", number
	case c.sql == "double precision":
		return "", is("real")
	case c.sql == "bytea":
		return fmt.Sprintf(" USING decode(regexp_replace(%s, '^(0x|\\\\x)', ''), 'hex')", quoted(c.name)), is("text") || strings.HasPrefix(found, "character varying")
	case c.sql == "jsonb":
		return fmt.Sprintf(" USING %s::jsonb", quoted(c.name)), is("json")
	case c.sql == "timestamp with time zone", c.sql == "timestamp without time zone":
		if strings.HasPrefix(found, "timestamp") && strings.HasSuffix(found, strings.TrimPrefix(c.sql, "timestamp ")) {
			return "", true // it has fewer digits
		}
		return fmt.Sprintf(" USING %s AT TIME ZONE 'UTC'", quoted(c.name)), strings.HasPrefix(found, "timestamp")
	default:
		return "", false
	}
}

// release returns the statement that lets columns be NULL which the query does not
// give, such as those that another loader numbers its rows by. A primary key on one of
// them has to go first.
func (g *target) release(columns []string, key primaryKey) string {
	var steps []string
	if slices.ContainsFunc(columns, func(name string) bool { return slices.Contains(key.columns, name) }) {
		steps = append(steps, "DROP CONSTRAINT "+quoted(key.name))
	}
	for _, name := range columns {
		steps = append(steps, fmt.Sprintf("ALTER COLUMN %s DROP NOT NULL", quoted(name)))
	}
	return fmt.Sprintf("ALTER TABLE %s %s", g.quoted(), strings.Join(steps, ", "))
}
