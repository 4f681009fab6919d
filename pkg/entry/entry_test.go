package entry_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/klauspost/compress/s2"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
)

var codecs = []entry.Codec{entry.None, entry.S2, entry.Zstd}

func mustEncoder(t testing.TB, schema *arrow.Schema, codec entry.Codec, limit int) *entry.Encoder {
	t.Helper()
	enc, err := entry.NewEncoder(schema, codec, limit)
	if err != nil {
		t.Fatal(err)
	}
	return enc
}

func numbers(from, n int) []block.Number {
	out := make([]block.Number, n)
	for i := range out {
		out[i] = block.Number(from + i)
	}
	return out
}

var header = entry.Header{Epoch: 2, Network: "mainnet", Range: block.Closed(10, 19), End: 40}

func TestRoundTrip(t *testing.T) {
	rnd := newRand(t)
	for _, codec := range codecs {
		mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
		enc := mustEncoder(t, everything, codec, 1<<20)
		dec := entry.NewDecoder(mem)
		for _, sizes := range [][]int{{100}, {}, {0}, {3, 0, 400, 1}, {1, 1, 1, 1}, {700, 800}} {
			var recs []arrow.RecordBatch
			for _, n := range sizes {
				recs = append(recs, record(rnd, mem, everything, everythingBlock, numbers(10, n), 60))
			}
			e, err := enc.Encode(header, recs)
			if err != nil {
				t.Fatal(err)
			}
			if e.Kind != entry.Data || e.Epoch != 2 || e.Range != header.Range || e.Schema != entry.Fingerprint(everything) {
				t.Errorf("header is %+v", e.Header)
			}
			schema, got, err := dec.Decode(e)
			if err != nil {
				t.Fatal(err)
			}
			if !schema.Equal(everything) {
				t.Errorf("schema is %v", schema)
			}
			mustEqualRows(t, everything, got, recs)
			releaseAll(got)
			releaseAll(recs)
		}
		mem.AssertSize(t, 0)
	}
}

