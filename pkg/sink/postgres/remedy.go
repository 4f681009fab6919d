package postgres

import (
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/sink/postgres/pgcopy"
)

// remedy returns how a column whose type takes no values of the query becomes usable: by a
// setting, by a statement, by a cast in the query, or by leaving it out.
func (g *tableSpec) remedy(c column, t pgcopy.Type) string {
	var ways []string
	if _, ok := pgcopy.Fit(c.arrow, pgcopy.AsHex, t); ok && c.as == "" {
		ways = append(ways, fmt.Sprintf("set types: {%s: hex}, if its values are 0x and lower-case digits", c.name))
	}
	if usual, err := pgcopy.Default(c.arrow); c.as != "" && err == nil {
		if _, ok := (column{arrow: c.arrow, Encoding: usual}).into(t); ok {
			ways = append(ways, fmt.Sprintf("take %s out of types", c.name))
		}
	}
	if using, ok := conversion(c, t); ok {
		way := fmt.Sprintf("run ALTER TABLE %s ALTER COLUMN %s TYPE %s%s", g.quoted(), quoted(c.name), c.SQL, using)
		if strings.HasSuffix(using, "::jsonb") {
			way += ", if its values are JSON"
		}
		ways = append(ways, way)
	}
	if as := castTo(c, t); as != "" {
		ways = append(ways, fmt.Sprintf("write CAST(%s AS %s) AS %[1]s in the query", quoted(c.name), as))
	}
	switch {
	case len(ways) > 0:
	case c.as != "":
		ways = append(ways, "leave it out of the query and of types")
	default:
		ways = append(ways, "leave it out of the query")
	}
	return "; " + strings.Join(ways, ", or ") + ", or load into another table"
}

// conversion returns the USING of the statement that turns a type into that of a
// column, and whether there is one that keeps the values.
func conversion(c column, t pgcopy.Type) (using string, ok bool) {
	name := quoted(c.name)
	switch {
	case c.SQL == "text" && c.as != pgcopy.AsHex && t.Base == "bytea":
		return fmt.Sprintf(" USING '0x' || encode(%s, 'hex')", name), true
	case c.SQL == "text" && c.as != pgcopy.AsHex:
		return "", t.Element == ""
	case c.SQL == "text":
		return "", slices.Contains(pgcopy.Characters, t.Base)
	case c.SQL == "double precision":
		return "", t.Base == "real"
	case strings.HasPrefix(c.SQL, "numeric"):
		return "", t.Base == "numeric"
	case c.SQL == "bytea" && t.Base == "uuid":
		return fmt.Sprintf(" USING uuid_send(%s)", name), true
	case c.SQL == "bytea":
		return fmt.Sprintf(" USING decode(regexp_replace(%s, '^(0x|\\\\x)', ''), 'hex')", name), slices.Contains(pgcopy.Characters, t.Base)
	case c.SQL == "interval":
		return "", t.Base == "interval"
	case c.SQL == "jsonb" && t.Element != "":
		return fmt.Sprintf(" USING to_jsonb(%s)", name), true
	case c.SQL == "jsonb":
		return fmt.Sprintf(" USING %s::jsonb", name), slices.Contains(pgcopy.Characters, t.Base)
	case c.SQL == "time without time zone":
		return fmt.Sprintf(" USING %s::time", name), t.Base == "time with time zone"
	default:
		return "", false
	}
}

// castTo returns the type of the query's language whose values the column takes, or ""
// if a cast to none would do.
func castTo(c column, t pgcopy.Type) string {
	id := c.arrow.ID()
	if dictionary, ok := c.arrow.(*arrow.DictionaryType); ok {
		id = dictionary.ValueType.ID()
	}
	var (
		number  = arrow.IsInteger(id) || arrow.IsFloating(id) || arrow.IsDecimal(id)
		text    = slices.Contains([]arrow.Type{arrow.STRING, arrow.LARGE_STRING, arrow.STRING_VIEW}, id)
		truth   = id == arrow.BOOL
		instant = slices.Contains([]arrow.Type{arrow.DATE32, arrow.DATE64, arrow.TIMESTAMP}, id)
		float   = arrow.IsFloating(id)
	)
	of := func(as string, from ...bool) string {
		if slices.Contains(from, true) {
			return as
		}
		return ""
	}
	switch t.Base {
	case "boolean":
		return of("BOOLEAN", text, arrow.IsInteger(id))
	case "smallint":
		return of("SMALLINT", truth, text, float)
	case "integer":
		return of("INT", truth, text, float)
	case "bigint":
		return of("BIGINT", truth, text, float)
	case "numeric":
		if _, places, limited := t.Precision(); limited && places < 0 {
			return ""
		}
		if truth {
			return "SMALLINT"
		}
		if digits, places, limited := t.Precision(); limited && digits <= 38 && places <= digits {
			return of(fmt.Sprintf("DECIMAL(%d, %d)", digits, places), float)
		}
		return of("VARCHAR", float)
	case "real":
		return of("REAL", number, text)
	case "double precision":
		return of("DOUBLE", number, text)
	case "date":
		return of("DATE", instant, text)
	case "timestamp without time zone", "timestamp with time zone":
		return of("TIMESTAMP", instant, text)
	case "text", "citext", "character varying", "character", "bpchar":
		return of("VARCHAR", number, truth, instant)
	case "jsonb", "json":
		return of("VARCHAR", number && !float, truth)
	default:
		return ""
	}
}

// release returns the statement that lets columns be NULL, such as those that another
// loader numbers its rows by. A primary key on one of them has to go first.
func (g *tableSpec) release(columns ...columnFacts) string {
	var steps []string
	for _, k := range g.constraints {
		if k.primary && slices.ContainsFunc(columns, func(f columnFacts) bool { return slices.Contains(k.columns, f.name) }) {
			steps = append(steps, "DROP CONSTRAINT "+quoted(k.name))
		}
	}
	for _, f := range columns {
		if f.identity != "" {
			steps = append(steps, fmt.Sprintf("ALTER COLUMN %s DROP IDENTITY", quoted(f.name)))
		}
		steps = append(steps, fmt.Sprintf("ALTER COLUMN %s DROP NOT NULL", quoted(f.name)))
	}
	return fmt.Sprintf("ALTER TABLE %s %s", g.quoted(), strings.Join(steps, ", "))
}
