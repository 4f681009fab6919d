package sqlengine

import (
	"slices"
	"strings"
)

// from returns the columns of a FROM clause.
func (r *resolver) from(f *from, with *env, outer *scope) (scope, error) {
	switch f.Type {
	case "EMPTY":
		return scope{}, nil
	case "BASE_TABLE":
		return r.base(f, with)
	case "SUBQUERY":
		inner, err := r.query(f.Subquery.Node, with, outer)
		if err != nil {
			return scope{}, err
		}
		return scope{columns: renamed(inner.columns, f.Alias, f.ColumnAliases), opaque: inner.opaque}, nil
	case "JOIN":
		return r.join(f, with, outer)
	default: // values, table functions, pivots: DuckDB knows their columns
		return scope{opaque: true}, nil
	}
}

func (r *resolver) base(f *from, with *env) (scope, error) {
	if f.Catalog != "" {
		text := "Error during planning: failed to extract table references: Catalog-qualified table references are not supported: " +
			strings.Join([]string{f.Catalog, f.Schema, f.Table}, ".")
		return scope{}, inferError(Invalid, text)
	}
	qualifier := []string{f.Table}
	if f.Schema == "" {
		if cte := with.find(f.Table); cte != nil {
			if f.Alias != "" {
				qualifier[0] = f.Alias
			}
			return scope{columns: renamed(cte.columns, qualifier[0], f.ColumnAliases), opaque: cte.opaque}, nil
		}
	} else {
		qualifier = []string{f.Schema, f.Table}
	}
	u := &use{schema: f.Schema, name: f.Table, blocks: everything, counted: r.nested == 0}
	if err := r.find(u); err != nil {
		return scope{}, err
	}
	r.uses = append(r.uses, u)
	if f.Alias != "" {
		qualifier = []string{f.Alias}
	}
	var out scope
	for i, field := range u.table.Source.Schema().Fields() {
		c := column{qualifier: qualifier, name: field.Name, field: &field, use: u, index: i, pass: empty(f.Sample)}
		if i < len(f.ColumnAliases) {
			c.name = f.ColumnAliases[i]
		}
		out.columns = append(out.columns, c)
	}
	return out, nil
}

// find looks a table up as spelled and, as unquoted names are lower-cased
// (AP 4.1), in lower case.
func (r *resolver) find(u *use) error {
	schema := u.schema
	if schema == "" {
		schema = "public"
	}
	var found bool
	if u.dataset, u.table, found = r.catalog.Find(schema, u.name); !found {
		u.dataset, u.table, found = r.catalog.Find(strings.ToLower(schema), strings.ToLower(u.name))
	}
	if found {
		return nil
	}
	return inferError(Internal, "Error during planning: table 'amp."+schema+"."+u.name+"' not found")
}

func (r *resolver) join(f *from, with *env, outer *scope) (scope, error) {
	left, err := r.from(f.Left, with, outer)
	if err != nil {
		return scope{}, err
	}
	right, err := r.from(f.Right, with, &scope{columns: left.columns, opaque: left.opaque, outer: outer})
	if err != nil {
		return scope{}, err
	}
	both := scope{columns: append(slices.Clone(left.columns), right.columns...), opaque: left.opaque || right.opaque, outer: outer}
	if f.Condition != nil {
		if err := r.expression(f.Condition, with, &both, &both); err != nil {
			return scope{}, err
		}
	}
	switch f.JoinType {
	case "INNER":
	case "LEFT":
		right.columns = nullable(right.columns)
	case "RIGHT":
		left.columns = nullable(left.columns)
	case "OUTER", "FULL":
		left.columns, right.columns = nullable(left.columns), nullable(right.columns)
	case "SEMI", "ANTI":
		return scope{columns: left.columns, opaque: left.opaque}, nil
	default:
		both.opaque = true
	}
	for i, c := range right.columns {
		used := slices.ContainsFunc(f.Using, func(name string) bool { return strings.EqualFold(name, c.name) })
		if used || (f.RefType == "NATURAL" && named(left.columns, c.name)) {
			right.columns[i].hidden = true
		}
	}
	return scope{columns: append(slices.Clone(left.columns), right.columns...), opaque: both.opaque}, nil
}

func named(columns []column, name string) bool {
	return slices.ContainsFunc(columns, func(c column) bool { return strings.EqualFold(c.name, name) })
}
