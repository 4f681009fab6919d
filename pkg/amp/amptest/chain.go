package amptest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
)

// Block is a block and its rows in a query's answer.
type Block struct {
	Number block.Number
	Hash   block.Hash
	// Rows are borrowed as long as the chain is served; there may be none.
	Rows []arrow.RecordBatch
}

// Chain is one query over a chain of blocks that grows and forks, answered as Amp
// answers it: microbatches that follow the chain, reorgs, and every kind of cursor
// (AP 3.1, 3.4, 3.5). Its method Answer suits [Start]:
//
//	chain := amptest.NewChain(amptest.Network, amptest.Schema)
//	srv := amptest.Start(t, chain.Answer)
//	chain.Extend(amptest.Made(block.Range{End: 10}, 0)...)
//	chain.Extend(amptest.Made(block.Range{Start: 8, End: 12}, 1)...) // a reorg
//
// Many goroutines may use it at once.
type Chain struct {
	network string
	schema  *arrow.Schema

	mu        sync.Mutex
	window    uint64
	canonical []*link // ascending, without gaps
	known     map[block.Cursor]*link
	changed   chan struct{} // closed, and replaced, with each change
	idle      func()
}

// link is a block and the one before it; nil for the earliest.
type link struct {
	Block
	before *link
	prev   block.Hash
}

// NewChain makes a chain without blocks, which is answered as a table without data
// is (AP 3.8).
func NewChain(network string, schema *arrow.Schema) *Chain {
	return &Chain{
		network: network, schema: schema, window: 1000, known: map[block.Cursor]*link{}, changed: make(chan struct{}),
	}
}

// Made returns the blocks of r on a fork, each with one row of [Blocks].
func Made(r block.Range, fork byte) []Block {
	var all []Block
	for n := r.Start; n < r.End; n++ {
		all = append(all, Block{Number: n, Hash: Hash(n, fork), Rows: []arrow.RecordBatch{Blocks(block.Closed(n, n), fork)}})
	}
	return all
}

// Extend puts blocks on the chain. Blocks that were there from the first of them on
// leave it: they are orphaned, but known. The first block may be up to one above the
// head; the earliest of all may be any.
func (c *Chain) Extend(blocks ...Block) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range blocks {
		l := &link{Block: b}
		if len(c.canonical) > 0 {
			keep := int(b.Number) - int(c.canonical[0].Number)
			if keep < 0 || keep > len(c.canonical) {
				panic(fmt.Sprintf("amptest: block %d does not touch the chain", b.Number))
			}
			if keep < len(c.canonical) {
				c.canonical = c.canonical[:keep:keep] // streams may still hold the rest
			}
		}
		if len(c.canonical) > 0 {
			l.before = c.canonical[len(c.canonical)-1]
			l.prev = l.before.Hash
		} else if b.Number > 0 {
			l.prev = Hash(b.Number-1, 0)
		}
		c.canonical = append(c.canonical, l)
		c.known[c.cursor(l)] = l
	}
	c.change()
}

// Forget lets the server forget every orphaned block, as an administrator can make
// it: their cursors are unknown from then on.
func (c *Chain) Forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.known)
	for _, l := range c.canonical {
		c.known[c.cursor(l)] = l
	}
	c.change()
}

// Window limits the microbatches that begin from now on to so many blocks. It is
// 1000 at first, as Amp's (AP 3.1).
func (c *Chain) Window(blocks uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.window = blocks
}

// OnIdle lets f be called whenever a stream has sent all there is, from the stream's own
// goroutine: to extend the chain when its follower has caught up.
func (c *Chain) OnIdle(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle = f
}

// Head returns the cursor of the last block.
func (c *Chain) Head() block.Cursor {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cursor(c.canonical[len(c.canonical)-1])
}

// At returns the cursor of a block of the chain.
func (c *Chain) At(n block.Number) block.Cursor {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cursor(c.canonical[n-c.canonical[0].Number])
}

// Blocks returns the blocks of the chain as it is now.
func (c *Chain) Blocks() []Block {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []Block
	for _, l := range c.canonical {
		all = append(all, l.Block)
	}
	return all
}