// TestTinyPayload: one so small that a compressor may leave out its size.
func TestTinyPayload(t *testing.T) {
	schema := arrow.NewSchema([]arrow.Field{{Name: "n", Type: arrow.PrimitiveTypes.Int64}}, nil)
	for _, codec := range codecs {
		e, err := mustEncoder(t, schema, codec, 1<<20).Encode(header, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, recs, err := entry.NewDecoder(nil).Decode(e); err != nil || len(recs) != 0 {
			t.Errorf("%s: %d batches, %v", codec, len(recs), err)
		}
	}
}

// TestSliceCarriesOnlyItself encodes a few rows of a large batch: the payload
// must not hold the rest of its buffers.
func TestSliceCarriesOnlyItself(t *testing.T) {
	rnd := newRand(t)
	rec := record(rnd, memory.DefaultAllocator, everything, everythingBlock, numbers(0, 3000), 200)
	slice := rec.NewSlice(1000, 1010)
	enc := mustEncoder(t, everything, entry.None, 32<<10)
	e, err := enc.Encode(header, []arrow.RecordBatch{slice})
	if err != nil {
		t.Fatal(err)
	}
	_, got, err := entry.NewDecoder(nil).Decode(e)
	if err != nil {
		t.Fatal(err)
	}
	mustEqualRows(t, everything, got, []arrow.RecordBatch{slice})
}

func TestTinyBatchesBecomeOne(t *testing.T) {
	rnd := newRand(t)
	var recs []arrow.RecordBatch
	for i := range 500 {
		recs = append(recs, record(rnd, memory.DefaultAllocator, plain, 0, numbers(i, 1), 30))
	}
	e, err := mustEncoder(t, plain, entry.None, 1<<20).Encode(header, recs)
	if err != nil {
		t.Fatal(err)
	}
	_, got, err := entry.NewDecoder(nil).Decode(e)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 {
		t.Errorf("%d batches", len(got))
	}
	mustEqualRows(t, plain, got, recs)
}

func TestCodecIsSkippedWhenItDoesNotPay(t *testing.T) {
	rnd := newRand(t)
	noise := record(rnd, memory.DefaultAllocator, plain, 0, numbers(0, 500), 2000)
	for _, codec := range []entry.Codec{entry.S2, entry.Zstd} {
		enc := mustEncoder(t, plain, codec, 4<<20)
		e, err := enc.Encode(header, []arrow.RecordBatch{noise})
		if err != nil || e.Codec != entry.None {
			t.Errorf("noise was stored with codec %s (%v)", e.Codec, err)
		}
		if _, _, err := entry.NewDecoder(nil).Decode(e); err != nil {
			t.Error(err)
		}
	}
}

// TestOversizedIsCompressedAnyway: an encoder that has given up on compression
// still tries it before it calls an entry too large.
func TestOversizedIsCompressedAnyway(t *testing.T) {
	rnd := newRand(t)
	noise := record(rnd, memory.DefaultAllocator, plain, 0, numbers(0, 100), 1000)
	zeros := array.NewRecordBuilder(memory.DefaultAllocator, plain)
	zeros.Field(0).(*array.Int64Builder).Append(7)
	zeros.Field(1).(*array.Uint32Builder).Append(7)
	zeros.Field(2).(*array.BinaryBuilder).Append(make([]byte, 1<<20))
	enc := mustEncoder(t, plain, entry.S2, 256<<10)
	if e, err := enc.Encode(header, []arrow.RecordBatch{noise}); err != nil || e.Codec != entry.None {
		t.Fatalf("codec %s, %v", e.Codec, err)
	}
	if e, err := enc.Encode(header, []arrow.RecordBatch{zeros.NewRecordBatch()}); err != nil || e.Codec != entry.S2 {
		t.Errorf("codec %s, %v", e.Codec, err)
	}
}

func TestTooLarge(t *testing.T) {
	rnd := newRand(t)
	noise := record(rnd, memory.DefaultAllocator, plain, 0, numbers(0, 100), 1000)
	_, err := mustEncoder(t, plain, entry.S2, 10_000).Encode(header, []arrow.RecordBatch{noise})
	var large *entry.TooLargeError
	if !errors.As(err, &large) || large.Limit != 10_000 || large.Size < 25_000 {
		t.Errorf("error is %v", err)
	}
}

func TestEncodeRefusesAnotherSchema(t *testing.T) {
	rnd := newRand(t)
	other := record(rnd, memory.DefaultAllocator, everything, everythingBlock, numbers(0, 1), 10)
	if _, err := mustEncoder(t, plain, entry.None, 1<<20).Encode(header, []arrow.RecordBatch{other}); err == nil {
		t.Error("rows of another schema were encoded")
	}
}

func TestHeaderRoundTrip(t *testing.T) {
	hash := block.Hash{1, 2, 3}
	for _, h := range []entry.Header{
		{Kind: entry.Data, Codec: entry.S2, Epoch: 3, Network: "base", Range: block.Closed(0, 0), Rows: 7, Schema: "abc", End: 9},
		{Kind: entry.Data, Codec: entry.None, Range: block.Closed(5, 5), Schema: "abc", Part: 0, Parts: 2, Batch: "ff"},
		{Kind: entry.Watermark, Epoch: 1, Network: "mainnet", Range: block.Closed(7, 9), Hash: hash, Prev: block.Hash{9}},
		{Kind: entry.Invalidate, Network: "mainnet", Range: block.Closed(block.Max-1, block.Max)},
	} {
		var payload []byte
		if h.Kind == entry.Data {
			payload = []byte("x")
		}
		m := h.Map()
		m["Nats-Something"] = []string{"else"}
		got, err := entry.Parse(m, payload)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, entry.Entry{Header: h, Payload: payload}) {
			t.Errorf("%+v reads back as %+v", h, got.Header)
		}
	}
}

