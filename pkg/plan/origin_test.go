package plan_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/plan"
)

// source answers as a server with some blocks.
type source struct {
	head   []amp.Range
	refuse error // of every probe

	mu     sync.Mutex
	probed []block.Number
}

func (s *source) Info(context.Context, string) (*arrow.Schema, error) { return rows, nil }

func (s *source) Head(context.Context, string) ([]amp.Range, error) { return s.head, nil }

func (s *source) Fetch(context.Context, string) iter.Seq2[amp.Message, error] {
	return func(yield func(amp.Message, error) bool) {
		yield(amp.Message{}, errors.New("planning reads no rows"))
	}
}

func (s *source) Probe(_ context.Context, _, network string, at block.Number) (block.Cursor, error) {
	s.mu.Lock()
	s.probed = append(s.probed, at)
	s.mu.Unlock()
	have := s.head[0].Numbers
	switch {
	case s.refuse != nil:
		return block.Cursor{}, s.refuse
	case !have.Has(at):
		return block.Cursor{}, fault.Later(amp.ErrUnanswered, 0)
	}
	return cursor(network, at-1), nil
}

func (s *source) Fork(_ context.Context, _ string, left block.Cursor) (block.Number, block.Cursor, error) {
	return left.Number, cursor(left.Network, left.Number-1), nil
}

func cursor(network string, n block.Number) block.Cursor {
	return block.Cursor{Network: network, Number: n, Hash: block.Hash{1, byte(n)}}
}

func mainnet(from, to block.Number) []amp.Range {
	return []amp.Range{{Network: "mainnet", Numbers: block.Range{Start: from, End: to}, Hash: block.Hash{1, byte(to - 1)}}}
}

func check(t *testing.T, s *source, want config.Range) (*plan.Checked, error) {
	t.Helper()
	return plan.Check(t.Context(), s, &config.Pipeline{
		Name: "test", Source: config.Source{Amp: "grpc://test", Query: "SELECT * FROM a.logs"}, Range: want,
	})
}

func TestTheLiveLaneBeginsBelowTheHead(t *testing.T) {
	end := func(n block.Number) *block.Number { return &n }
	for name, c := range map[string]struct {
		head    []amp.Range
		want    config.Range
		history block.Range
		start   block.Number
		points  []block.Number // ascending
		open    bool
	}{
		"buffer":            {mainnet(0, 1000), config.Range{ReorgBuffer: 200}, block.Range{Start: 0, End: 800}, 800, []block.Number{287, 543, 671, 735, 799}, false},
		"of the network":    {mainnet(0, 1000), config.Range{ReorgBuffer: 200, ReorgBuffers: map[string]uint64{"mainnet": 64}}, block.Range{Start: 0, End: 936}, 936, []block.Number{423, 679, 807, 871, 935}, false},
		"a short chain":     {mainnet(0, 100), config.Range{ReorgBuffer: 200}, block.Range{}, 0, nil, false},
		"min_block":         {mainnet(0, 1000), config.Range{MinBlock: 900, ReorgBuffer: 200}, block.Range{Start: 900, End: 900}, 900, []block.Number{899}, false},
		"min_block below":   {mainnet(0, 1000), config.Range{MinBlock: 500, ReorgBuffer: 200}, block.Range{Start: 500, End: 800}, 800, []block.Number{499, 543, 671, 735, 799}, false},
		"a step to it":      {mainnet(0, 1000), config.Range{MinBlock: 736, ReorgBuffer: 200}, block.Range{Start: 736, End: 800}, 800, []block.Number{735, 799}, false},
		"not 64 blocks":     {mainnet(0, 256), config.Range{ReorgBuffer: 200}, block.Range{Start: 0, End: 56}, 56, []block.Number{55}, false},
		"from the second":   {mainnet(0, 256), config.Range{MinBlock: 1, ReorgBuffer: 200}, block.Range{Start: 1, End: 56}, 56, []block.Number{0, 55}, false},
		"a late chain":      {mainnet(1000, 1250), config.Range{MinBlock: 1010, ReorgBuffer: 200}, block.Range{Start: 1010, End: 1050}, 1050, []block.Number{1009, 1049}, false},
		"no buffer":         {mainnet(900, 1000), config.Range{MinBlock: 900}, block.Range{Start: 900, End: 1000}, 1000, []block.Number{935, 999}, false},
		"from the earliest": {mainnet(900, 1000), config.Range{MinBlock: 900, ReorgBuffer: 200}, block.Range{Start: 900, End: 900}, 900, nil, false},
		"in the future":     {mainnet(0, 1000), config.Range{MinBlock: 2000}, block.Range{Start: 2000, End: 2000}, 2000, nil, true},
		"bounded above":     {mainnet(0, 1000), config.Range{MaxBlock: end(5000), ReorgBuffer: 200}, block.Range{Start: 0, End: 800}, 800, []block.Number{287, 543, 671, 735, 799}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := &source{head: c.head}
			got, err := check(t, s, c.want)
			must(t, err)
			if h := got.History(c.want); !got.Follow || h != c.history {
				t.Errorf("follow %v, history %v, want %v", got.Follow, h, c.history)
			}
			o, err := got.Origin(t.Context(), s)
			must(t, err)
			var points []block.Number
			for _, p := range o.Points {
				points = append(points, p.Number)
				if p != cursor("mainnet", p.Number) {
					t.Errorf("point %v", p)
				}
			}
			if o.Start != c.start || o.Open != c.open || !slices.Equal(points, c.points) {
				t.Errorf("origin %d open %v points %v, want %d %v %v", o.Start, o.Open, points, c.start, c.open, c.points)
			}
		})
	}
}

