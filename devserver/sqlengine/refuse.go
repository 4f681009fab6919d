package sqlengine

import (
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
)

// refuse returns the error for what DoGet refuses and GetFlightInfo does not (AP 6.2).
func (p *Plan) refuse() error {
	if p.tree.anywhere(isBlockNum) {
		text := "Error during planning: block_num() is only supported in streaming queries"
		return invalid("failed to plan SQL query | Caused by: amp::invalid_input\ncaused by\n" + text + " -> " + text)
	}
	if err := p.duplicateNames(); err != nil {
		return err
	}
	return p.unlikeTypes()
}

// isBlockNum finds block_num(), which has a type in any query and a value in
// streaming ones only (AP 4.3).
func isBlockNum(e *expr, _ *scope) bool { return e.Class == "FUNCTION" && e.Function == "block_num" }

func (p *Plan) duplicateNames() error {
	first := map[string]string{}
	for i, f := range p.Schema.Fields() {
		spelled := f.Name
		if !p.out.opaque && i < len(p.out.columns) {
			spelled = p.out.columns[i].spelled()
		}
		if other, twice := first[f.Name]; twice {
			return planError("output schema contains duplicate field names -> Error during planning: " +
				"Duplicate field names detected in plan schema: [" + other + " and " + spelled + "]. Please alias your columns to be unique.")
		}
		first[f.Name] = spelled
	}
	return nil
}

// unlikeTypes refuses to compare a binary column with a text literal (AP 4.7);
// DuckDB would compare the text's bytes.
func (p *Plan) unlikeTypes() error {
	var found arrow.DataType
	p.tree.anywhere(func(e *expr, here *scope) bool {
		var sides []*expr
		switch {
		case e.Class == "COMPARISON":
			sides = []*expr{e.Left, e.Right}
		case e.Class == "BETWEEN":
			sides = []*expr{e.Input, e.Lower, e.Upper}
		case e.Type == "COMPARE_IN" || e.Type == "COMPARE_NOT_IN":
			for i := range e.Children {
				sides = append(sides, &e.Children[i])
			}
		}
		var column arrow.DataType
		text := false
		for _, side := range sides {
			text = text || side.isText()
			if side.Class != "COLUMN_REF" {
				continue
			}
			if c, known := here.find(side.Names); known && c.field != nil && isBinary(c.field.Type) {
				column = c.field.Type
			}
		}
		if column != nil && text {
			found = column
		}
		return found != nil
	})
	if found == nil {
		return nil
	}
	name := "Binary"
	if fixed, is := found.(*arrow.FixedSizeBinaryType); is {
		name = fmt.Sprintf("FixedSizeBinary(%d)", fixed.ByteWidth)
	}
	text := "Error during planning: Cannot infer common argument type for comparison operation " + name + " = Utf8"
	return planError("failed to optimize logical plan -> type_coercion\ncaused by\n" + text + " -> " + text + " -> " + text)
}

func isBinary(t arrow.DataType) bool {
	switch t.ID() {
	case arrow.FIXED_SIZE_BINARY, arrow.BINARY, arrow.LARGE_BINARY, arrow.BINARY_VIEW:
		return true
	}
	return false
}

// forbidAliases refuses column aliases that begin with an underscore, anywhere
// (AP 4.1).
func forbidAliases(n *node) error {
	var alias string
	n.anywhere(func(e *expr, _ *scope) bool {
		if strings.HasPrefix(e.Alias, "_") {
			alias = e.Alias
		}
		return alias != ""
	})
	if alias == "" {
		return nil
	}
	return inferError(Invalid, "Error during planning: query uses forbidden underscore-prefixed aliases: Error during planning: "+
		"expression contains a column alias starting with '_': '"+alias+"'. Underscore-prefixed names are reserved. Please rename your column")
}
