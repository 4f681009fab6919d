package sqlengine

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/ampipe/ampipe/pkg/block"
)

// Window answers a streaming query for some blocks, in ascending order of them
// (AP 3.2). [Plan.Streamable] must have agreed to the plan. Apart from that it is
// like [Plan.Run].
func (p *Plan) Window(ctx context.Context, snapshots Snapshots, blocks block.Range) (*Result, error) {
	if p.Scan != nil {
		s := *p.Scan
		s.Blocks = s.Blocks.Intersect(blocks)
		return &Result{rows: s.run(ctx, snapshots(s.Table), p.Schema)}, nil
	}
	text, err := p.ascending()
	if err != nil {
		return nil, err
	}
	w := *p
	w.sql, w.uses = text, nil
	for _, u := range p.uses {
		narrow := *u
		if narrow.blocks = u.blocks.Intersect(blocks); narrow.blocks.Empty() {
			narrow.blocks = block.Range{Start: blocks.Start, End: blocks.Start}
		}
		w.uses = append(w.uses, &narrow)
	}
	return w.query(ctx, snapshots)
}

// Streamable refuses what a real server finds when it carries block numbers
// through a streaming query (AP 3.7), and what this server cannot do.
func (p *Plan) Streamable() error {
	if p.tree.mixesBlocks() {
		return internal("streaming query execution error | Caused by: failed to propagate _block_num column in query plan -> " +
			"Error during planning: selecting `_block_num` from a multi-table context (e.g. a join) is ambiguous. " +
			"Use the `block_num()` function instead to get the correct value, or use explicit column names instead of `*` to omit `_block_num`")
	}
	if err := p.duplicateNames(); err != nil {
		return err
	}
	if err := p.unlikeTypes(); err != nil {
		return err
	}
	if p.Scan != nil {
		return nil
	}
	_, err := p.ascending()
	return err
}

// mixesBlocks reports whether a SELECT over a join names _block_num, by itself or
// with a star.
func (n *node) mixesBlocks() bool {
	joined := n.From != nil && n.From.Type == "JOIN" && slices.ContainsFunc(n.Select, func(e expr) bool {
		return e.Class == "STAR" || (e.Class == "COLUMN_REF" && strings.EqualFold(e.Names[len(e.Names)-1], "_block_num"))
	})
	return joined || slices.ContainsFunc(n.below(), (*node).mixesBlocks)
}

// ascending returns the query in words that yield rows in ascending order of
// blocks when its tables do: as it is, if it takes row after row of one table,
// else sorted by a column that is the block number.
func (p *Plan) ascending() (string, error) {
	if slices.ContainsFunc(p.uses, func(u *use) bool { return !u.counted }) || !p.tree.followed() {
		return "", &Error{Unoffered, "streaming queries with joins, subqueries in expressions, VALUES or table functions " +
			"are not offered by the development server"}
	}
	text, err := withoutBlockNum(p.sql)
	if err != nil {
		return "", err
	}
	if len(p.uses) == 1 && p.tree.rowByRow() {
		return text, nil
	}
	if column := p.blockColumn(); column > 0 {
		return "SELECT * FROM (\n" + text + "\n) ORDER BY " + strconv.Itoa(column), nil
	}
	return "", &Error{Unoffered, "a streaming query that is more than rows of one table has to select _block_num or block_num() " +
		"to be offered by the development server"}
}

// followed reports whether all that a query reads from is tables and subqueries.
func (n *node) followed() bool {
	if n.Type != "SET_OPERATION_NODE" && (n.From == nil || (n.From.Type != "BASE_TABLE" && n.From.Type != "SUBQUERY")) {
		return false
	}
	return !slices.ContainsFunc(n.below(), func(b *node) bool { return !b.followed() })
}

// rowByRow reports whether each row of the result is made of one row, and in the
// same order.
func (n *node) rowByRow() bool {
	return n.Type == "SELECT_NODE" && len(n.Modifiers) == 0 && !n.aggregates() &&
		!slices.ContainsFunc(n.below(), func(b *node) bool { return !b.rowByRow() })
}

// blockColumn returns the place of a column of the result, counted from 1, that is
// the block number of its row; 0 if there is none.
func (p *Plan) blockColumn() int {
	if at := p.Schema.FieldIndices("_block_num"); len(at) > 0 {
		return at[0] + 1
	}
	leaves := p.tree.leaves()
	for i := range p.Schema.NumFields() {
		if !slices.ContainsFunc(leaves, func(n *node) bool { return !n.hasBlockAt(i, p.Schema.NumFields()) }) {
			return i + 1
		}
	}
	return 0
}

// leaves returns the queries that a set operation joins.
func (n *node) leaves() []*node {
	if n.Type == "SET_OPERATION_NODE" {
		return append(n.Left.leaves(), n.Right.leaves()...)
	}
	return []*node{n}
}

func (n *node) hasBlockAt(i, columns int) bool {
	if len(n.Select) != columns { // a star stands for several
		return false
	}
	e := &n.Select[i]
	if e.Class != "COLUMN_REF" {
		return isBlockNum(e, nil)
	}
	c, found := n.scope.find(e.Names)
	return found && c.isBlock()
}

// withoutBlockNum replaces block_num() by the column that it stands for where
// there is but one table.
func withoutBlockNum(sql string) (string, error) {
	tokens, err := tokenize(sql)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	last := 0
	for i, t := range tokens {
		if t.Key == "BLOCK_NUM" && i+2 < len(tokens) && isSign(tokens[i+1], "(") && isSign(tokens[i+2], ")") {
			out.WriteString(sql[last:t.At] + "_block_num")
			last = tokens[i+2].End
		}
	}
	return out.String() + sql[last:], nil
}
