package postgres

import (
	"bytes"
	"slices"

	"github.com/apache/arrow-go/v18/arrow/array"
)

const (
	keyTwice = "a map holds a key twice, and jsonb keeps only one of them; " +
		"write map_entries(<column>) AS <column> in the query, which is a list"
	keyNull = "a map holds a key that is NULL, which JSON does not have; " +
		"write map_entries(<column>) AS <column> in the query, which is a list"
)

// mapNode is an object if the keys are texts, else a list of [key, value].
type mapNode struct {
	validity
	list   array.ListLike
	isNull func(int) bool                 // whether a key is
	text   func(dst []byte, k int) []byte // of a key, as it is; nil: keys are no texts
	keys   node
	values node
}

func mapOf(a *array.Map) node {
	n := &mapNode{validity: validityOf(a), list: a, isNull: a.Keys().IsNull, keys: nodeOf(a.Keys()), values: nodeOf(a.Items())}
	if textual(a.Keys().DataType()) {
		n.text = keyText(a.Keys())
	}
	return n
}

// entry is a key of a map as text, and where its value stands.
type mapEntry struct {
	key []byte
	at  int
}

// sorted returns the entries of a value in the order of jsonb.
func (n *mapNode) sorted(i int) []mapEntry {
	from, to := n.list.ValueOffsets(i)
	entries := make([]mapEntry, 0, to-from)
	for k := int(from); k < int(to); k++ {
		entries = append(entries, mapEntry{n.text(nil, k), k})
	}
	slices.SortFunc(entries, func(a, b mapEntry) int { return compareKeys(a.key, b.key) })
	return entries
}

func (n *mapNode) appendJSON(dst []byte, i int) []byte {
	if n.null(i) {
		return append(dst, "null"...)
	}
	if n.text == nil {
		return n.appendPairs(dst, i)
	}
	dst = append(dst, '{')
	for k, e := range n.sorted(i) {
		if k > 0 {
			dst = append(dst, ", "...)
		}
		dst = append(appendQuoted(dst, e.key), ": "...)
		dst = n.values.appendJSON(dst, e.at)
	}
	return append(dst, '}')
}

func (n *mapNode) appendPairs(dst []byte, i int) []byte {
	dst = append(dst, '[')
	from, to := n.list.ValueOffsets(i)
	for k := from; k < to; k++ {
		if k > from {
			dst = append(dst, ", "...)
		}
		dst = n.keys.appendJSON(append(dst, '['), int(k))
		dst = n.values.appendJSON(append(dst, ", "...), int(k))
		dst = append(dst, ']')
	}
	return append(dst, ']')
}

func (n *mapNode) invalidJSON(i int) string {
	if n.null(i) {
		return ""
	}
	from, to := n.list.ValueOffsets(i)
	for k := int(from); k < int(to); k++ {
		if n.text != nil && n.isNull(k) {
			return keyNull
		}
		if reason := n.keys.invalidJSON(k); reason != "" {
			return reason
		}
		if reason := n.values.invalidJSON(k); reason != "" {
			return reason
		}
	}
	if n.text == nil {
		return ""
	}
	entries := n.sorted(i)
	for k := 1; k < len(entries); k++ {
		if bytes.Equal(entries[k-1].key, entries[k].key) {
			return keyTwice
		}
	}
	return ""
}
