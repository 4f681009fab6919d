package parquetfile_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink/delta/parquetfile"
)

var everyType = arrow.NewSchema([]arrow.Field{
	nullable("boolean", arrow.FixedWidthTypes.Boolean),
	nullable("byte", arrow.PrimitiveTypes.Int8),
	nullable("short", arrow.PrimitiveTypes.Int16),
	nullable("integer", arrow.PrimitiveTypes.Int32),
	nullable("long", arrow.PrimitiveTypes.Int64),
	nullable("float", arrow.PrimitiveTypes.Float32),
	nullable("double", arrow.PrimitiveTypes.Float64),
	nullable("date", arrow.FixedWidthTypes.Date32),
	nullable("timestamp", &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}),
	nullable("string", arrow.BinaryTypes.String),
	nullable("binary", arrow.BinaryTypes.Binary),
	nullable("decimal9", &arrow.Decimal128Type{Precision: 9, Scale: 2}),
	nullable("decimal18", &arrow.Decimal128Type{Precision: 18}),
	nullable("decimal20", &arrow.Decimal128Type{Precision: 20}),
	nullable("decimal38", &arrow.Decimal128Type{Precision: 38, Scale: 38}),
}, nil)

func nullable(name string, t arrow.DataType) arrow.Field {
	return arrow.Field{Name: name, Type: t, Nullable: true}
}

// properties are those of Delta files, with small pages.
func properties(more ...parquet.WriterProperty) *parquet.WriterProperties {
	return parquet.NewWriterProperties(append([]parquet.WriterProperty{parquet.WithDictionaryDefault(false),
		parquet.WithStoreDecimalAsInteger(true), parquet.WithCompression(compress.Codecs.Zstd), parquet.WithDataPageSize(8 << 10)}, more...)...)
}

// randomRows makes rows of every type, of which a part is null.
func randomRows(rnd *rand.Rand, rows int, nulls float64) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, everyType)
	defer b.Release()
	for range rows {
		for _, f := range b.Fields() {
			if rnd.Float64() < nulls {
				f.AppendNull()
				continue
			}
			appendRandom(rnd, f)
		}
	}
	return b.NewRecordBatch()
}

func appendRandom(rnd *rand.Rand, f array.Builder) {
	n := int64(rnd.Uint64()) >> rnd.IntN(64)
	size := rnd.IntN(40)
	if rnd.IntN(200) == 0 {
		size = rnd.IntN(20_000) // more than a page
	}
	text := make([]byte, size)
	for i := range text {
		text[i] = byte('a' + rnd.IntN(26))
	}
	switch f := f.(type) {
	case *array.BooleanBuilder:
		f.Append(n%2 == 0)
	case *array.Int8Builder:
		f.Append(int8(n))
	case *array.Int16Builder:
		f.Append(int16(n))
	case *array.Int32Builder:
		f.Append(int32(n))
	case *array.Int64Builder:
		f.Append(n)
	case *array.Float32Builder:
		f.Append([]float32{float32(n), 0, float32(math.Copysign(0, -1)), float32(math.NaN()), float32(math.Inf(1))}[rnd.IntN(5)])
	case *array.Float64Builder:
		f.Append([]float64{float64(n), 0, math.Copysign(0, -1), math.NaN(), math.Inf(-1)}[rnd.IntN(5)])
	case *array.Date32Builder:
		f.Append(arrow.Date32(n))
	case *array.TimestampBuilder:
		f.Append(arrow.Timestamp(n))
	case *array.StringBuilder:
		f.Append(string(text))
	case *array.BinaryBuilder:
		f.Append(text)
	case *array.Decimal128Builder:
		limit := map[int32]int64{9: 999_999_999, 18: 999_999_999_999_999_999}[f.Type().(*arrow.Decimal128Type).Precision]
		if limit > 0 {
			f.Append(decimal128.FromI64(n % limit))
		} else {
			f.Append(decimal128.FromI64(n).Mul(decimal128.FromI64(10)))
		}
	default:
		panic(fmt.Sprintf("no values for %T", f))
	}
}

// writer is what both this package and the library have.
type writer interface {
	write(arrow.RecordBatch) error
	flush() error
	close() error
}

type ours struct{ *parquetfile.Writer }

func (w ours) write(rec arrow.RecordBatch) error { return w.Write(rec) }
func (w ours) flush() error                      { return w.Flush() }
func (w ours) close() error                      { _, err := w.Close(); return err }

type library struct{ *pqarrow.FileWriter }

func (w library) write(rec arrow.RecordBatch) error { return w.WriteBuffered(rec) }
func (w library) flush() error                      { return w.NewBufferedRowGroupChecked() }
func (w library) close() error                      { return w.Close() }