func TestAFiniteRangeBelowTheBufferIsNotFollowed(t *testing.T) {
	end := block.Number(700)
	s := &source{head: mainnet(0, 1000), refuse: amp.ErrNotStreamable}
	want := config.Range{MaxBlock: &end, ReorgBuffer: 200}
	got, err := check(t, s, want)
	must(t, err)
	if got.Follow || got.History(want) != (block.Range{Start: 0, End: 700}) || len(s.probed) > 0 {
		t.Errorf("follow %v, history %v, probed %v", got.Follow, got.History(want), s.probed)
	}
}

func TestWhatCannotBeFollowedIsRefused(t *testing.T) {
	two := append(mainnet(0, 1000), amp.Range{Network: "base", Numbers: block.Range{Start: 0, End: 1000}})
	for name, c := range map[string]struct {
		s    *source
		says string
	}{
		"operator":     {&source{head: mainnet(0, 1000), refuse: fault.Permanent(fmt.Errorf("%w: non-incremental operation: Limit", amp.ErrNotStreamable))}, "Limit"},
		"two networks": {&source{head: two}, "mainnet base"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := check(t, c.s, config.Range{})
			if fault.Of(err) != fault.ClassPermanent || !strings.Contains(err.Error(), c.says) || (!strings.Contains(err.Error(), "set range.max_block") && !strings.Contains(err.Error(), "Set range.max_block")) {
				t.Errorf("endless: %v", err)
			}
			// The finite range of the same query works, as history.
			end := block.Number(1000)
			want := config.Range{MaxBlock: &end, ReorgBuffer: 200}
			got, err := check(t, c.s, want)
			must(t, err)
			if got.Follow || got.History(want) != (block.Range{Start: 0, End: 1000}) || len(got.Warnings) != 1 {
				t.Errorf("finite: follow %v, history %v, warnings %v", got.Follow, got.History(want), got.Warnings)
			}
		})
	}
}

func TestAnEmptyServerIsWaitedFor(t *testing.T) {
	if _, err := check(t, &source{}, config.Range{}); fault.Of(err) != fault.ClassLater {
		t.Errorf("endless: %v", err)
	}
	end := block.Number(10)
	_, err := check(t, &source{}, config.Range{MaxBlock: &end})
	must(t, err)
}
