package sqlengine

import (
	"math"
	"slices"

	"github.com/ampipe/ampipe/devserver/table"
	"github.com/ampipe/ampipe/pkg/block"
)

// Scan is a query that is nothing but a range of one table: some columns, some
// blocks, rows picked by simple conditions. It needs no DuckDB.
type Scan struct {
	Table   *table.Table
	Columns []int // by index into the table's schema
	Blocks  block.Range
	Ordered bool  // the query asks for ascending order
	Limit   int64 // rows; [math.MaxInt64] if the query has none

	where *condition // nil: all rows
}

// scanOf recognises a scan; nil if the query is more than that.
func scanOf(n *node, out scope, uses []*use) *Scan {
	if len(uses) != 1 || out.opaque || len(out.columns) == 0 {
		return nil
	}
	s := &Scan{Table: uses[0].table, Blocks: uses[0].blocks, Limit: math.MaxInt64}
	if !s.follow(n, true) {
		return nil
	}
	for _, c := range out.columns {
		if c.use != uses[0] {
			return nil
		}
		s.Columns = append(s.Columns, c.index)
	}
	for _, m := range n.Modifiers {
		switch m.Type {
		case "ORDER_MODIFIER":
			s.Ordered = true
		case "LIMIT_MODIFIER":
			limit, isInt := m.Limit.integer()
			if !isInt || !limit.IsInt64() || limit.Sign() < 0 || m.Offset != nil {
				return nil
			}
			s.Limit = limit.Int64()
		default:
			return nil
		}
	}
	return s
}

// follow takes the conditions of n and of the subqueries that it selects from; false
// if they do more than pick columns and rows. On top they may be ordered and limited,
// too.
func (s *Scan) follow(n *node, top bool) bool {
	if n.Type != "SELECT_NODE" || len(n.CTEs.Map) > 0 || n.From == nil || len(n.Groups) > 0 ||
		n.Having != nil || n.Qualify != nil || !empty(n.Sample) || (!top && len(n.Modifiers) > 0) {
		return false
	}
	if slices.ContainsFunc(n.Select, func(e expr) bool { return e.Class != "STAR" && e.Class != "COLUMN_REF" }) {
		return false
	}
	for _, e := range n.rest {
		c, ok := compile(e, n.scope)
		if !ok {
			return false
		}
		if s.where != nil {
			c = call("and_kleene", *s.where, c)
		}
		s.where = &c
	}
	for _, m := range n.Modifiers {
		if m.Type == "ORDER_MODIFIER" && (len(m.Orders) != 1 || !m.Orders[0].sorted) {
			return false
		}
	}
	switch n.From.Type {
	case "BASE_TABLE":
		return empty(n.From.Sample) && empty(n.From.At)
	case "SUBQUERY":
		return s.follow(n.From.Subquery.Node, false)
	default:
		return false
	}
}