// write writes records, with a row group after each third.
func write(t *testing.T, w writer, records []arrow.RecordBatch) {
	t.Helper()
	for i, rec := range records {
		err := w.write(rec)
		if i%3 == 2 && i < len(records)-1 {
			err = errors.Join(err, w.flush())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
}

func newLayout(t *testing.T, props *parquet.WriterProperties) *parquetfile.Layout {
	t.Helper()
	if !parquetfile.Fits(everyType.Fields(), props) {
		t.Fatal("the columns do not fit")
	}
	l, err := parquetfile.NewLayout(everyType, props)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func writeOurs(t *testing.T, l *parquetfile.Layout, records []arrow.RecordBatch) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := l.NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	write(t, ours{w}, records)
	return out.Bytes()
}

// TestTheLibraryReadsTheSame writes rows, and slices of rows, in several ways, and compares
// what comes back with what was written, and the statistics with those of the library.
func TestTheLibraryReadsTheSame(t *testing.T) {
	t.Parallel()
	codec := func(c compress.Compression) parquet.WriterProperty { return parquet.WithCompression(c) }
	for name, test := range map[string]struct {
		nulls float64
		rows  int
		more  parquet.WriterProperty
	}{
		"some nulls":         {nulls: 0.3, rows: 700, more: codec(compress.Codecs.Zstd)},
		"no nulls":           {nulls: 0, rows: 900, more: codec(compress.Codecs.Snappy)},
		"nulls only":         {nulls: 1, rows: 300, more: codec(compress.Codecs.Gzip)},
		"few rows":           {nulls: 0.5, rows: 3, more: codec(compress.Codecs.Uncompressed)},
		"a better level":     {nulls: 0.1, rows: 500, more: parquet.WithCompressionLevel(7)},
		"long row groups":    {nulls: 0.2, rows: 2000, more: parquet.WithMaxRowGroupLength(1300)},
		"pages full of rows": {nulls: 0.9, rows: 11_500, more: parquet.WithDataPageSize(1 << 20)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(uint64(test.rows), 1))
			var records []arrow.RecordBatch
			for range 5 {
				rec := randomRows(rnd, test.rows+rnd.IntN(9), test.nulls)
				records = append(records, rec.NewSlice(int64(rnd.IntN(3)), rec.NumRows()))
			}
			props := properties(test.more)
			var reference bytes.Buffer
			w, err := pqarrow.NewFileWriter(everyType, &reference, props, pqarrow.DefaultWriterProps())
			if err != nil {
				t.Fatal(err)
			}
			write(t, library{w}, records)
			l := newLayout(t, props)
			first := writeOurs(t, l, records)
			compareRows(t, first, records)
			compareStatistics(t, first, reference.Bytes())
			if !bytes.Equal(first, writeOurs(t, l, records)) {
				t.Error("the same rows have made another file the second time")
			}
		})
	}
}

