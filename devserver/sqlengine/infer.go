package sqlengine

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/duckdb/duckdb-go/v2"
)

// infer returns the schema of a result: what the resolver knows, and DuckDB's
// types for the rest.
func (p *Plan) infer(ctx context.Context, out scope) (_ *arrow.Schema, err error) {
	fields := make([]arrow.Field, len(out.columns))
	known := !out.opaque
	for i, c := range out.columns {
		if known = known && c.field != nil && c.name != ""; !known {
			break
		}
		fields[i] = *c.field
		fields[i].Name = c.name
	}
	if known {
		if p.Scan != nil || p.onlyColumns() {
			return arrow.NewSchema(fields, nil), nil
		}
	}
	s, err := p.open(ctx, nil, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	stmt, err := s.prepare(ctx, p.sql)
	if err != nil {
		return nil, inferRefusal(err)
	}
	defer func() { err = errors.Join(err, stmt.Close()) }()
	columns, err := stmt.ColumnCount()
	fields = fields[:0]
	for i := 0; err == nil && i < columns; i++ {
		var f arrow.Field
		f, err = p.field(stmt, i, out)
		fields = append(fields, f)
	}
	if err != nil {
		return nil, inferError(Internal, "Error during planning: "+err.Error())
	}
	return arrow.NewSchema(fields, nil), nil
}

// onlyColumns reports whether no expression is left for DuckDB to check.
func (p *Plan) onlyColumns() bool {
	return !p.tree.anywhere(func(e *expr, _ *scope) bool {
		switch e.Class {
		case "COLUMN_REF", "STAR", "CONSTANT", "COMPARISON", "CONJUNCTION", "BETWEEN":
			return false
		}
		return true
	})
}

// field returns one column of a result, as DuckDB describes it where the resolver does
// not know better.
func (p *Plan) field(stmt *duckdb.Stmt, i int, out scope) (arrow.Field, error) {
	name, err := stmt.ColumnName(i)
	if err != nil {
		return arrow.Field{}, err
	}
	info, err := stmt.ColumnTypeInfo(i)
	if err != nil {
		return arrow.Field{}, fmt.Errorf("column %s: %w", name, err)
	}
	natural, err := arrowType(info)
	if err != nil {
		return arrow.Field{}, err
	}
	f := arrow.Field{Name: columnName(name), Type: natural, Nullable: true}
	if !out.opaque && i < len(out.columns) {
		c := out.columns[i]
		if c.name != "" {
			f.Name = c.name
		}
		if c.field != nil {
			f.Type, f.Nullable = c.field.Type, c.field.Nullable
		}
		return f, nil
	}
	// Where the query could not be followed, a column of the same name and a
	// type that fits is taken for the table's.
	for _, u := range p.uses {
		same, found := u.table.Source.Schema().FieldsByName(f.Name)
		if found && fits(same[0].Type, natural) {
			f.Type = same[0].Type
			return f, nil
		}
	}
	return f, nil
}

// fits reports whether DuckDB would give natural back for a column of type t.
func fits(t, natural arrow.DataType) bool {
	info, err := duckType(t)
	if err != nil {
		return false
	}
	back, err := arrowType(info)
	return err == nil && arrow.TypeEqual(back, natural)
}

// columnName turns DuckDB's name of an unnamed expression into the server's,
// where they are known to differ.
func columnName(name string) string {
	if name == "count_star()" {
		return "count(*)"
	}
	return strings.TrimPrefix(name, "main.")
}

// inferRefusal puts DuckDB's error about a query into a real server's words.
func inferRefusal(err error) error {
	refused, text := refusal(err)
	if refused == nil {
		return fmt.Errorf("prepare query: %w", err)
	}
	switch refused.Type {
	case duckdb.ErrorTypeCatalog:
		if name, found := between(text, "Function with name ", " does not exist"); found {
			text = fmt.Sprintf("Invalid function '%s'.", strings.Trim(name, `"`))
			if hint, found := between(refused.Msg, "Did you mean \"", "\""); found {
				text += "\nDid you mean '" + hint + "'?"
			}
		}
	case duckdb.ErrorTypeBinder:
		if name, found := between(text, "Referenced column \"", "\" not found"); found {
			return inferError(Internal, "Schema error: No field named "+name+".")
		}
	case duckdb.ErrorTypeParser:
		return parseError(text)
	}
	return inferError(Internal, "Error during planning: "+text)
}

func between(text, before, after string) (string, bool) {
	_, rest, found := strings.Cut(text, before)
	if !found {
		return "", false
	}
	middle, _, found := strings.Cut(rest, after)
	return middle, found
}
