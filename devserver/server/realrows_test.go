package server_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ampipe/ampipe/devserver/server"
	"github.com/ampipe/ampipe/devserver/table"
	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
)

// datasets finds the folders that hold a folder of Parquet files per table.
func datasets(t *testing.T) map[string][]string {
	t.Helper()
	dir := realData(t)
	out := map[string][]string{}
	files, err := filepath.Glob(filepath.Join(dir, "*", "*", "*.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		dataset := filepath.Dir(filepath.Dir(f))
		if name := filepath.Base(filepath.Dir(f)); !slices.Contains(out[dataset], name) {
			out[dataset] = append(out[dataset], name)
		}
	}
	if len(out) == 0 {
		t.Fatalf("no Parquet files in %s", dir)
	}
	return out
}

// parquetRows reads every file of a table by the Parquet library alone.
func parquetRows(t *testing.T, dir string) (*arrow.Schema, []string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	var schema *arrow.Schema
	var rows []string
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r, err := file.NewParquetReader(f)
		if err != nil {
			t.Fatal(err)
		}
		reader, err := pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{}, allocator)
		if err != nil {
			t.Fatal(err)
		}
		whole, err := reader.ReadTable(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		schema = whole.Schema()
		batches := array.NewTableReader(whole, 0)
		for batches.Next() {
			rows = append(rows, textsOf(batches.RecordBatch())...)
		}
	}
	return schema, rows
}

func textsOf(b arrow.RecordBatch) []string {
	out := make([]string, b.NumRows())
	for i := range out {
		for _, c := range b.Columns() {
			out[i] += c.ValueStr(i) + "|"
		}
	}
	return out
}

// TestRealRowsServed compares every row of every file, value by value, with
// what comes over Flight: from the table itself, and through DuckDB.
func TestRealRowsServed(t *testing.T) {
	for dir, tables := range datasets(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			d, err := table.OpenParquet(table.Ref{Namespace: "_", Name: "real", Revision: "latest"}, dir, "")
			if err != nil {
				t.Fatal(err)
			}
			catalog := new(table.Catalog)
			if err := catalog.Add(d); err != nil {
				t.Fatal(err)
			}
			s := start(t, server.Options{Catalog: catalog})
			for _, name := range tables {
				t.Run(name, func(t *testing.T) { compareTable(t, s, name, filepath.Join(dir, name)) })
			}
		})
	}
}

func compareTable(t *testing.T, s *client, name, dir string) {
	stored, want := parquetRows(t, dir)
	if len(want) == 0 {
		t.Fatal("no rows to compare")
	}
	head, err := s.ask(t.Context(), fmt.Sprintf("SELECT * FROM real.%s LIMIT 0", name))
	if err != nil {
		t.Fatal(err)
	}
	ranges := metadata(t, head.data[1]).Ranges
	if len(ranges) != 1 {
		t.Fatalf("ranges are %v", ranges)
	}
	compareSchema(t, head.info.Schema, stored)
	all := "SELECT * FROM real." + name
	queries := map[string]string{
		"scan": all,
		"wrapped": fmt.Sprintf("SELECT * FROM (%s\n) AS q WHERE q._block_num >= %d AND q._block_num < %d ORDER BY q._block_num",
			all, ranges[0].Numbers.Start, ranges[0].Numbers.End),
		"DuckDB": all + " WHERE true ORDER BY _block_num",
	}
	for path, query := range queries {
		got, err := s.ask(t.Context(), query)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if string(got.info.Schema) != string(head.info.Schema) {
			t.Errorf("%s: another schema", path)
		}
		if rows := rowTexts(t, got.data, false); !slices.Equal(rows, want) {
			t.Errorf("%s: %d rows differ from the %d of the file%s", path, len(rows), len(want), firstDifference(rows, want))
		}
		if m := metadata(t, got.data[len(got.data)-1]); !m.Complete || !slices.Equal(m.Ranges, []amp.Range{ranges[0]}) {
			t.Errorf("%s: closes with %v", path, m)
		}
	}
}

func firstDifference(got, want []string) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf(": row %d is\n%s\nin the file\n%s", i, got[i], want[i])
		}
	}
	return ""
}

// compareSchema wants the types and nullability of the file and nothing else of
// it.
func compareSchema(t *testing.T, served []byte, stored *arrow.Schema) {
	t.Helper()
	got, err := flight.DeserializeSchema(served, allocator)
	if err != nil {
		t.Fatal(err)
	}
	if got.NumFields() != stored.NumFields() || got.HasMetadata() {
		t.Fatalf("the schema is %s", got)
	}
	for i, f := range got.Fields() {
		want := stored.Field(i)
		if f.Name != want.Name || f.Nullable != want.Nullable || !arrow.TypeEqual(f.Type, want.Type) || f.HasMetadata() {
			t.Errorf("column %d is %v, in the file %v", i, f, want)
		}
	}
}
