package amp_test

import (
	"testing"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
)

// TestFork: a server that has replaced a block knows how deep, unless it has forgotten
// the block.
func TestFork(t *testing.T) {
	t.Parallel()
	chain, _, client := chained(t)
	chain.Extend(made(10, 20, 0)...)
	before := map[block.Number]block.Cursor{}
	for n := block.Number(10); n <= 20; n++ {
		before[n] = chain.At(n)
	}
	chain.Extend(made(15, 22, 1)...)
	unknown := before[18]
	unknown.Hash[0] ^= 0xff
	for name, c := range map[string]struct {
		left block.Cursor
		from block.Number
	}{
		"replaced deep":        {before[20], 15},
		"replaced at its fork": {before[15], 15},
		"still there":          {before[14], 15},
		"unknown":              {unknown, 18},
	} {
		from, base, err := client.Fork(t.Context(), query, c.left)
		if err != nil || from != c.from || base != chain.At(c.from-1) {
			t.Errorf("%s: %d after %v, %v; want %d", name, from, base, err, c.from)
		}
	}
	if _, _, err := client.Fork(t.Context(), query, block.Cursor{Number: 5}); fault.Of(err) != fault.ClassPermanent {
		t.Errorf("a block without network and hash: %v", err)
	}
}

func TestForkOfWrongAnswers(t *testing.T) {
	t.Parallel()
	srv, client := setup(t)
	left := block.Cursor{Network: amptest.Network, Number: 8, Hash: block.Hash{7}}
	other, unnamed := amptest.Range(block.Closed(5, 9), 0), amptest.Range(block.Closed(5, 9), 0)
	other.Network = "mainnet"
	unnamed.Prev = block.Hash{}
	for name, r := range map[string]amp.Range{
		"another network": other, "no block before": unnamed,
		"a gap":         amptest.Range(block.Closed(10, 12), 0),
		"another block": amptest.Range(block.Closed(9, 12), 0),
	} {
		srv.On(query, amptest.Answer{Schema: amptest.Schema, Hold: true, Parts: []amptest.Part{{Metadata: amp.Metadata{Ranges: []amp.Range{r}}}}})
		if from, base, err := client.Fork(t.Context(), query, left); err == nil {
			t.Errorf("%s is taken for %d after %v", name, from, base)
		}
	}
}