func TestParseNamesTheBadHeader(t *testing.T) {
	good := entry.Header{Kind: entry.Data, Codec: entry.None, Network: "n", Range: block.Closed(5, 5), Schema: "abc", Part: 1, Parts: 2, Batch: "ff"}
	for _, c := range []struct{ header, value string }{
		{"Ampipe-Kind", ""}, {"Ampipe-Kind", "rows"},
		{"Ampipe-Codec", ""}, {"Ampipe-Codec", "lz4"},
		{"Ampipe-Epoch", ""}, {"Ampipe-Epoch", "-1"}, {"Ampipe-Epoch", "1e3"},
		{"Ampipe-From", ""}, {"Ampipe-From", "6 "}, {"Ampipe-From", "9223372036854775807"},
		{"Ampipe-To", ""}, {"Ampipe-To", "4"}, {"Ampipe-To", "18446744073709551615"},
		{"Ampipe-Rows", ""}, {"Ampipe-Rows", "-1"}, {"Ampipe-Rows", "99999999999"},
		{"Ampipe-Schema", ""},
		{"Ampipe-End", "x"},
		{"Ampipe-Hash", "0x12"}, {"Ampipe-Prev", "zz"},
		{"Ampipe-Part", "2/2"}, {"Ampipe-Part", "1"}, {"Ampipe-Part", "-1/2"}, {"Ampipe-Part", "1/2/3"},
	} {
		m := good.Map()
		m[c.header] = []string{c.value}
		if c.value == "" {
			delete(m, c.header)
		}
		_, err := entry.Parse(m, []byte("x"))
		var bad *entry.HeaderError
		if !errors.As(err, &bad) || bad.Name != c.header || !strings.Contains(err.Error(), c.header) {
			t.Errorf("%s %q gives %v", c.header, c.value, err)
		}
	}
	m := good.Map()
	m["Ampipe-Rows"] = []string{"0", "0"}
	if _, err := entry.Parse(m, []byte("x")); err == nil {
		t.Error("a header given twice is accepted")
	}
	if _, err := entry.Parse(good.Map(), nil); err == nil {
		t.Error("data without a payload is accepted")
	}
	if _, err := entry.Parse(entry.Header{Kind: entry.Watermark}.Map(), []byte("x")); err == nil {
		t.Error("a watermark with a payload is accepted")
	}
}

func TestDecodeRefusesWhatDoesNotMatch(t *testing.T) {
	rnd := newRand(t)
	rec := record(rnd, memory.DefaultAllocator, plain, 0, numbers(10, 300), 40)
	for _, codec := range codecs {
		whole, err := mustEncoder(t, plain, codec, 1<<20).Encode(header, []arrow.RecordBatch{rec})
		if err != nil {
			t.Fatal(err)
		}
		for name, change := range map[string]func(*entry.Entry){
			"row count":   func(e *entry.Entry) { e.Rows++ },
			"fingerprint": func(e *entry.Entry) { e.Schema = "0" },
			"codec":       func(e *entry.Entry) { e.Codec = "lz4" },
			"cut off":     func(e *entry.Entry) { e.Payload = e.Payload[:len(e.Payload)-9] },
			"kind":        func(e *entry.Entry) { e.Kind = entry.Watermark },
			"trailing":    func(e *entry.Entry) { e.Payload = append(bytes.Clone(e.Payload), 1, 2, 3, 4, 5, 6, 7, 8) },
		} {
			e := whole
			change(&e)
			if _, _, err := entry.NewDecoder(nil).Decode(e); err == nil {
				t.Errorf("%s: %s is accepted", codec, name)
			}
		}
	}
}

func TestDecodeIsBounded(t *testing.T) {
	dec := entry.NewDecoder(nil)
	dec.Limit = 1 << 20
	e := entry.Entry{Header: header}
	e.Kind, e.Codec, e.Payload = entry.Data, entry.S2, s2.EncodeSnappy(nil, make([]byte, 1<<21))
	if _, _, err := dec.Decode(e); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("a payload over the limit gives %v", err)
	}
}

