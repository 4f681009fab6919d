package realdata

import (
	"errors"
	"io"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/ampipe/ampipe/pkg/sink"
)

// ReadParquet reads a file and sorts its rows by block if they are not.
func ReadParquet(t testing.TB, path string) Table {
	t.Helper()
	pf, err := file.OpenParquetFile(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer pf.Close()
	reader, err := pqarrow.NewFileReader(pf, pqarrow.ArrowReadProperties{BatchSize: 4096}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	schema, err := reader.Schema()
	if err != nil {
		t.Fatal(err)
	}
	records, err := reader.GetRecordReader(t.Context(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer records.Release()
	real := Table{Table: sink.Table{Pipeline: "real", Sink: "rows", Schema: schema, BlockColumn: blockColumn(schema), Epoch: 1}}
	for records.Next() {
		rec := records.RecordBatch()
		rec.Retain()
		real.Rows = append(real.Rows, rec)
	}
	if err := records.Err(); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	real.Rows = ascending(t, real)
	return real
}