func compareRows(t *testing.T, content []byte, want []arrow.RecordBatch) {
	t.Helper()
	table, err := pqarrow.ReadTable(context.Background(), bytes.NewReader(content), nil, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	for i := range everyType.Fields() {
		var columns []arrow.Array
		for _, rec := range want {
			columns = append(columns, rec.Column(i))
		}
		all, err := array.Concatenate(columns, memory.DefaultAllocator)
		if err != nil {
			t.Fatal(err)
		}
		got, err := array.Concatenate(table.Column(i).Data().Chunks(), memory.DefaultAllocator)
		if err != nil {
			t.Fatal(err)
		}
		if !array.ApproxEqual(all, got, array.WithNaNsEqual(true), array.WithAbsTolerance(0)) {
			t.Errorf("column %q has other values", everyType.Field(i).Name)
		}
	}
}

func compareStatistics(t *testing.T, content, reference []byte) {
	t.Helper()
	got, want := openFile(t, content), openFile(t, reference)
	if got.NumRowGroups() != want.NumRowGroups() || got.NumRows() != want.NumRows() {
		t.Fatalf("%d row groups of %d rows, want %d of %d", got.NumRowGroups(), got.NumRows(), want.NumRowGroups(), want.NumRows())
	}
	for g := range got.NumRowGroups() {
		for i, f := range everyType.Fields() {
			if g, w := statisticsOf(t, got, g, i), statisticsOf(t, want, g, i); g != w {
				t.Errorf("column %q has the statistics %s, want %s", f.Name, g, w)
			}
		}
	}
}

func openFile(t *testing.T, content []byte) *file.Reader {
	t.Helper()
	r, err := file.NewParquetReader(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func statisticsOf(t *testing.T, r *file.Reader, group, column int) string {
	t.Helper()
	chunk, err := r.MetaData().RowGroup(group).ColumnChunk(column)
	if err != nil {
		t.Fatal(err)
	}
	var s metadata.TypedStatistics
	if s, err = chunk.Statistics(); err != nil {
		t.Fatal(err)
	}
	if s == nil {
		return "none"
	}
	text := fmt.Sprintf("%d values, %d nulls", chunk.NumValues(), s.NullCount())
	if s.HasMinMax() {
		text += fmt.Sprintf(", %x to %x", s.EncodeMin(), s.EncodeMax())
	}
	return text
}

// TestOnlyFlatColumnsFit: the others are for the library.
func TestOnlyFlatColumnsFit(t *testing.T) {
	t.Parallel()
	long := nullable("a", arrow.PrimitiveTypes.Int64)
	for name, test := range map[string]struct {
		field arrow.Field
		more  parquet.WriterProperty
		want  bool
	}{
		"flat":             {long, parquet.WithDictionaryFor("b", true), true},
		"a dictionary":     {long, parquet.WithDictionaryFor("a", true), false},
		"never null":       {arrow.Field{Name: "a", Type: arrow.PrimitiveTypes.Int64}, parquet.WithStats(true), false},
		"a list":           {nullable("a", arrow.ListOf(arrow.PrimitiveTypes.Int64)), parquet.WithStats(true), false},
		"a struct":         {nullable("a", arrow.StructOf(long)), parquet.WithStats(true), false},
		"not Delta's type": {nullable("a", arrow.PrimitiveTypes.Uint64), parquet.WithStats(true), false},
	} {
		if got := parquetfile.Fits([]arrow.Field{long, test.field}, properties(test.more)); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestAPanicOfAnyColumnIsAnError: columns are encoded by several goroutines, in which a panic
// would end the process.
func TestAPanicOfAnyColumnIsAnError(t *testing.T) {
	t.Parallel()
	rows := randomRows(rand.New(rand.NewPCG(1, 1)), 1000, 0)
	for i := range everyType.Fields() {
		columns := append([]arrow.Array{}, rows.Columns()...)
		columns[i] = array.NewNull(1000)
		w, err := newLayout(t, properties()).NewWriter(&bytes.Buffer{})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(array.NewRecordBatch(withNull(i), columns, 1000)); fault.Of(err) != fault.ClassPermanent || fault.Stack(err) == "" {
			t.Errorf("%s: %v", everyType.Field(i).Name, err)
		}
	}
}

func withNull(at int) *arrow.Schema {
	fields := everyType.Fields()
	fields[at].Type = arrow.Null
	return arrow.NewSchema(fields, nil)
}

var errFull = errors.New("the disk is full")

// full takes so many bytes.
type full struct{ left int }

func (f *full) Write(b []byte) (int, error) {
	if len(b) > f.left {
		return 0, errFull
	}
	f.left -= len(b)
	return len(b), nil
}

// TestEveryFailedWriteIsAnError: no part of a file may be missing silently.
func TestEveryFailedWriteIsAnError(t *testing.T) {
	t.Parallel()
	l, rec := newLayout(t, properties()), randomRows(rand.New(rand.NewPCG(2, 2)), 2000, 0.1)
	size := len(writeOurs(t, l, []arrow.RecordBatch{rec}))
	for room := 0; room < size; room += 1 + size/97 {
		w, err := l.NewWriter(&full{left: room})
		if err == nil {
			err = w.Write(rec)
		}
		if err == nil {
			_, err = w.Close()
		}
		if !errors.Is(err, errFull) {
			t.Errorf("with room for %d of %d bytes: %v", room, size, err)
		}
	}
}

// TestMemoryIsUsedAgain: the second file of a table allocates next to nothing.
func TestMemoryIsUsedAgain(t *testing.T) {
	const rows = 20_000
	l, rec := newLayout(t, properties(parquet.WithDataPageSize(512<<10))), randomRows(rand.New(rand.NewPCG(3, 3)), rows, 0.1)
	var held int64
	one := func() {
		w, err := l.NewWriter(&full{left: math.MaxInt})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(rec); err != nil {
			t.Fatal(err)
		}
		held = w.Held()
		if err := w.Flush(); err != nil || w.Held() != 0 || w.Size() == 0 {
			t.Fatalf("%v; %d bytes are held of %d after a row group", err, w.Held(), w.Size())
		}
		if _, err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	one()
	result := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			one()
		}
	})
	if allocated := result.AllocedBytesPerOp(); allocated > held/5 {
		t.Errorf("a file of which %d bytes were held allocates %d", held, allocated)
	}
}
