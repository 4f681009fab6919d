package sinktest

import (
	"math/rand/v2"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sink"
)

// LogSchema is that of a chain's logs (AP 5).
var LogSchema = arrow.NewSchema([]arrow.Field{
	{Name: "_block_num", Type: arrow.PrimitiveTypes.Uint64},
	{Name: "block_hash", Type: hash32},
	{Name: "block_num", Type: arrow.PrimitiveTypes.Uint64},
	{Name: "timestamp", Type: &arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: "+00:00"}},
	{Name: "tx_hash", Type: hash32},
	{Name: "tx_index", Type: arrow.PrimitiveTypes.Uint32},
	{Name: "log_index", Type: arrow.PrimitiveTypes.Uint32},
	{Name: "address", Type: &arrow.FixedSizeBinaryType{ByteWidth: 20}},
	{Name: "topic0", Type: hash32, Nullable: true},
	{Name: "topic1", Type: hash32, Nullable: true},
	{Name: "topic2", Type: hash32, Nullable: true},
	{Name: "topic3", Type: hash32, Nullable: true},
	{Name: "data", Type: arrow.BinaryTypes.Binary},
}, nil)

var hash32 = &arrow.FixedSizeBinaryType{ByteWidth: 32}

// LogTable is the table of logs, by its block column _block_num.
var LogTable = sink.Table{Pipeline: "bench", Sink: "warehouse", Schema: LogSchema, Epoch: 1}

// Logs makes the logs of a range of blocks, perBlock rows each, of about 343
// bytes in COPY BINARY.
func Logs(r block.Range, perBlock int) sink.Change {
	rnd := rand.New(rand.NewPCG(uint64(r.Start), 7))
	random := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		return b
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, LogSchema)
	defer b.Release()
	for n := r.Start; n < r.End; n++ {
		hash, tx := random(32), random(32)
		for i := range perBlock {
			b.Field(0).(*array.Uint64Builder).Append(uint64(n))
			b.Field(1).(*array.FixedSizeBinaryBuilder).Append(hash)
			b.Field(2).(*array.Uint64Builder).Append(uint64(n))
			b.Field(3).(*array.TimestampBuilder).Append(arrow.Timestamp(1_700_000_000_000_000_000 + 12_000_000_000*int64(n)))
			b.Field(4).(*array.FixedSizeBinaryBuilder).Append(tx)
			b.Field(5).(*array.Uint32Builder).Append(uint32(i / 4))
			b.Field(6).(*array.Uint32Builder).Append(uint32(i))
			b.Field(7).(*array.FixedSizeBinaryBuilder).Append(random(20))
			for topic := 8; topic < 12; topic++ {
				if topic-8 <= i%4 {
					b.Field(topic).(*array.FixedSizeBinaryBuilder).Append(random(32))
				} else {
					b.Field(topic).AppendNull()
				}
			}
			b.Field(12).(*array.BinaryBuilder).Append(random(rnd.IntN(160)))
		}
	}
	return ChangeOf(r, b.NewRecordBatch())
}
