package plan_test

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/state"
)

// walk is one pipeline over a short chain that forks.
type walk struct {
	earliest, first, live, fork block.Number
	how                         string // the reorg becomes known
}

func (w walk) String() string {
	return fmt.Sprintf("chain from %d, loaded from %d, live from %d, fork at %d, %s", w.earliest, w.first, w.live, w.fork, w.how)
}

// holding is what a destination of the pipeline has: the hash of each block.
type holding map[block.Number]string

func (h holding) blocks(r block.Range, fork byte) {
	for n := r.Start; n < r.End; n++ {
		hash := amptest.Hash(n, fork)
		h[n] = string(hash[:])
	}
}

func (h holding) apply(e amp.Event) error {
	switch e := e.(type) {
	case amp.Undo:
		maps.DeleteFunc(h, func(n block.Number, _ string) bool { return n >= e.From })
	case amp.Rows:
		return amptest.EachBlock(e.Record, func(n block.Number, rows arrow.RecordBatch) error {
			if _, twice := h[n]; twice {
				return fmt.Errorf("block %d came twice", n)
			}
			h[n] = string(rows.Column(1).(*array.FixedSizeBinary).Value(0))
			return nil
		})
	}
	return nil
}

// chains serves a chain of its own to each query: SELECT … FROM walk.n<number>.
type chains struct {
	made   [2][]amptest.Block // of both forks, from block 0 on
	mu     sync.Mutex
	number int
	all    map[int]*amptest.Chain
}

// blocks are those of r on a fork.
func (c *chains) blocks(r block.Range, fork byte) []amptest.Block {
	if c.made[fork] == nil {
		c.made[fork] = amptest.Made(block.Range{End: 1300}, fork)
	}
	return c.made[fork][r.Start:r.End]
}

func (c *chains) add() (*amptest.Chain, string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.number++
	c.all = map[int]*amptest.Chain{c.number: amptest.NewChain(amptest.Network, amptest.Schema)}
	return c.all[c.number], fmt.Sprintf("SELECT * FROM walk.n%d", c.number)
}

func (c *chains) Answer(q amptest.Query) amptest.Answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, rest, _ := strings.Cut(q.SQL, "walk.n")
	number, _ := strconv.Atoi(strings.FieldsFunc(rest, func(r rune) bool { return r < '0' || r > '9' })[0])
	return c.all[number].Answer(q)
}

// TestAReorgOfAnyDepthIsUndone walks the first block of the live lane from the
// beginning to 200 blocks behind it, and the fork from the chain's first block to the
// live lane, with the ranges that a server sends: one from the fork to the new head.
// It takes some of what amp's TestEveryForkIsFollowed does in full, over a connection
// and with the cursors of a plan.
func TestAReorgOfAnyDepthIsUndone(t *testing.T) {
	t.Parallel()
	served := &chains{}
	srv := amptest.Start(t, served.Answer)
	client, err := amp.Open(t.Context(), amp.Config{URL: srv.URL()})
	must(t, err)
	t.Cleanup(func() { must(t, client.Close()) })
	for _, at := range []struct{ earliest, first block.Number }{{0, 0}, {1000, 1000}, {0, 30}, {1000, 1030}, {0, 1}} {
		for live := block.Number(0); live <= 200; live += 1 + live%7*9 {
			for fork := block.Number(0); fork <= live+at.first-at.earliest; fork += 1 + fork%7*11 {
				for _, how := range []string{"connected", "away", "away and forgotten"} {
					served.reorg(t, client, walk{at.earliest, at.first, at.first + live, at.earliest + fork, how})
				}
			}
		}
	}
	// As in a plan that an older version has stored, with the cursors it took.
	for _, w := range []walk{{0, 0, 56, 43, ""}, {0, 0, 62, 50, ""}, {0, 0, 130, 3, ""}, {0, 0, 130, 0, ""}, {0, 100, 130, 7, ""}} {
		for _, how := range []string{"connected", "away", "away and forgotten"} {
			w.how = how
			served.reorgOf(t, client, w, func(o *state.Origin) {
				o.Points = []block.Cursor{{Network: amptest.Network, Number: w.live - 1, Hash: amptest.Hash(w.live-1, 0)}}
				if w.live > 64 {
					o.Points = append([]block.Cursor{{Network: amptest.Network, Number: w.live - 65, Hash: amptest.Hash(w.live-65, 0)}}, o.Points...)
				}
			})
		}
	}
}

func (c *chains) reorg(t *testing.T, client *amp.Client, w walk) {
	t.Helper()
	c.reorgOf(t, client, w, func(*state.Origin) {})
}

func (c *chains) reorgOf(t *testing.T, client *amp.Client, w walk, change func(*state.Origin)) {
	t.Helper()
	const buffer, grown = 5, 3
	chain, query := c.add()
	chain.Extend(c.blocks(block.Range{Start: w.earliest, End: w.live + buffer}, 0)...)
	p := &config.Pipeline{
		Name: "walk", Source: config.Source{Amp: "grpc://test", Query: query},
		Range: config.Range{MinBlock: w.first, ReorgBuffer: buffer},
	}
	checked, err := plan.Check(t.Context(), client, p)
	if err != nil || checked.LiveStart != w.live {
		t.Fatalf("%v: live from %d, %v", w, checked.LiveStart, err)
	}
	origin, err := checked.Origin(t.Context(), client)
	if err != nil {
		t.Fatalf("%v: %v", w, err)
	}
	change(origin)

	have := holding{}
	have.blocks(block.Range{Start: w.first, End: w.live}, 0)
	resume := origin.Points
	follow := func(until block.Cursor) error {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		o := amp.FollowOptions{Network: amptest.Network, Resume: resume, Beginning: &w.first}
		for e, err := range client.Follow(ctx, query, o) {
			if err != nil {
				return err
			}
			if err := have.apply(e); err != nil {
				return err
			}
			switch e := e.(type) {
			case amp.Undo:
				for len(resume) > 0 && resume[len(resume)-1].Number >= e.From {
					resume = resume[:len(resume)-1]
				}
				if e.Base != nil && (len(resume) == 0 || resume[len(resume)-1] != *e.Base) {
					resume = append(resume, *e.Base)
				}
			case amp.Watermark:
				resume = append(resume, e.Range.Cursor())
				if e.Range.Cursor() == until {
					return nil
				}
				if w.how == "connected" {
					w.how = "" // once
					chain.Extend(c.blocks(block.Range{Start: w.fork, End: w.live + buffer + grown}, 1)...)
				}
			}
		}
		return nil
	}
	name := w.String()
	end := block.Cursor{Network: amptest.Network, Number: w.live + buffer + grown - 1, Hash: amptest.Hash(w.live+buffer+grown-1, 1)}
	if w.how == "connected" {
		err = follow(end)
	} else {
		if err = follow(chain.Head()); err == nil {
			chain.Extend(c.blocks(block.Range{Start: w.fork, End: end.Number + 1}, 1)...)
			if w.how == "away and forgotten" {
				chain.Forget()
			}
			err = follow(end)
		}
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	want := holding{}
	want.blocks(block.Range{Start: w.first, End: max(w.fork, w.first)}, 0)
	want.blocks(block.Range{Start: max(w.fork, w.first), End: end.Number + 1}, 1)
	if !maps.Equal(have, want) {
		t.Fatalf("%s: %d blocks, want %d", name, len(have), len(want))
	}
}
