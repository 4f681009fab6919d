package deltalog

import (
	"iter"

	"github.com/zeebo/xxh3"
)

// Tree is a sorted map that is never changed: what adds or removes a key returns another one,
// which shares nearly all of its memory with it. So a version of the table costs
// what it changes, however many files there are. It is safe for concurrent use. The
// zero value is empty.
//
// It is a treap: a search tree by key, whose nodes are a heap by the hash of the
// key. That keeps it about as flat as random insertions would.
type Tree[V any] struct {
	root *node[V]
	size int
}

type node[V any] struct {
	key         string
	value       V
	rank        uint64 // not above that of the node above
	left, right *node[V]
}

// Len returns the number of keys.
func (t Tree[V]) Len() int { return t.size }

// Get returns the value of a key, the zero value if there is none.
func (t Tree[V]) Get(key string) (value V) {
	if n := t.find(key); n != nil {
		value = n.value
	}
	return value
}

// Has reports whether there is a key.
func (t Tree[V]) Has(key string) bool { return t.find(key) != nil }

func (t Tree[V]) find(key string) *node[V] {
	n := t.root
	for n != nil && n.key != key {
		if key < n.key {
			n = n.left
		} else {
			n = n.right
		}
	}
	return n
}

// All returns keys and values in the order of the keys.
func (t Tree[V]) All() iter.Seq2[string, V] {
	return func(yield func(string, V) bool) { t.root.walk(yield) }
}

func (n *node[V]) walk(yield func(string, V) bool) bool {
	return n == nil || n.left.walk(yield) && yield(n.key, n.value) && n.right.walk(yield)
}

// with returns a tree in which a key has a value.
func (t Tree[V]) with(key string, value V) Tree[V] {
	if !t.Has(key) {
		t.size++
	}
	t.root = t.root.with(&node[V]{key: key, value: value, rank: xxh3.HashString(key)})
	return t
}

// with returns copies of the nodes on the way, the uppermost of them.
func (n *node[V]) with(added *node[V]) *node[V] {
	if n == nil {
		return added
	}
	up := *n
	switch {
	case added.key == n.key:
		up.value = added.value
	case added.key < n.key:
		below := n.left.with(added) // a copy, or added
		up.left = below
		if below.rank > up.rank {
			up.left, below.right = below.right, &up
			return below
		}
	default:
		below := n.right.with(added)
		up.right = below
		if below.rank > up.rank {
			up.right, below.left = below.left, &up
			return below
		}
	}
	return &up
}

// without returns a tree that lacks a key.
func (t Tree[V]) without(key string) Tree[V] {
	if !t.Has(key) {
		return t
	}
	return Tree[V]{root: t.root.without(key), size: t.size - 1}
}

func (n *node[V]) without(key string) *node[V] {
	up := *n
	switch {
	case key < n.key:
		up.left = n.left.without(key)
	case key > n.key:
		up.right = n.right.without(key)
	default:
		return merged(n.left, n.right)
	}
	return &up
}

// merged returns the nodes of two trees, the keys of the first being lower.
func merged[V any](low, high *node[V]) *node[V] {
	switch {
	case low == nil:
		return high
	case high == nil:
		return low
	case low.rank > high.rank:
		up := *low
		up.right = merged(low.right, high)
		return &up
	default:
		up := *high
		up.left = merged(low, high.left)
		return &up
	}
}
