package postgres

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ampipe/ampipe/pkg/sink"
)

// refused reports whether the server refuses a row for what is in it, and which line of
// a COPY that was, from 1; 0 if it does not say.
func refused(err error) (pg *pgconn.PgError, line int, ok bool) {
	pg, ok = refusal(err)
	if !ok || misread(err) || (!strings.HasPrefix(pg.Code, "22") && !strings.HasPrefix(pg.Code, "23") && !strings.HasPrefix(pg.Code, "54")) {
		return nil, 0, false
	}
	line, _ = copied(pg.Where)
	return pg, line, true
}

// whereCopied is what PostgreSQL says of a row of a COPY: "COPY logs, line 12, column
// data". Its words may be translated.
var whereCopied = regexp.MustCompile(`(?m)^COPY .*?, \D*(\d+)(?:, \S+ ([^\n]+))?$`)

// copied takes a context of the server apart: the line of a COPY, from 1, and the column
// if it names one.
func copied(where string) (line int, column string) {
	m := whereCopied.FindStringSubmatch(where)
	if m == nil {
		return 0, ""
	}
	line, _ = strconv.Atoi(m[1])
	return line, m[2]
}

// misread reports whether the server could not read the field of a column, which is
// then of another type than the one for which it was written.
func misread(err error) bool {
	pg, ok := refusal(err)
	if !ok || !slices.Contains([]string{invalidBinary, protocolViolation, internalError}, pg.Code) {
		return false
	}
	_, column := copied(pg.Where)
	return column != ""
}

// badRow returns the error for a row that the server refuses. The server's detail
// would quote all of it.
func (g *tableSpec) badRow(pg *pgconn.PgError) *sink.BadRowError {
	reason := "the server refuses it: " + cut(strings.Join(strings.Fields(pg.Message), " ")) + " (SQLSTATE " + pg.Code + ")"
	if withinTrigger(pg) {
		return &sink.BadRowError{Reason: reason + "; " + ofFunction}
	}
	if strings.HasPrefix(pg.Code, "23") {
		reason += "; " + g.constraintAdvice(pg)
	}
	return &sink.BadRowError{Column: g.refusedColumn(pg), Reason: reason}
}

// withinTrigger reports whether it is a statement of a function that has failed, such as
// a trigger's: the server then says where, innermost first.
func withinTrigger(pg *pgconn.PgError) bool {
	inner, _, _ := strings.Cut(pg.Where, "\n")
	return !strings.HasPrefix(inner, "COPY ") && (strings.Contains(inner, "SQL") || strings.Contains(inner, "PL/"))
}

// refusedColumn returns the column that the server refuses a value of, or "".
func (g *tableSpec) refusedColumn(pg *pgconn.PgError) string {
	_, column := copied(pg.Where)
	column, _, _ = strings.Cut(column, ": ")
	for _, name := range []string{pg.ColumnName, column} {
		if slices.Contains(g.names(), name) {
			return name
		}
	}
	for _, c := range g.constraints {
		if c.name == pg.ConstraintName && len(c.columns) == 1 {
			return c.columns[0]
		}
	}
	return ""
}

// constraintAdvice returns what to do about a constraint that refuses a row.
func (g *tableSpec) constraintAdvice(pg *pgconn.PgError) string {
	drop := fmt.Sprintf("run ALTER TABLE %s DROP CONSTRAINT %s", g.quoted(), quoted(pg.ConstraintName))
	switch {
	case pg.Code == notNullViolation:
		return "have the query replace NULL, or run ALTER TABLE <table> ALTER COLUMN <column> DROP NOT NULL"
	case pg.Code == checkViolation && pg.ConstraintName == "":
		return "no partition of the table takes the row: make one for it, " +
			"or one for all that is left (CREATE TABLE … PARTITION OF … DEFAULT)"
	case pg.ConstraintName == "":
		return "filter such rows out in the query"
	case pg.DataTypeName != "":
		return fmt.Sprintf("filter such rows out in the query, "+
			"or run ALTER DOMAIN %s.%s DROP CONSTRAINT %s", quoted(pg.SchemaName), quoted(pg.DataTypeName), quoted(pg.ConstraintName))
	case pg.Code == uniqueViolation && !slices.ContainsFunc(g.constraints, func(c constraint) bool { return c.name == pg.ConstraintName }):
		return fmt.Sprintf("the table holds a row with the same value already: set mode: "+
			"upsert with its columns as key, or run DROP INDEX %s.%s", quoted(pg.SchemaName), quoted(pg.ConstraintName))
	case pg.Code == uniqueViolation:
		return "the table holds a row with the same value already: set mode: upsert with its columns as key, or " + drop
	default:
		return "filter such rows out in the query, or " + drop
	}
}
