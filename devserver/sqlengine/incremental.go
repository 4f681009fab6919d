package sqlengine

// Incremental refuses a query that cannot be streamed because of what it
// consists of (AP 3.7). What depends on data (networks, blocks tables) is not
// looked at.
func (p *Plan) Incremental() error {
	if operation := p.tree.nonIncremental(); operation != "" {
		return invalid("invalid query: non-incremental queries are not supported for streaming, " +
			"query contains non-incremental operation: " + operation)
	}
	return nil
}

// nonIncremental names the outermost operation that cannot be done microbatch
// by microbatch; empty if there is none.
func (n *node) nonIncremental() string {
	switch n.Type {
	case "SELECT_NODE":
	case "SET_OPERATION_NODE":
		return n.setOperation()
	default:
		return "RecursiveQuery"
	}
	found := map[string]string{}
	for _, m := range n.Modifiers {
		switch {
		case m.Type == "LIMIT_MODIFIER":
			found["Limit"] = "Limit"
		case m.Type == "ORDER_MODIFIER":
			found["Sort"] = "Sort"
		case m.Type == "DISTINCT_MODIFIER" && !perBlock(m.Distinct):
			found["Distinct"] = "Distinct"
		}
	}
	for i := range n.Select {
		if n.Select[i].any(func(e *expr) bool { return e.Class == "WINDOW" }) {
			found["Window"] = "Window"
		}
	}
	if n.aggregates() && !perBlock(n.Groups) {
		found["Aggregate"] = "Aggregate"
	}
	for _, outermost := range []string{"Limit", "Sort", "Distinct", "Window", "Aggregate"} {
		if found[outermost] != "" {
			return outermost
		}
	}
	for _, cte := range n.CTEs.Map {
		if operation := cte.Value.Query.Node.nonIncremental(); operation != "" {
			return operation
		}
	}
	return n.From.nonIncremental(0)
}

// perBlock reports whether keys begin with block_num(): such groups never span
// two microbatches.
func perBlock(keys []expr) bool { return len(keys) > 0 && isBlockNum(&keys[0], nil) }

func (n *node) setOperation() string {
	switch {
	case n.SetOp != "UNION":
		return "Join(LeftAnti)"
	case !n.All:
		return "Distinct"
	}
	if operation := n.Left.nonIncremental(); operation != "" {
		return operation
	}
	return n.Right.nonIncremental()
}

var joinNames = map[string]string{
	"LEFT": "Join(Left)", "RIGHT": "Join(Right)", "OUTER": "Join(Full)", "FULL": "Join(Full)",
	"ANTI": "Join(LeftAnti)", "MARK": "Join(LeftMark)",
}

// nonIncremental looks into a FROM inside so many joins.
func (f *from) nonIncremental(joins int) string {
	switch {
	case f == nil:
		return ""
	case f.Type == "SUBQUERY":
		return f.Subquery.Node.nonIncremental()
	case f.Type != "JOIN":
		return ""
	case joinNames[f.JoinType] != "":
		return joinNames[f.JoinType]
	case joins > 0:
		return "StackedJoins"
	}
	if operation := f.Left.nonIncremental(joins + 1); operation != "" {
		return operation
	}
	return f.Right.nonIncremental(joins + 1)
}
