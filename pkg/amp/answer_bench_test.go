package amp

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/ampipe/ampipe/pkg/arrowguard/guardtest"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
)

// BenchmarkAnswer brings real rows from the bytes of Flight messages to entries, and
// once only to record batches, where the checks of package arrowguard are.
func BenchmarkAnswer(b *testing.B) {
	for _, table := range []string{"eth_rpc/logs", "eth_rpc/transactions", "eth_firehose/calls"} {
		messages, size, schema := realAnswer(b, table)
		b.Run(filepath.Base(table)+"/to batches", func(b *testing.B) { benchAnswer(b, messages, size, nil) })
		b.Run(filepath.Base(table)+"/to entries", func(b *testing.B) {
			encoder, err := entry.NewEncoder(schema, entry.S2, 64<<20)
			if err != nil {
				b.Fatal(err)
			}
			benchAnswer(b, messages, size, encoder)
		})
	}
}

func benchAnswer(b *testing.B, messages [][]byte, size int, encoder *entry.Encoder) {
	b.SetBytes(int64(size))
	b.ReportAllocs()
	alloc := &pooledAllocator{from: memory.DefaultAllocator}
	for b.Loop() {
		a, err := answered(messages, alloc)
		if err != nil {
			b.Fatal(err)
		}
		for {
			m, err := a.next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err == nil && encoder != nil {
				err = cut(encoder, m.Record)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
		a.close()
	}
}

// cut makes entries of one message: the next has the same blocks again.
func cut(encoder *entry.Encoder, rec arrow.RecordBatch) error {
	column := rec.Schema().FieldIndices("block_num")[0]
	cutter, err := entry.NewCutter(entry.CutOptions{Encoder: encoder, Column: column, Range: block.Range{End: block.Max}})
	if err != nil {
		return err
	}
	defer cutter.Release()
	if _, err = cutter.Push(rec); err == nil {
		_, err = cutter.Finish()
	}
	return err
}

// realAnswer is a table of real rows as a server sends it, in messages of some 2 MiB.
func realAnswer(b *testing.B, table string) (messages [][]byte, size int, schema *arrow.Schema) {
	root := os.Getenv("AMPIPE_REAL_DATA")
	if root == "" {
		b.Skip("AMPIPE_REAL_DATA is not set")
	}
	files, err := filepath.Glob(filepath.Join(root, table, "*.parquet"))
	if err != nil || len(files) == 0 {
		b.Fatalf("there is no %s (%v)", table, err)
	}
	raw, err := file.OpenParquetFile(files[0], false)
	if err != nil {
		b.Fatal(err)
	}
	defer raw.Close()
	r, err := pqarrow.NewFileReader(raw, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		b.Fatal(err)
	}
	all, err := r.ReadTable(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer all.Release()
	batches := array.NewTableReader(all, 4000)
	defer batches.Release()
	var recs []arrow.RecordBatch
	for batches.Next() {
		rec := batches.RecordBatch()
		rec.Retain()
		defer rec.Release()
		recs = append(recs, rec)
	}
	text := answerText(b, guardtest.Write(b, recs))
	messages = split(text)[1:]
	for range 4 { // a schema is read for many messages
		messages = append(messages, messages[1:]...)
	}
	for _, m := range messages {
		size += len(m)
	}
	return messages, size, all.Schema()
}
