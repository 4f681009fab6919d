package deltalog

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestTree holds trees against maps, every version of them again at the end: none
// is changed by later ones.
func TestTree(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	type version struct {
		tree Tree[int]
		want map[string]int
	}
	versions := []version{{want: map[string]int{}}}
	for i := range 2000 {
		last := versions[len(versions)-1]
		next := version{last.tree, maps.Clone(last.want)}
		key := fmt.Sprint(rnd.IntN(300))
		if rnd.IntN(3) == 0 {
			next.tree = next.tree.without(key)
			delete(next.want, key)
		} else {
			next.tree = next.tree.with(key, i)
			next.want[key] = i
		}
		versions = append(versions, next)
	}
	for i, v := range versions {
		if v.tree.Len() != len(v.want) || !maps.Equal(maps.Collect(v.tree.All()), v.want) {
			t.Fatalf("version %d has %d keys, want %d", i, v.tree.Len(), len(v.want))
		}
		for key, want := range v.want {
			if got := v.tree.Get(key); got != want || !v.tree.Has(key) {
				t.Fatalf("version %d: %s is %d, want %d", i, key, got, want)
			}
		}
		var keys []string
		for key := range v.tree.All() {
			keys = append(keys, key)
		}
		if !slices.IsSorted(keys) || v.tree.Has("-") || v.tree.Get("-") != 0 {
			t.Fatalf("version %d is out of order", i)
		}
	}
}

// TestTreeIsFlat holds that keys in order, which names of files may be, do not make
// it a list.
func TestTreeIsFlat(t *testing.T) {
	t.Parallel()
	var all Tree[int]
	for i := range 10_000 {
		all = all.with(fmt.Sprintf("%08d", i), i)
	}
	var depth func(n *node[int]) int
	depth = func(n *node[int]) int {
		if n == nil {
			return 0
		}
		return 1 + max(depth(n.left), depth(n.right))
	}
	if d := depth(all.root); d > 60 {
		t.Errorf("10,000 keys are %d deep", d)
	}
}
