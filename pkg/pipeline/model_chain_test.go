package pipeline_test

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/block"
)

// modelRow is a row of the model's table; an absent note is "-".
type modelRow struct {
	block, index int64
	hash, note   string
}

func (r modelRow) compare(o modelRow) int {
	return cmp.Or(cmp.Compare(r.block, o.block), cmp.Compare(r.index, o.index), cmp.Compare(r.hash, o.hash), cmp.Compare(r.note, o.note))
}

// String leaves out most of a long note.
func (r modelRow) String() string {
	return fmt.Sprintf("block %d, row %d, of %.8s…: %.20q", r.block, r.index, r.hash, r.note)
}

// modelSchema is the model's table; the key of a row is its first two columns.
var modelSchema = arrow.NewSchema([]arrow.Field{
	{Name: "_block_num", Type: arrow.PrimitiveTypes.Uint64},
	{Name: "idx", Type: arrow.PrimitiveTypes.Int64},
	{Name: "hash", Type: &arrow.FixedSizeBinaryType{ByteWidth: 32}},
	{Name: "note", Type: arrow.BinaryTypes.String, Nullable: true},
}, nil)

// modelChain grows and forks at random. One goroutine at a time changes it.
type modelChain struct {
	*amptest.Chain
	random *rand.Rand
	live   block.Number // first block of the live lane, when it began

	blocks  []amptest.Block // the canonical ones, from 0
	left    []amptest.Block // what the last reorg replaced
	forks   uint64
	made    int
	reorgs  int
	deepest int
	below   int // reorgs that reached below live
}

func newModelChain(random *rand.Rand) *modelChain {
	c := &modelChain{Chain: amptest.NewChain(amptest.Network, modelSchema), random: random}
	c.extend(c.build(0, 700+random.IntN(600)))
	return c
}

func (c *modelChain) head() block.Number { return block.Number(len(c.blocks) - 1) }

// mine changes the chain until ctx ends.
func (c *modelChain) mine(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(5+c.random.IntN(50)) * time.Millisecond):
		}
		switch c.random.IntN(30) {
		case 0, 1:
			c.reorg(1 + c.random.IntN(8))
		case 2:
			c.reorg(1 + c.random.IntN(64))
		case 3:
			if c.random.IntN(3) == 0 {
				c.reorg(64 + c.random.IntN(237))
			}
		case 4: // a reorg of a reorg, before anybody can have seen the first whole
			c.reorg(1 + c.random.IntN(12))
			c.reorg(1 + c.random.IntN(20))
		case 5:
			c.back()
		case 6:
			c.Window(1 + c.random.Uint64N(40))
		default:
			c.extend(c.build(c.head()+1, 1+c.random.IntN(3)))
		}
	}
}

// reorg replaces the last blocks by more than there were.
func (c *modelChain) reorg(depth int) {
	depth = min(depth, len(c.blocks)-1) // the first block is never replaced
	from := c.head() + 1 - block.Number(depth)
	c.count(depth, from)
	c.left = slices.Clone(c.blocks[from:])
	c.extend(c.build(from, depth+1+c.random.IntN(3)))
}

// back returns to what the last reorg replaced, and continues from there.
func (c *modelChain) back() {
	if len(c.left) == 0 {
		return
	}
	again, from := c.left, c.left[0].Number
	c.count(int(c.head()+1-from), from)
	c.left = nil
	next := again[len(again)-1].Number + 1
	more := max(1, int(c.head())-int(next)+2)
	c.extend(append(again, c.build(next, more)...))
}

func (c *modelChain) count(depth int, from block.Number) {
	c.reorgs++
	c.deepest = max(c.deepest, depth)
	if from < c.live {
		c.below++
	}
}

func (c *modelChain) extend(blocks []amptest.Block) {
	c.Extend(blocks...)
	c.blocks = append(c.blocks[:blocks[0].Number:blocks[0].Number], blocks...)
	c.made += len(blocks)
}

// build makes new blocks of a fork of their own.
func (c *modelChain) build(from block.Number, n int) []amptest.Block {
	c.forks++
	var all []amptest.Block
	for number := from; number < from+block.Number(n); number++ {
		b := amptest.Block{Number: number, Hash: sha256.Sum256(fmt.Appendf(nil, "%d of %d", number, c.forks))}
		rows, length := c.random.IntN(5), c.random.IntN(60)
		if c.random.IntN(60) == 0 { // larger than an entry may be
			rows, length = 8+c.random.IntN(12), 3000
		}
		if rows > 0 {
			b.Rows = []arrow.RecordBatch{c.record(b, rows, length)}
		}
		all = append(all, b)
	}
	return all
}

func (c *modelChain) record(b amptest.Block, rows, length int) arrow.RecordBatch {
	build := array.NewRecordBuilder(memory.DefaultAllocator, modelSchema)
	defer build.Release()
	for i := range rows {
		build.Field(0).(*array.Uint64Builder).Append(uint64(b.Number))
		build.Field(1).(*array.Int64Builder).Append(int64(i))
		build.Field(2).(*array.FixedSizeBinaryBuilder).Append(b.Hash[:])
		if note := build.Field(3).(*array.StringBuilder); c.random.IntN(8) == 0 {
			note.AppendNull()
		} else {
			note.Append(fmt.Sprintf("fork %d row %d ", c.forks, i) + strings.Repeat("é", length))
		}
	}
	return build.NewRecordBatch()
}

// rows returns the canonical table in the order of its key.
func (c *modelChain) rows() []modelRow {
	var all []modelRow
	for _, b := range c.blocks {
		for _, rows := range b.Rows {
			for i := range int(rows.NumRows()) {
				row := modelRow{
					block: int64(rows.Column(0).(*array.Uint64).Value(i)),
					index: rows.Column(1).(*array.Int64).Value(i),
					hash:  fmt.Sprintf("%x", rows.Column(2).(*array.FixedSizeBinary).Value(i)),
					note:  "-",
				}
				if note := rows.Column(3).(*array.String); note.IsValid(i) {
					row.note = note.Value(i)
				}
				all = append(all, row)
			}
		}
	}
	return all
}
