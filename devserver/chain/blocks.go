package chain

import (
	"github.com/ampipe/ampipe/devserver/table"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// allocator is the Go heap: batches are short-lived and the collector frees
// them.
var allocator = memory.DefaultAllocator

func newBlocks(c *Chain) *source {
	schema := table.Blocks()
	return &source{
		chain: c, schema: schema,
		count: func(View, block.Number) uint32 { return 1 },
		fill: func(v View, spans []span, rows int) arrow.RecordBatch {
			return build(schema, v, spans, rows, blockRow)
		},
	}
}

// blockRow appends a block as after the Cancun upgrade, without the fields that
// came or went with others.
func blockRow(r row, h Header, _ uint32) {
	k := h.key.derive(saltShape)
	r.uint64(uint64(h.Number))
	r.uint64(uint64(h.Number))
	r.time(h.Time)
	r.bytes(h.Hash[:])
	r.bytes(h.Parent[:])
	r.bytes(k.bytes(32)) // ommers_hash
	r.bytes(k.bytes(20)) // miner
	r.bytes(k.bytes(32)) // state_root
	r.bytes(k.bytes(32)) // transactions_root
	r.bytes(k.bytes(32)) // receipt_root
	r.bytes(k.bytes(256))
	r.decimal(0) // difficulty
	r.null()     // total_difficulty
	r.uint64(30_000_000)
	r.uint64(k.below(30_000_000))
	r.bytes(k.bytes(int(k.below(33))))
	r.bytes(k.bytes(32)) // mix_hash
	r.uint64(k.next())   // nonce, all 64 bits
	r.decimal(7 + k.below(100_000_000_000))
	r.bytes(k.bytes(32)) // withdrawals_root
	r.uint64(k.below(7) * 131072)
	r.uint64(k.below(100) * 131072)
	r.bytes(k.bytes(32)) // parent_beacon_root
	r.null()             // requests_hash
}

func (k *key) bytes(n int) []byte {
	b := make([]byte, n)
	k.fill(b)
	return b
}

func wide(low uint64) decimal128.Num { return decimal128.FromU64(low) }
