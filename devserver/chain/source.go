package chain

import (
	"context"
	"iter"

	"github.com/ampipe/ampipe/devserver/table"
	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// batchRows is how many rows the query engine of a real server makes at a time;
// of logs, two messages come of them (AP 1.6).
const batchRows = 8192

// NewDataset returns the tables of a chain: blocks, transactions and logs with the
// schemas of an evm-rpc dataset. Their snapshots at one moment of the chain agree
// with each other; see [table.Timed].
func NewDataset(c *Chain, ref table.Ref) *table.Dataset {
	d := &table.Dataset{Ref: ref, Network: c.config.Network, Tables: map[string]*table.Table{}}
	for name, s := range map[string]*source{
		"blocks":       {schema: table.Blocks(), count: func(View, block.Number) uint32 { return 1 }, fill: build(blockRow)},
		"transactions": {schema: table.Transactions(), count: View.Transactions, fill: build(transactionRow)},
		"logs":         {schema: table.Logs(), count: View.Logs, fill: logBatch},
	} {
		s.chain = c
		d.Tables[name] = &table.Table{
			Name: name, Source: s, Sorted: []string{table.BlockColumn, "block_num", "timestamp"},
			Numbers: []string{table.BlockColumn, "block_num"}, Chain: c,
		}
	}
	return d
}

// source is one table of a chain.
type source struct {
	chain  *Chain
	schema *arrow.Schema
	// count returns the rows of a block, fill makes a batch of the rows that spans
	// name.
	count func(View, block.Number) uint32
	fill  func(schema *arrow.Schema, v View, spans []span, rows int) arrow.RecordBatch
}

// span is part of the rows of a block.
type span struct {
	block    block.Number
	from, to uint32
}

// Schema implements [table.Source].
func (s *source) Schema() *arrow.Schema { return s.schema }

// Snapshot implements [table.Source].
func (s *source) Snapshot() table.Snapshot { return snapshot{source: s, view: s.chain.View()} }

// At implements [table.Timed]. A moment of another chain is a bug of the caller.
func (s *source) At(m table.Moment) table.Snapshot { return snapshot{source: s, view: m.(moment).View} }

type snapshot struct {
	source *source
	view   View
}

// Range implements [table.Snapshot].
func (s snapshot) Range() (amp.Range, bool) {
	blocks := s.view.Range()
	if blocks.Empty() {
		return amp.Range{}, false
	}
	last := s.view.Header(blocks.Last())
	return amp.Range{
		Network: s.view.config.Network, Numbers: blocks, Hash: last.Hash,
		Prev: s.view.Header(blocks.Start).Parent, HasPrev: true, Timestamp: last.Time,
	}, true
}

// Until implements [table.Snapshot].
func (s snapshot) Until(last block.Number) table.Snapshot {
	s.view = s.view.Until(last)
	return s
}

// Rows implements [table.Snapshot].
func (s snapshot) Rows(blocks block.Range) uint64 {
	var rows uint64
	blocks = blocks.Intersect(s.view.Range())
	for n := blocks.Start; n < blocks.End; n++ {
		rows += uint64(s.source.count(s.view, n))
	}
	return rows
}

// Scan implements [table.Snapshot].
func (s snapshot) Scan(ctx context.Context, blocks block.Range, columns []int) iter.Seq2[arrow.RecordBatch, error] {
	blocks = blocks.Intersect(s.view.Range())
	return func(yield func(arrow.RecordBatch, error) bool) {
		var spans []span
		rows := 0
		flush := func() bool {
			if rows == 0 {
				return true
			}
			whole := s.source.fill(s.source.schema, s.view, spans, rows)
			defer whole.Release()
			spans, rows = spans[:0], 0
			return yield(table.Project(whole, columns), nil)
		}
		for n := blocks.Start; n < blocks.End; n++ {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			for at, count := uint32(0), s.source.count(s.view, n); at < count; {
				take := min(count-at, uint32(batchRows-rows))
				spans = append(spans, span{n, at, at + take})
				at += take
				rows += int(take)
				if rows == batchRows && !flush() {
					return
				}
			}
		}
		flush()
	}
}

// build returns the fill of a table made with a builder: one appends a row.
func build(one func(r row, v View, h Header, i uint32)) func(*arrow.Schema, View, []span, int) arrow.RecordBatch {
	return func(schema *arrow.Schema, v View, spans []span, rows int) arrow.RecordBatch {
		b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
		defer b.Release()
		b.Reserve(rows)
		for _, s := range spans {
			h := v.Header(s.block)
			for i := s.from; i < s.to; i++ {
				one(row{b: b, column: new(int)}, v, h, i)
			}
		}
		return b.NewRecordBatch()
	}
}
