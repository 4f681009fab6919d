package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/sink"
)

// storedRows is a destination that has rows of some blocks and claims others.
type storedRows struct {
	sink.Writer
	rows  []block.Number
	state sink.State
	err   error
}

func (s *storedRows) State(context.Context) (sink.State, error) { return s.state, nil }

func (s *storedRows) DigestStored(_ context.Context, r block.Range, into sink.Digests) error {
	for _, n := range s.rows {
		if r.Has(n) {
			into.Add(n, 7)
		}
	}
	return s.err
}

// claims returns what a destination holds whose live lane has begun at a block and was
// confirmed below another.
func claims(start, confirmed, end block.Number) sink.State {
	return sink.State{
		Coverage: block.NewSet(block.Range{End: end}),
		Live:     sink.LiveState{Started: true, Start: start, Cursor: block.Cursor{Network: "eth", Number: confirmed - 1}},
	}
}

// Rows beyond the coverage are found. Those that have come since, of a block that has come
// in part, or outside of what was asked for, are not.
func TestBeyondCoverage(t *testing.T) {
	t.Parallel()
	s := &storedRows{rows: []block.Number{90, 100, 104, 105, 106, 200, 201, 500}, state: claims(50, 100, 105)}
	found, err := beyondCoverage(t.Context(), s, block.Range{Start: 100, End: 400})
	if got := fmt.Sprint(found, err); got != "[block 106: 1 row in the destination, where these blocks have not come yet "+
		"block 200: 1 row in the destination, where these blocks have not come yet "+
		"block 201: 1 row in the destination, where these blocks have not come yet] <nil>" {
		t.Error(got)
	}
	var damaged sink.UnreadableError
	damaged.Add(block.Range{Start: 90, End: 300}, errors.New("damaged"))
	s.err, s.rows = &damaged, nil
	found, err = beyondCoverage(t.Context(), s, block.Range{Start: 100, End: 400})
	if got := fmt.Sprint(found, err); got != "[blocks [106, 300): cannot be compared: the destination cannot read it back: damaged] <nil>" {
		t.Error(got)
	}
	s.err = errors.New("away")
	if _, err := beyondCoverage(t.Context(), s, block.Range{Start: 100, End: 400}); !errors.Is(err, s.err) {
		t.Error(err)
	}
}

// Exactly the blocks are repaired that a replay can load again.
func TestRepairable(t *testing.T) {
	t.Parallel()
	one, two := sink.BlockDigest{Rows: 1}, sink.BlockDigest{Rows: 2}
	span := func(start, end block.Number) block.Range { return block.Range{Start: start, End: end} }
	reorg := func(more string) string {
		return "a reorg may still replace blocks from 90 on: they can be repaired when the chain is " + more + " further, by the same command; --repair --wait waits for that"
	}
	for name, c := range map[string]struct {
		difference Difference
		blocks     string
		left       string
	}{
		"rows differ":                          {Difference{Blocks: span(3, 4), Source: one, Destination: two}, "[3, 4)", "[]"},
		"rows lack":                            {Difference{Blocks: span(3, 6), Source: one}, "[3, 6)", "[]"},
		"some were never loaded":               {Difference{Blocks: span(18, 24), Source: one}, "[18, 20)", "[{[[20, 24)] they are not loaded yet, and come by themselves while the pipeline runs}]"},
		"surplus where nothing was loaded yet": {Difference{Blocks: span(21, 22), Destination: one}, "[21, 22)", "[]"},
		"at the head":                          {Difference{Blocks: span(88, 92), Source: one, Destination: two}, "[88, 90)", "[{[[90, 92)] " + reorg("2 blocks") + "}]"},
		"lacking at the head":                  {Difference{Blocks: span(95, 96), Source: one}, "", "[{[[95, 96)] " + reorg("6 blocks") + "}]"},
		"beyond the head":                      {Difference{Blocks: span(150, 151), Destination: one, Beyond: true}, "[150, 151)", "[]"},
		"the source refuses it": {Difference{Blocks: span(3, 4), Reason: errors.New("no such cast")}, "",
			"[{[[3, 4)] they could not be loaded again: see why they cannot be compared}]"},
		"it is damaged":             {Difference{Blocks: span(3, 9), Reason: notReadBack(errors.New("bad checksum"))}, "[3, 9)", "[]"},
		"it is damaged to the head": {Difference{Blocks: span(60, 99), Reason: notReadBack(errors.New("bad checksum"))}, "", "[{[[60, 99)] " + reorg("9 blocks") + "}]"},
		"its index was dropped": {Difference{Blocks: span(3, 9), Reason: notReadBack(fmt.Errorf("finality: %w", sink.ErrNotRemovable))}, "",
			"[{[[3, 9)] they could not be loaded again: see why they cannot be compared}]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := &verification{config: &config.Pipeline{Range: config.Range{ReorgBuffer: 10}}, checked: &plan.Checked{}}
			v.found.Differences = []Difference{c.difference}
			holds := claims(50, 100, 100)
			holds.Coverage.Remove(span(20, 30))
			blocks, early, left := v.repairable(holds)
			if strings.Contains(c.left, "a reorg may still") != (early.Len() > 0) {
				t.Errorf("%v can be repaired later", early)
			}
			if blocks.String() != c.blocks || fmt.Sprint(left) != c.left {
				t.Errorf("%v are repaired, want %s; %v are left, want %s", blocks, c.blocks, left, c.left)
			}
		})
	}
}