// Batch answers a batch query for the blocks of r with the rows the chain has now.
func (c *Chain) Batch(r block.Range) Answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.canonical) == 0 {
		return Batch(c.schema, nil)
	}
	var rows []arrow.RecordBatch
	for _, l := range c.canonical {
		if r.Has(l.Number) {
			rows = append(rows, l.Rows...)
		}
	}
	return Batch(c.schema, []amp.Range{c.span(c.canonical)}, rows...)
}

// Answer answers a stream as its headers ask, and a batch query with all rows.
func (c *Chain) Answer(q Query) Answer {
	c.mu.Lock()
	empty := len(c.canonical) == 0
	c.mu.Unlock()
	if !q.Stream() || empty {
		return c.Batch(block.Range{End: block.Max + 1})
	}
	a := Answer{Schema: c.schema}
	after, networks := readCursor(q.Resume(), c.network)
	if after == nil && networks != nil {
		a.RefuseGet = Status(codes.Internal, fmt.Sprintf("streaming query execution error | Caused by: failed to convert cursor -> "+
			"expected cursor for network '%s', but cursor only contains networks: %v", c.network, networks))
		return a
	}
	a.Script = func(ctx context.Context, send func(Part) error) error { return c.stream(ctx, after, send) }
	return a
}

// readCursor is as lenient as Amp: what it cannot read is no cursor (AP 3.4). It
// returns the networks of a cursor that lacks the one asked for.
func readCursor(text, network string) (after *block.Cursor, networks []string) {
	var places map[string]struct {
		Number block.Number `json:"number"`
		Hash   block.Hash   `json:"hash"`
	}
	if json.Unmarshal([]byte(text), &places) != nil {
		return nil, nil
	}
	if p, found := places[network]; found {
		return &block.Cursor{Network: network, Number: p.Number, Hash: p.Hash}, nil
	}
	networks = []string{}
	for name := range places {
		networks = append(networks, name)
	}
	slices.Sort(networks)
	return nil, networks
}

func (c *Chain) stream(ctx context.Context, after *block.Cursor, send func(Part) error) error {
	for {
		links, span, changed, idle := c.next(after)
		if links == nil {
			if idle != nil {
				idle()
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return status.FromContextError(ctx.Err()).Err()
			}
			continue
		}
		var rows []arrow.RecordBatch
		for _, l := range links {
			rows = append(rows, l.Rows...)
		}
		for _, p := range Microbatch(span, rows...) {
			if err := send(p); err != nil {
				return err
			}
		}
		end := span.Cursor()
		after = &end
	}
}

// next returns the blocks of the microbatch that follows a cursor; none if there is
// nothing to send until the chain changes.
func (c *Chain) next(after *block.Cursor) (links []*link, span amp.Range, changed <-chan struct{}, idle func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	earliest, head := c.canonical[0].Number, c.canonical[len(c.canonical)-1].Number
	start := earliest
	if after != nil {
		l := c.known[*after]
		switch {
		case l != nil:
			for l != nil && !c.has(l) {
				l = l.before
			}
			if l != nil {
				start = l.Number + 1
			}
		case after.Number < earliest || after.Number > head:
			start = head + 1 // silence
		default:
			start = after.Number
		}
	}
	if start > head {
		return nil, amp.Range{}, c.changed, c.idle
	}
	links = c.canonical[start-earliest:]
	links = links[:min(uint64(len(links)), c.window)]
	return links, c.span(links), c.changed, c.idle
}

func (c *Chain) has(l *link) bool {
	i := int(l.Number) - int(c.canonical[0].Number)
	return i >= 0 && i < len(c.canonical) && c.canonical[i] == l
}

func (c *Chain) cursor(l *link) block.Cursor {
	return block.Cursor{Network: c.network, Number: l.Number, Hash: l.Hash}
}

func (c *Chain) span(links []*link) amp.Range {
	first, last := links[0], links[len(links)-1]
	return amp.Range{
		Network: c.network, Numbers: block.Closed(first.Number, last.Number),
		Hash: last.Hash, Prev: first.prev, HasPrev: true,
	}
}

func (c *Chain) change() {
	close(c.changed)
	c.changed = make(chan struct{})
}
