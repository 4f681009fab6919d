package sqlcheck

import (
	"fmt"
	"slices"
	"strings"
)

// unstable are functions that return something else at every call, by name, with what to
// know about them.
var unstable = map[string]string{
	"now":               "is 1970-01-01T00:00:00 in every answer of an Amp server; write the time itself, as TIMESTAMP '…'",
	"current_timestamp": "is 1970-01-01T00:00:00 in every answer of an Amp server; write the time itself, as TIMESTAMP '…'",
	"current_date":      "is 1970-01-01 in every answer of an Amp server; write the date itself, as DATE '…'",
	"current_time":      "is 00:00:00 in every answer of an Amp server; write the time itself",
	"random":            "differs at every call, so a block that is read twice gets other rows and verify cannot agree",
	"uuid":              "differs at every call, so a block that is read twice gets other rows and verify cannot agree",
}

// Warnings returns what the query may do other than its author thinks, although it can be
// run. Each is one sentence with its place, in the order of the text. column is the
// configured block column, "" for auto.
func (q *Query) Warnings(column string) []string {
	w := &warner{checker: checker{parser: &parser{tokens: q.tokens}, columns: blockColumns(column)}}
	for i, t := range q.tokens {
		// Without brackets only current_… is a function; "now" may be a column.
		call := w.at(i+1).is("(") || strings.HasPrefix(t.name, "current_")
		if what := unstable[t.name]; what != "" && t.Kind == Word && call && !w.at(i-1).is(".") {
			w.refuse(t, "%s %s", t.Raw, what)
		}
	}
	if q.root.orderBy != nil {
		w.refuse(*q.root.orderBy, "ORDER BY has no effect, because rows arrive by block; remove it")
	}
	if q.settings != nil {
		w.refuse(*q.settings, "SETTINGS is left out, because ampipe itself decides what is streamed; remove it")
	}
	w.mixed(q.root)
	w.joins(q.root)
	slices.SortStableFunc(w.refusals, func(a, b refusal) int { return a.token.At - b.token.At })
	var warnings []string
	for _, r := range w.refusals {
		warnings = append(warnings, r.token.errorf("%s", r.reason).Error())
	}
	if inner := q.innerTables(); inner != "" {
		warnings = append(warnings, fmt.Sprintf("the blocks of %s do not count "+
			"when the server says up to which block it has data, because it stands only inside an expression: "+
			"rows are missing if it lags behind the other tables; a JOIN counts", inner))
	}
	return warnings
}

// innerTables lists the tables that stand only in subqueries of expressions.
func (q *Query) innerTables() string {
	var names []string
	for _, t := range q.Tables() {
		if t.Inner {
			names = append(names, t.String())
		}
	}
	return strings.Join(names, ", ")
}

type warner struct{ checker }

// mixed finds aggregates without GROUP BY that mix MIN or MAX with others: the
// server answers them wrongly and without an error (AP 4.5).
func (w *warner) mixed(q *selection) {
	for _, s := range q.selects {
		var extreme, other *Token
		for _, clause := range s.clauses {
			for _, call := range w.calls(clause) {
				switch name := call.name; {
				case call.window != nil || !aggregates[name.name]:
				case name.name == "min" || name.name == "max":
					extreme = &name
				default:
					other = &name
				}
			}
		}
		if !s.grouped && extreme != nil && other != nil {
			w.refuse(*extreme, "%s together with %s and without GROUP BY gives wrong numbers on an Amp server, "+
				"without an error; ask for them in two queries", extreme.Raw, other.Raw)
		}
		for _, inner := range s.inner {
			w.mixed(inner)
		}
	}
}

// joins finds joins that are not on the block column: the other side is scanned
// whole for every range, and its later rows can add to blocks that were loaded.
func (w *warner) joins(q *selection) {
	for _, s := range q.selects {
		if s.factors > 1 && w.onBlock(s) < s.factors-1 {
			t := w.at(s.start)
			w.refuse(t, "this SELECT joins tables other than by the block column: "+
				"they are scanned whole for every block range, "+
				"and rows that later blocks add to them do not reach blocks already loaded; "+
				"add %s to the condition if both sides belong to one block", w.columns[0])
		}
		for _, inner := range s.inner {
			w.joins(inner)
		}
	}
}

// onBlock counts the conditions that tie two tables by their block columns.
func (w *warner) onBlock(s *selectBody) int {
	n := 0
	for _, part := range append(slices.Clone(s.joins), s.where) {
		for i := part.from; i < part.to; i++ {
			if w.at(i).is("=") && w.blockBefore(i) && w.blockAfter(i) {
				n++
			}
		}
		// USING (…): the bracket is all of the condition.
		if w.key(part.from-1) == "USING" && w.at(part.from).is("(") &&
			slices.ContainsFunc(w.split(span{part.from + 1, w.at(part.from).mate}), w.isBlock) {
			n++
		}
	}
	return n
}

// blockBefore reports whether the name that ends before i is a block column, and
// blockAfter the same of the name that begins after it.
func (w *warner) blockBefore(i int) bool {
	t := w.at(i - 1)
	return isName(t) && slices.Contains(w.columns, t.name)
}

func (w *warner) blockAfter(i int) bool {
	parts, _ := w.dotted(i + 1)
	return len(parts) > 0 && slices.Contains(w.columns, parts[len(parts)-1])
}
