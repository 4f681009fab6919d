package postgres

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// Nested values become jsonb. PostgreSQL takes any JSON and answers in a form of
// its own: keys by length and then by bytes, ", " and ": " between, numbers as
// numeric prints them. The text written here is that form already, byte for
// byte, so that digests of both sides agree without anybody parsing.

// documents are the values of a nested column.
type documents struct {
	validity
	node
	trusted bool // no value of this type can be refused
}

// node writes the values of one array as JSON.
type node interface {
	appendJSON(dst []byte, i int) []byte
	invalidJSON(i int) string
}

func bindDocument(arr arrow.Array) cells {
	return &documents{validityOf(arr), nodeOf(arr), trusted(arr.DataType())}
}

const jsonbVersion = 1 // a byte before the text

func (c *documents) append(dst []byte, i int) []byte {
	if c.null(i) {
		return appendNull(dst)
	}
	start := len(dst)
	dst = c.appendJSON(append(dst, 0, 0, 0, 0, jsonbVersion), i)
	appendLen(dst[start:start], len(dst)-start-4)
	return dst
}

func (c *documents) invalid(from, to int) (int, string) {
	if c.trusted {
		return -1, ""
	}
	for i := from; i < to; i++ {
		if c.null(i) {
			continue
		}
		if reason := c.invalidJSON(i); reason != "" {
			if _, entries := c.node.(*mapNode); entries && (reason == keyTwice || reason == keyNull) {
				return i, reason
			}
			return i, within(reason)
		}
	}
	return -1, ""
}

// within returns the reason why a value is refused that is within another: what would
// help a column of its own does not help there.
func within(reason string) string {
	what, _, _ := strings.Cut(reason, "; ")
	return what + "; filter such rows out in the query, or leave <column> out of it"
}

// checkDocument reports whether a type can be written as JSON without loss.
func checkDocument(dt arrow.DataType) error {
	switch dt := dt.(type) {
	case *arrow.StructType:
		seen := make(map[string]bool)
		for _, f := range dt.Fields() {
			if seen[f.Name] {
				return fmt.Errorf("a struct has two fields called %q, and jsonb keeps only one of them; rename one in the query", f.Name)
			}
			if invalidText([]byte(f.Name)) != "" {
				return fmt.Errorf("a struct has a field called %q, which PostgreSQL cannot store; rename it in the query", f.Name)
			}
			seen[f.Name] = true
			if err := checkDocument(f.Type); err != nil {
				return err
			}
		}
		return nil
	case arrow.NestedType: // lists and maps; a map is a list of structs
		switch dt.ID() {
		case arrow.SPARSE_UNION, arrow.DENSE_UNION, arrow.RUN_END_ENCODED:
			_, _, err := mapping(dt)
			return err
		}
		for _, f := range dt.Fields() {
			if err := checkDocument(f.Type); err != nil {
				return err
			}
		}
		return nil
	case *arrow.DictionaryType:
		return checkDocument(dt.ValueType)
	case arrow.ExtensionType:
		return checkDocument(dt.StorageType())
	default:
		_, _, err := mapping(dt)
		return err
	}
}

// trusted reports whether no value of a type can be refused.
func trusted(dt arrow.DataType) bool {
	switch dt := dt.(type) {
	case *arrow.MapType: // may hold a key twice
		return false
	case arrow.NestedType:
		for _, f := range dt.Fields() {
			if !trusted(f.Type) {
				return false
			}
		}
		return true
	case *arrow.DictionaryType:
		return trusted(dt.ValueType)
	case arrow.ExtensionType:
		return trusted(dt.StorageType())
	}
	switch dt.ID() {
	case arrow.STRING, arrow.LARGE_STRING, arrow.STRING_VIEW, arrow.DATE32, arrow.DATE64, arrow.TIME32, arrow.TIME64, arrow.TIMESTAMP:
		return false
	default:
		return true
	}
}

