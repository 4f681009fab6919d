package table_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ampipe/ampipe/devserver/table"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var schema = arrow.NewSchema([]arrow.Field{
	{Name: "_block_num", Type: arrow.PrimitiveTypes.Uint64},
	{Name: "block_num", Type: arrow.PrimitiveTypes.Uint64},
	{Name: "data", Type: arrow.BinaryTypes.Binary, Nullable: true},
}, nil)

// MustWrite writes a file with three rows per block, in row groups of two
// blocks; own is added to block_num.
func MustWrite(t *testing.T, path string, schema *arrow.Schema, blocks []uint64, own uint64, metadata string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := pqarrow.NewFileWriter(schema, f, parquet.NewWriterProperties(parquet.WithMaxRowGroupLength(6)),
		pqarrow.NewArrowWriterProperties(pqarrow.WithStoreSchema()))
	if err != nil {
		t.Fatal(err)
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for _, n := range blocks {
		for i := range 3 {
			for c, f := range schema.Fields() {
				switch f.Name {
				case "_block_num":
					b.Field(c).(*array.Uint64Builder).Append(n)
				case "block_num":
					b.Field(c).(*array.Uint64Builder).Append(n + own)
				case "data":
					b.Field(c).(*array.BinaryBuilder).Append(fmt.Appendf(nil, "%d/%d", n, i))
				}
			}
		}
	}
	if metadata != "" {
		if err := w.AppendKeyValueMetadata("nozzle_metadata", metadata); err != nil {
			t.Fatal(err)
		}
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	if err := w.WriteBuffered(batch); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// hash makes a hash of one digit.
func hash(digit string) string { return "0x" + strings.Repeat(digit, 64) }

func segment(start, end uint64, prev, last string) string {
	return fmt.Sprintf(`{"table":"t","ranges":[{"numbers":{"start":%d,"end":%d},"network":"net","hash":"%s","prev_hash":"%s","timestamp":7}]}`,
		start, end, hash(last), hash(prev))
}

func open(dir, network string) (*table.Dataset, error) {
	return table.OpenParquet(table.Ref{Namespace: "_", Name: "ds", Revision: "latest"}, dir, network)
}

// values returns the data column of a range.
func values(t *testing.T, s table.Snapshot, r block.Range) []string {
	t.Helper()
	var out []string
	for batch, err := range s.Scan(t.Context(), r, []int{2}) {
		if err != nil {
			t.Fatal(err)
		}
		if batch.NumCols() != 1 || batch.NumRows() == 0 {
			t.Fatalf("a batch of %d columns and %d rows", batch.NumCols(), batch.NumRows())
		}
		for i := range int(batch.NumRows()) {
			out = append(out, string(batch.Column(0).(*array.Binary).Value(i)))
		}
		batch.Release()
	}
	return out
}

func expected(blocks ...uint64) []string {
	var out []string
	for _, n := range blocks {
		for i := range 3 {
			out = append(out, fmt.Sprintf("%d/%d", n, i))
		}
	}
	return out
}

// TestVisibleChain: files are followed by hash from the earliest on; what does
// not link up is not there (AP 2).
func TestVisibleChain(t *testing.T) {
	dir := t.TempDir()
	MustWrite(t, dir+"/t/a.parquet", schema, []uint64{11, 12, 15}, 0, segment(10, 19, "0", "a"))
	MustWrite(t, dir+"/t/b.parquet", schema, []uint64{20, 21}, 0, segment(20, 29, "f", "b")) // another fork
	MustWrite(t, dir+"/t/c.parquet", schema, []uint64{25}, 0, segment(20, 29, "a", "c"))
	MustWrite(t, dir+"/t/d.parquet", schema, nil, 0, segment(35, 39, "c", "d")) // numbers have gaps, hashes have none
	MustWrite(t, dir+"/t/e.parquet", schema, []uint64{52}, 0, segment(50, 59, "e", "e"))
	d, err := open(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	s := d.Tables["t"].Source.Snapshot()
	r, found := s.Range()
	if !found || r.Network != "net" || d.Network != "net" || r.Numbers != block.Closed(10, 39) ||
		r.Hash.String() != hash("d") || r.Prev.String() != hash("0") || r.Timestamp.Unix() != 7 {
		t.Fatalf("the range is %+v", r)
	}
	for _, test := range []struct {
		r    block.Range
		want []string
	}{
		{block.Range{End: block.Max}, expected(11, 12, 15, 25)},
		{block.Closed(12, 24), expected(12, 15)},
		{block.Closed(13, 14), nil},
		{block.Closed(15, 25), expected(15, 25)},
		{block.Range{Start: 9, End: 3}, nil},
	} {
		if got := values(t, s, test.r); !slices.Equal(got, test.want) {
			t.Errorf("%v gives %v, want %v", test.r, got, test.want)
		}
	}
	if rows := s.Rows(block.Range{End: block.Max}); rows != 12 {
		t.Errorf("counts %d rows", rows)
	}
	if got := values(t, s.Until(12), block.Range{End: block.Max}); !slices.Equal(got, expected(11, 12)) {
		t.Errorf("until 12: %v", got)
	}
	if _, found := s.Until(5).Range(); found {
		t.Error("a head below the table leaves something")
	}
	if cut, _ := s.Until(12).Range(); cut.Numbers != block.Closed(10, 12) || cut.Hash == r.Hash || cut.Hash.IsZero() || cut.Prev != r.Prev {
		t.Errorf("until 12: range %+v", cut)
	}
}

// TestWithoutMetadata: the range is that of the rows, and the network must be
// said.
func TestWithoutMetadata(t *testing.T) {
	dir := t.TempDir()
	MustWrite(t, dir+"/t/a.parquet", schema, []uint64{3, 4}, 0, "")
	MustWrite(t, dir+"/t/b.parquet", schema, []uint64{9}, 0, "")
	MustWrite(t, dir+"/u/a.parquet", schema, []uint64{3, 4}, 1000, "")
	if _, err := open(dir, ""); err == nil {
		t.Error("opened without a network")
	}
	d, err := open(dir, "mine")
	if err != nil {
		t.Fatal(err)
	}
	if r, found := d.Tables["t"].Source.Snapshot().Range(); !found || r.Network != "mine" || r.Numbers != block.Closed(3, 9) || r.Hash.IsZero() || r.Prev.IsZero() {
		t.Errorf("the range is %+v", r)
	}
	if got := d.Tables["t"].Numbers; !slices.Equal(got, []string{"_block_num", "block_num"}) {
		t.Errorf("block numbers are in %v", got)
	}
	if got := d.Tables["u"].Numbers; !slices.Equal(got, []string{"_block_num"}) {
		t.Errorf("a column of other numbers is taken for the block's: %v", got)
	}
}

func TestOpenRefuses(t *testing.T) {
	other := arrow.NewSchema(schema.Fields()[:2], nil)
	nameless := arrow.NewSchema(schema.Fields()[1:], nil)
	for what, write := range map[string]func(dir string){
		"nothing":         func(string) {},
		"an empty table":  func(dir string) { _ = os.Mkdir(dir+"/t", 0o755) },
		"no block column": func(dir string) { MustWrite(t, dir+"/t/a.parquet", nameless, []uint64{1}, 0, "") },
		"unsorted rows":   func(dir string) { MustWrite(t, dir+"/t/a.parquet", schema, []uint64{2, 1}, 0, "") },
		"broken metadata": func(dir string) { MustWrite(t, dir+"/t/a.parquet", schema, []uint64{1}, 0, "{") },
		"no range":        func(dir string) { MustWrite(t, dir+"/t/a.parquet", schema, []uint64{1}, 0, `{"ranges":[]}`) },
		"not Parquet": func(dir string) {
			_ = os.Mkdir(dir+"/t", 0o755)
			_ = os.WriteFile(dir+"/t/a.parquet", []byte("x"), 0o600)
		},
		"different schema": func(dir string) {
			MustWrite(t, dir+"/t/a.parquet", schema, []uint64{1}, 0, "")
			MustWrite(t, dir+"/t/b.parquet", other, []uint64{2}, 0, "")
		},
	} {
		dir := t.TempDir()
		write(dir)
		if _, err := open(dir, "net"); err == nil {
			t.Errorf("%s: was opened", what)
		}
	}
}

// TestScansTogether: many readers of one file get the same rows.
func TestScansTogether(t *testing.T) {
	dir := t.TempDir()
	MustWrite(t, dir+"/t/a.parquet", schema, []uint64{1, 2, 3, 4, 5, 6, 7, 8}, 0, "")
	d, err := open(dir, "net")
	if err != nil {
		t.Fatal(err)
	}
	var readers sync.WaitGroup
	for i := range 8 {
		readers.Go(func() {
			n := block.Number(i + 1)
			if got := values(t, d.Tables["t"].Source.Snapshot(), block.Closed(n, n)); !slices.Equal(got, expected(uint64(n))) {
				t.Errorf("block %d gives %v", n, got)
			}
		})
	}
	readers.Wait()
}

func TestCatalog(t *testing.T) {
	c := new(table.Catalog)
	add := func(ref string) *table.Dataset {
		t.Helper()
		parsed, err := table.ParseRef(ref)
		if err != nil {
			t.Fatal(err)
		}
		d := &table.Dataset{Ref: parsed, Network: "n", Tables: map[string]*table.Table{"t": {Name: "t"}}}
		if err := c.Add(d); err != nil {
			t.Fatal(err)
		}
		return d
	}
	old, recent, other := add("ds@1.0.0"), add("ds@1.1.0"), add("ns/ds")
	for name, want := range map[string]*table.Dataset{
		"ds": recent, "_/ds": recent, "ds@latest": recent, "_/ds@dev": recent, "ds@1.0.0": old, "ds@1.1.0": recent,
		"ns/ds": other, "ns/ds@latest": other, "ds@9.9.9": nil, "nope": nil, "": nil, "ds@": nil, "/ds": nil, "ns/ds@1.0.0": nil,
	} {
		if got, _, found := c.Find(name, "t"); got != want || found != (want != nil) {
			t.Errorf("%q finds %v (%v)", name, got, found)
		}
		if _, _, found := c.Find(name, "nope"); found {
			t.Errorf("%q has a table that it has not", name)
		}
	}
	if c.Add(old) == nil || c.Add(&table.Dataset{Network: "n"}) == nil || c.Add(&table.Dataset{Tables: old.Tables}) == nil {
		t.Error("a dataset was added that cannot be served")
	}
}
