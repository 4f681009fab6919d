package sqlengine

import (
	"encoding/json"
	"math/big"
)

// node is a query without its SETTINGS, as DuckDB's json_serialize_sql writes
// it: a SELECT, a set operation or a recursive part of a WITH.
type node struct {
	Type      string
	Modifiers []modifier
	CTEs      struct {
		Map []struct {
			Key   string
			Value struct {
				Query   statement
				Aliases []string
			}
		}
	} `json:"cte_map"`
	Select  []expr  `json:"select_list"`
	From    *from   `json:"from_table"`
	Where   *expr   `json:"where_clause"`
	Groups  []expr  `json:"group_expressions"`
	Sets    [][]int `json:"group_sets"` // more than one: ROLLUP and its like
	Having  *expr
	Qualify *expr
	Sample  json.RawMessage

	SetOp       string `json:"setop_type"`
	All         bool   `json:"setop_all"`
	CTE         string `json:"cte_name"` // of a recursive query
	Left, Right *node

	// Set by the resolver: the columns that FROM offers, and what WHERE says besides
	// bounds on block numbers.
	scope *scope
	rest  []*expr
}

type statement struct{ Node *node }

type modifier struct {
	Type          string
	Orders        []order
	Limit, Offset *expr
	Distinct      []expr `json:"distinct_on_targets"`
}

type order struct {
	Type       string
	Expression *expr
	// sorted is set by the resolver: a table is stored in this order.
	sorted bool
}

// from is a table, a subquery or a join.
type from struct {
	Type, Alias   string
	Catalog       string   `json:"catalog_name"`
	Schema        string   `json:"schema_name"`
	Table         string   `json:"table_name"`
	ColumnAliases []string `json:"column_name_alias"`
	Sample        json.RawMessage
	At            json.RawMessage `json:"at_clause"`
	Subquery      *statement
	Left, Right   *from
	Condition     *expr
	JoinType      string   `json:"join_type"`
	RefType       string   `json:"ref_type"`
	Using         []string `json:"using_columns"`
}

// expr is an expression; which fields are set depends on its class.
type expr struct {
	Class, Type, Alias string
	Names              []string `json:"column_names"`
	Relation           string   `json:"relation_name"`
	Function           string   `json:"function_name"`
	Left, Right        *expr
	Children           []expr
	Child              *expr
	Input              *expr
	Lower, Upper       *expr
	Value              *constant
	CastType           *sqlType `json:"cast_type"`
	Subquery           *statement
	Cases              []struct {
		When *expr `json:"when_expr"`
		Then *expr `json:"then_expr"`
	} `json:"case_checks"`
	Else       *expr `json:"else_expr"`
	Partitions []expr
	Orders     []order
	Filter     *expr
	// What a star or a lambda can carry that this package does not follow.
	Exclude json.RawMessage `json:"exclude_list"`
	Replace json.RawMessage `json:"replace_list"`
	Rename  json.RawMessage `json:"rename_list"`
	Columns bool
	Expr    json.RawMessage
}

type sqlType struct{ ID string }

type constant struct {
	Type  sqlType
	Null  bool `json:"is_null"`
	Value json.RawMessage
}

// integer returns the value of an integer constant, also under a cast to an
// integer type.
func (e *expr) integer() (*big.Int, bool) {
	if e == nil {
		return nil, false
	}
	if e.Class == "CAST" && e.CastType != nil && integerTypes[e.CastType.ID] {
		e = e.Child
	}
	if e.Class != "CONSTANT" || e.Value.Null || !integerTypes[e.Value.Type.ID] {
		return nil, false
	}
	if v, isInt := new(big.Int).SetString(string(e.Value.Value), 10); isInt {
		return v, true
	}
	var wide struct {
		Upper int64
		Lower uint64
	}
	if json.Unmarshal(e.Value.Value, &wide) != nil {
		return nil, false
	}
	v := new(big.Int).Lsh(big.NewInt(wide.Upper), 64)
	return v.Add(v, new(big.Int).SetUint64(wide.Lower)), true
}

var integerTypes = map[string]bool{
	"TINYINT": true, "SMALLINT": true, "INTEGER": true, "BIGINT": true, "HUGEINT": true,
	"UTINYINT": true, "USMALLINT": true, "UINTEGER": true, "UBIGINT": true, "UHUGEINT": true,
}

// isText reports whether e is a text literal.
func (e *expr) isText() bool {
	return e != nil && e.Class == "CONSTANT" && !e.Value.Null && e.Value.Type.ID == "VARCHAR"
}

// empty reports whether an optional part of the tree is missing.
func empty(raw json.RawMessage) bool {
	switch string(raw) {
	case "", "null", "[]", "{}":
		return true
	}
	return false
}