// TestDecodeSharesPayload: without compression nothing is copied, and rows at
// an address Arrow cannot use are.
func TestDecodeSharesPayload(t *testing.T) {
	rnd := newRand(t)
	rec := record(rnd, memory.DefaultAllocator, plain, 0, numbers(10, 300), 40)
	e, err := mustEncoder(t, plain, entry.None, 1<<20).Encode(header, []arrow.RecordBatch{rec})
	if err != nil {
		t.Fatal(err)
	}
	shares := func(e entry.Entry) bool {
		_, recs, err := entry.NewDecoder(nil).Decode(e)
		if err != nil {
			t.Fatal(err)
		}
		mustEqualRows(t, plain, recs, []arrow.RecordBatch{rec})
		p := uintptr(unsafe.Pointer(unsafe.SliceData(recs[0].Column(0).(*array.Int64).Int64Values())))
		start := uintptr(unsafe.Pointer(unsafe.SliceData(e.Payload)))
		return p >= start && p < start+uintptr(len(e.Payload))
	}
	if !shares(e) {
		t.Error("the payload was copied")
	}
	e.Payload = append([]byte{0}, e.Payload...)[1:]
	if shares(e) {
		t.Error("rows lie at an odd address")
	}
}

func TestFingerprint(t *testing.T) {
	base := func() []arrow.Field { return append([]arrow.Field(nil), everything.Fields()...) }
	want := entry.Fingerprint(everything)
	same := base()
	same[0].Nullable = !same[0].Nullable
	same[2].Metadata = arrow.NewMetadata([]string{"k"}, []string{"v"})
	same[12].Type = arrow.ListOfField(arrow.Field{Name: "element", Type: same[12].Type.(*arrow.ListType).Elem()})
	meta := arrow.NewMetadata([]string{"k"}, []string{"v"})
	if entry.Fingerprint(arrow.NewSchema(same, &meta)) != want {
		t.Error("metadata, nullability or the name of list items counts")
	}
	seen := map[string]int{want: -1}
	for i, change := range []func([]arrow.Field){
		func(f []arrow.Field) { f[0].Name = "addr" },
		func(f []arrow.Field) { f[0], f[1] = f[1], f[0] },
		func(f []arrow.Field) { f[0].Type = &arrow.FixedSizeBinaryType{ByteWidth: 32} },
		func(f []arrow.Field) { f[9].Type = &arrow.Decimal128Type{Precision: 37} },
		func(f []arrow.Field) { f[9].Type = &arrow.Decimal256Type{Precision: 38} },
		func(f []arrow.Field) { f[10].Type = &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "+00:00"} },
		func(f []arrow.Field) { f[10].Type = &arrow.TimestampType{Unit: arrow.Nanosecond} },
		func(f []arrow.Field) { f[12].Type = arrow.ListOf(arrow.PrimitiveTypes.Uint8) },
		func(f []arrow.Field) { f[13].Type = arrow.FixedSizeListOf(4, arrow.PrimitiveTypes.Float32) },
		func(f []arrow.Field) { f[14].Type = arrow.MapOf(arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int64) },
	} {
		fields := base()
		change(fields)
		print := entry.Fingerprint(arrow.NewSchema(fields, nil))
		if other, taken := seen[print]; taken {
			t.Errorf("change %d has the fingerprint of change %d", i, other)
		}
		seen[print] = i
	}
}

func TestSchemaRoundTrip(t *testing.T) {
	b, err := entry.MarshalSchema(everything)
	if err != nil {
		t.Fatal(err)
	}
	got, err := entry.UnmarshalSchema(b)
	if err != nil || !got.Equal(everything) {
		t.Errorf("reads back as %v (%v)", got, err)
	}
	for i := range b {
		_, _ = entry.UnmarshalSchema(b[:i])
	}
}

// TestAnyReaderReads: the payload is a stream that Arrow's own reader takes.
func TestAnyReaderReads(t *testing.T) {
	rec := record(rand.New(rand.NewPCG(1, 1)), memory.DefaultAllocator, everything, everythingBlock, numbers(0, 50), 20)
	e, err := mustEncoder(t, everything, entry.None, 1<<20).Encode(header, []arrow.RecordBatch{rec})
	if err != nil {
		t.Fatal(err)
	}
	r, err := ipc.NewReader(bytes.NewReader(e.Payload))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	var got []arrow.RecordBatch
	for r.Next() {
		r.RecordBatch().Retain()
		got = append(got, r.RecordBatch())
	}
	mustEqualRows(t, everything, got, []arrow.RecordBatch{rec})
}
