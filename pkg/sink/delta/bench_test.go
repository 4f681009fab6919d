package delta_test

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// benchRows is how many rows a change of the benchmarks has.
const benchRows = 10_000

// logRows is rows like those of a table of logs: numbers, text and bytes that do
// not repeat.
func logRows() (sink.Table, arrow.RecordBatch) {
	as := tableWith(nullableField("timestamp", ts(arrow.Nanosecond, "UTC")), nullableField("log_index", arrow.PrimitiveTypes.Uint32),
		nullableField("tx_hash", &arrow.FixedSizeBinaryType{ByteWidth: 32}), nullableField("address", &arrow.FixedSizeBinaryType{ByteWidth: 20}),
		nullableField("data", arrow.BinaryTypes.Binary), nullableField("name", arrow.BinaryTypes.String))
	b := array.NewRecordBuilder(memory.DefaultAllocator, as.Schema)
	defer b.Release()
	var bytes [128]byte
	seed := uint64(1)
	for i := range benchRows {
		for k := range bytes {
			seed = seed*6364136223846793005 + 1442695040888963407
			bytes[k] = byte(seed >> 56)
		}
		b.Field(0).(*array.Uint64Builder).Append(uint64(i / 200))
		b.Field(1).(*array.TimestampBuilder).Append(arrow.Timestamp(1_700_000_000_000_000_000 + i/200*12_000_000_000))
		b.Field(2).(*array.Uint32Builder).Append(uint32(i % 200))
		b.Field(3).(*array.FixedSizeBinaryBuilder).Append(bytes[:32])
		b.Field(4).(*array.FixedSizeBinaryBuilder).Append(bytes[32:52])
		b.Field(5).(*array.BinaryBuilder).Append(bytes[:64+i%64])
		b.Field(6).(*array.StringBuilder).Append("Transfer")
	}
	return as, b.NewRecordBatch()
}

// BenchmarkStage takes rows in and commits every 100 changes.
func BenchmarkStage(b *testing.B) {
	as, rec := logRows()
	w := newStaging(b, inFolder(b).open(b, as))
	b.ReportAllocs()
	for i := range b.N {
		at := block.Number(i) * 50
		c := sinktest.ChangeOf(block.Range{Start: at, End: at + 50}, rec)
		c.Range = block.Range{Start: at, End: at + 50}
		if _, err := w.Stage(b.Context(), []sink.Change{c}); err != nil {
			b.Fatal(err)
		}
		if i%100 == 99 {
			if _, err := w.Commit(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
	if _, err := w.Commit(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkBareParquet writes the same rows by pqarrow alone, to nowhere.
func BenchmarkBareParquet(b *testing.B) {
	as, rec := logRows()
	props := parquet.NewWriterProperties(parquet.WithCompression(compress.Codecs.Zstd), parquet.WithCompressionLevel(1),
		parquet.WithDictionaryDefault(false), parquet.WithMaxRowGroupLength(250_000))
	w, err := pqarrow.NewFileWriter(as.Schema, nowhere{}, props, pqarrow.DefaultWriterProps())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for range b.N {
		if err := w.WriteBuffered(rec); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds(), "rows/s")
}

type nowhere struct{}

func (nowhere) Write(b []byte) (int, error) { return len(b), nil }