// nodeOf binds an array of a type that passed [checkDocument].
func nodeOf(arr arrow.Array) node {
	switch a := arr.(type) {
	case *array.Struct:
		return structOf(a)
	case *array.Map:
		return mapOf(a)
	case array.ListLike:
		return &listNode{validityOf(arr), a, nodeOf(a.ListValues())}
	case *array.Dictionary:
		return &dictionaryNode{validityOf(arr), nodeOf(a.Dictionary()), a.GetValueIndex}
	case array.ExtensionArray:
		return nodeOf(a.Storage())
	default:
		return jsonScalarOf(arr)
	}
}

type listNode struct {
	validity
	list   array.ListLike
	values node
}

func (n *listNode) appendJSON(dst []byte, i int) []byte {
	if n.null(i) {
		return append(dst, "null"...)
	}
	dst = append(dst, '[')
	from, to := n.list.ValueOffsets(i)
	for k := from; k < to; k++ {
		if k > from {
			dst = append(dst, ", "...)
		}
		dst = n.values.appendJSON(dst, int(k))
	}
	return append(dst, ']')
}

func (n *listNode) invalidJSON(i int) string {
	if n.null(i) {
		return ""
	}
	from, to := n.list.ValueOffsets(i)
	for k := from; k < to; k++ {
		if reason := n.values.invalidJSON(int(k)); reason != "" {
			return reason
		}
	}
	return ""
}

// structNode has its fields in the order of jsonb, and their labels written.
type structNode struct {
	validity
	labels [][]byte
	fields []node
}

func structOf(a *array.Struct) node {
	fields := a.DataType().(*arrow.StructType).Fields()
	order := make([]int, len(fields))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(x, y int) int { return compareKeys([]byte(fields[x].Name), []byte(fields[y].Name)) })
	n := &structNode{validity: validityOf(a)}
	for k, at := range order {
		label := []byte{'{'}
		if k > 0 {
			label = []byte(", ")
		}
		label = appendQuoted(label, []byte(fields[at].Name))
		n.labels = append(n.labels, append(label, ": "...))
		n.fields = append(n.fields, nodeOf(a.Field(at)))
	}
	return n
}

func (n *structNode) appendJSON(dst []byte, i int) []byte {
	if n.null(i) {
		return append(dst, "null"...)
	}
	if len(n.fields) == 0 {
		return append(dst, "{}"...)
	}
	for k, f := range n.fields {
		dst = f.appendJSON(append(dst, n.labels[k]...), i)
	}
	return append(dst, '}')
}

func (n *structNode) invalidJSON(i int) string {
	if n.null(i) {
		return ""
	}
	for _, f := range n.fields {
		if reason := f.invalidJSON(i); reason != "" {
			return reason
		}
	}
	return ""
}

type dictionaryNode struct {
	validity
	values node
	index  func(int) int
}

func (n *dictionaryNode) appendJSON(dst []byte, i int) []byte {
	if n.null(i) {
		return append(dst, "null"...)
	}
	return n.values.appendJSON(dst, n.index(i))
}

func (n *dictionaryNode) invalidJSON(i int) string {
	if n.null(i) {
		return ""
	}
	return n.values.invalidJSON(n.index(i))
}

// compareKeys is the order in which jsonb keeps the keys of an object.
func compareKeys(a, b []byte) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), bytes.Compare(a, b))
}

const hexDigits = "0123456789abcdef"

// appendQuoted writes a JSON string as PostgreSQL does.
func appendQuoted(dst, text []byte) []byte {
	dst = append(dst, '"')
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c >= 0x20:
			dst = append(dst, c)
		case c == '\b':
			dst = append(dst, `\b`...)
		case c == '\f':
			dst = append(dst, `\f`...)
		case c == '\n':
			dst = append(dst, `\n`...)
		case c == '\r':
			dst = append(dst, `\r`...)
		case c == '\t':
			dst = append(dst, `\t`...)
		default:
			dst = append(dst, `\u00`...)
			dst = append(dst, hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(dst, '"')
}

// textual reports whether values of a type are texts, and so can be keys.
func textual(dt arrow.DataType) bool {
	switch dt := dt.(type) {
	case *arrow.DictionaryType:
		return textual(dt.ValueType)
	case arrow.ExtensionType:
		return textual(dt.StorageType())
	}
	switch dt.ID() {
	case arrow.STRING, arrow.LARGE_STRING, arrow.STRING_VIEW:
		return true
	default:
		return false
	}
}
