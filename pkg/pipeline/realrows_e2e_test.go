package pipeline_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/ampipe/ampipe/pkg/progress"
)

// TestRealRowsThroughTheCommands loads every table of every dataset that is
// there, in both modes, through the real commands, and compares every value
// with what the development server read from the files. (That the server sends
// what is in the files, and that the database returns what is in the batches, are
// tests of their packages.)
func TestRealRowsThroughTheCommands(t *testing.T) {
	t.Parallel()
	root := os.Getenv("AMPIPE_REAL_DATA")
	if root == "" {
		t.Skip("AMPIPE_REAL_DATA is not set: no real rows")
	}
	tables, err := filepath.Glob(filepath.Join(root, "*", "*", "*.parquet"))
	if err != nil || len(tables) == 0 {
		t.Fatalf("no Parquet files in AMPIPE_REAL_DATA (%v)", err)
	}
	e := newCommandEnv(t)
	var serve []string
	seen := map[string]bool{}
	for _, path := range tables {
		dir := filepath.Dir(filepath.Dir(path))
		if !seen[dir] {
			seen[dir] = true
			serve = append(serve, "--parquet", filepath.Base(dir)+"="+dir)
		}
	}
	amp, _ := e.devserver(serve...)
	for _, path := range tables {
		table := filepath.Base(filepath.Dir(path))
		dataset := filepath.Base(filepath.Dir(filepath.Dir(path)))
		rows := readParquet(t, path)
		defer rows.Release()
		first, last := blockRange(t, rows)
		for _, mode := range []string{"append", "upsert"} {
			t.Run(dataset+"/"+table+"/"+mode, func(t *testing.T) {
				options := ""
				if mode == "upsert" {
					options = fmt.Sprintf(", mode: upsert, key: [%s]", strings.Join(uniqueKey(t, rows), ", "))
				}
				name := strings.Join([]string{dataset, table, mode}, "_")
				file := e.file(name+".yaml", fmt.Sprintf(`pipeline: %[1]s
source: { amp: "%[2]s", query: 'SELECT * FROM %[3]s.%[4]s' }
range: { min_block: %[5]d, max_block: %[6]d }
nats: { embedded: ./nats-%[1]s }
sinks: [{ name: warehouse, postgres: { dsn: "${DATABASE_URL}", schema: %[7]s, table: %[1]s%[8]s } }]
`, name, amp, dataset, table, first, last+1, e.schema, options))
				e.must("ampipe", "run", "-c", file)
				out := e.must("ampipe", "verify", "-c", file)
				if want := progress.Counted(rows.NumRows(), "row"); !strings.Contains(out, want) {
					t.Errorf("the file has %s, verify prints %s", want, out)
				}
				if n := e.number(fmt.Sprintf("SELECT count(*) FROM %s.%s", e.schema, name)); n != rows.NumRows() {
					t.Errorf("%d rows in the table, %d in the file", n, rows.NumRows())
				}
			})
		}
	}
}

func readParquet(t *testing.T, path string) arrow.Table {
	t.Helper()
	f, err := file.OpenParquetFile(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // it was only read
	reader, err := pqarrow.NewFileReader(f, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	table, err := reader.ReadTable(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// blockRange returns the lowest and the highest value of the block column.
func blockRange(t *testing.T, table arrow.Table) (first, last uint64) {
	t.Helper()
	found := table.Schema().FieldIndices("_block_num")
	if len(found) == 0 {
		found = table.Schema().FieldIndices("block_num")
	}
	if len(found) == 0 {
		t.Fatalf("no block column in %v", table.Schema())
	}
	for i, text := range values(table, found[0]) {
		var n uint64
		if _, err := fmt.Sscan(text, &n); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = n
		}
		first, last = min(first, n), max(last, n)
	}
	return first, last
}

// uniqueKey finds columns that tell all rows apart, as few as possible.
func uniqueKey(t *testing.T, table arrow.Table) []string {
	t.Helper()
	n := int(table.NumCols())
	columns := make([][]string, 0, n)
	for i := range n {
		columns = append(columns, values(table, i))
	}
	for size := 1; size <= 3; size++ {
		if key := search(columns, nil, 0, size); key != nil {
			names := make([]string, len(key))
			for i, c := range key {
				names[i] = table.Schema().Field(c).Name
			}
			return names
		}
	}
	t.Fatal("no three columns tell the rows apart")
	return nil
}

func search(columns [][]string, chosen []int, from, size int) []int {
	if size == 0 {
		seen := map[string]bool{}
		for row := range columns[0] {
			key := ""
			for _, c := range chosen {
				if columns[c][row] == "" || columns[c][row] == "(null)" {
					return nil // a key has no nulls
				}
				key += columns[c][row] + "\x00"
			}
			if seen[key] {
				return nil
			}
			seen[key] = true
		}
		return chosen
	}
	for c := from; c < len(columns); c++ {
		if key := search(columns, append(chosen[:len(chosen):len(chosen)], c), c+1, size-1); key != nil {
			return key
		}
	}
	return nil
}

// values returns a column as text.
func values(table arrow.Table, column int) []string {
	var out []string
	for _, chunk := range table.Column(column).Data().Chunks() {
		for i := range chunk.Len() {
			out = append(out, chunk.ValueStr(i))
		}
	}
	return out
}
