package extract_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"strconv"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/block"
)

var schema = arrow.NewSchema([]arrow.Field{
	{Name: "_block_num", Type: arrow.PrimitiveTypes.Uint64},
	{Name: "index", Type: arrow.PrimitiveTypes.Int64},
	{Name: "text", Type: arrow.BinaryTypes.String},
}, nil)

// chain is a source that answers the wrapped query for a range of its blocks.
type chain struct {
	rows func(block.Number) int // of a block
	mem  memory.Allocator

	mu     sync.Mutex
	head   block.Number                        // exclusive
	before func(r block.Range) error           // decides the fate of a query; nil: all are answered
	during func(r block.Range, sent int) error // and of each message
	reads  map[block.Number]int                // how often the rows of a block were sent
	asked  []block.Range
}

func newChain(t testing.TB, head block.Number, rows func(block.Number) int) *chain {
	// The client uses the memory of released records for later messages: one that
	// reads one too late has to see it here.
	return &chain{rows: rows, mem: amptest.Allocator(t), head: head, reads: map[block.Number]int{}}
}

var bounds = regexp.MustCompile(`>= (\d+) AND q\._block_num < (\d+)`)

func (c *chain) Fetch(ctx context.Context, query string) iter.Seq2[amp.Message, error] {
	return func(yield func(amp.Message, error) bool) {
		m := bounds.FindStringSubmatch(query)
		if m == nil {
			yield(amp.Message{}, fmt.Errorf("not a query for a range: %s", query))
			return
		}
		r := block.Range{Start: number(m[1]), End: number(m[2])}
		before, during, head := c.ask(r)
		if before != nil {
			if err := before(r); err != nil {
				yield(amp.Message{}, err)
				return
			}
		}
		meta := amp.Metadata{Ranges: []amp.Range{{Network: "test", Numbers: block.Range{Start: 0, End: head}}}}
		sent := 0
		for at := r.Start; at < r.End; at += 7 { // messages do not end where entries do
			rec := c.record(block.Range{Start: at, End: min(at+7, r.End, max(head, at))})
			ok := yield(amp.Message{Record: rec, Metadata: meta}, nil)
			rec.Release()
			sent++
			if !ok {
				return
			}
			if ctx.Err() != nil {
				yield(amp.Message{}, context.Cause(ctx))
				return
			}
			if during != nil {
				if err := during(r, sent); err != nil {
					yield(amp.Message{}, err)
					return
				}
			}
		}
		rec := c.record(block.Range{})
		defer rec.Release()
		meta.Complete = true
		yield(amp.Message{Record: rec, Metadata: meta}, nil)
	}
}

// Follow is not what these tests are about.
func (c *chain) Follow(context.Context, string, amp.FollowOptions) iter.Seq2[amp.Event, error] {
	return func(yield func(amp.Event, error) bool) { yield(nil, errors.New("there is no live task")) }
}

func (c *chain) ask(r block.Range) (func(block.Range) error, func(block.Range, int) error, block.Number) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, r)
	return c.before, c.during, c.head
}

func (c *chain) record(r block.Range) arrow.RecordBatch {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := array.NewRecordBuilder(c.mem, schema)
	defer b.Release()
	for n := r.Start; n < r.End; n++ {
		c.reads[n]++
		for i := range c.rows(n) {
			b.Field(0).(*array.Uint64Builder).Append(uint64(n))
			b.Field(1).(*array.Int64Builder).Append(int64(i))
			b.Field(2).(*array.StringBuilder).Append(fmt.Sprintf("row %d of block %d", i, n))
		}
	}
	return b.NewRecordBatch()
}

func (c *chain) set(change func(*chain)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(c)
}

func number(s string) block.Number {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		panic(err) // the expression matches digits only
	}
	return block.Number(n)
}

var errCut = errors.New("the connection was cut")

// backwards returns the messages of another source in the wrong order.
type backwards struct{ *chain }

func (b backwards) Fetch(ctx context.Context, query string) iter.Seq2[amp.Message, error] {
	return func(yield func(amp.Message, error) bool) {
		var all []amp.Message
		for m, err := range b.chain.Fetch(ctx, query) {
			if err != nil {
				yield(amp.Message{}, err)
				return
			}
			m.Record.Retain()
			defer m.Record.Release()
			all = append(all, m)
		}
		all[0], all[1] = all[1], all[0]
		for _, m := range all {
			if !yield(m, nil) {
				return
			}
		}
	}
}
