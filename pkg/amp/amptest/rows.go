package amptest

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
)

// Network is the network of the chain that [Range] and [Blocks] make up.
const Network = "anvil"

// Schema is that of [Blocks].
var Schema = arrow.NewSchema([]arrow.Field{
	{Name: "_block_num", Type: arrow.PrimitiveTypes.Uint64},
	{Name: "hash", Type: &arrow.FixedSizeBinaryType{ByteWidth: 32}},
}, nil)

// Hash returns the hash of block n on the given fork of the chain.
func Hash(n block.Number, fork byte) block.Hash {
	return sha256.Sum256(append(binary.BigEndian.AppendUint64(nil, uint64(n)), fork))
}

// Range returns how the server describes the blocks of r, all on the given fork; the
// block before them is that of fork 0.
func Range(r block.Range, fork byte) amp.Range {
	described := amp.Range{
		Network: Network, Numbers: r, Hash: Hash(r.Last(), fork), HasPrev: true,
		Timestamp: time.Unix(1_700_000_000+2*int64(r.Last()), 0).UTC(),
	}
	if r.Start > 0 {
		described.Prev = Hash(r.Start-1, 0)
	}
	return described
}

// Blocks returns one row for each block of r, as table "blocks" would give it. The
// caller must release it.
func Blocks(r block.Range, fork byte) arrow.RecordBatch {
	build := array.NewRecordBuilder(memory.DefaultAllocator, Schema)
	defer build.Release()
	for n := r.Start; n < r.End; n++ {
		hash := Hash(n, fork)
		build.Field(0).(*array.Uint64Builder).Append(uint64(n))
		build.Field(1).(*array.FixedSizeBinaryBuilder).Append(hash[:])
	}
	return build.NewRecordBatch()
}
