package delta_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"google.golang.org/protobuf/proto"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/sink"
)

// realData gives the files that match a pattern below AMPIPE_REAL_DATA.
func realData(t *testing.T, pattern string) (dir string, files []string) {
	t.Helper()
	dir = os.Getenv("AMPIPE_REAL_DATA")
	if dir == "" {
		t.Skip("AMPIPE_REAL_DATA is not set; it names the folder of real rows and recordings")
	}
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files %s in AMPIPE_REAL_DATA: %v", pattern, err)
	}
	return dir, files
}

// realTable is a table of the source with all its rows, ascending by block.
type realTable struct {
	table sink.Table
	rows  []arrow.RecordBatch
}

// changes gives the rows as entries of one block each, and the range of all.
func (r realTable) changes() []sink.Change {
	var changes []sink.Change
	for _, rec := range r.rows {
		blocks, err := sink.BlocksOf(rec, r.table.BlockColumn)
		if err != nil {
			panic(err)
		}
		for from := 0; from < blocks.Len(); {
			n := blocks.At(from)
			to := blocks.Search(n + 1)
			piece := rec.NewSlice(int64(from), int64(to))
			if last := len(changes) - 1; last >= 0 && changes[last].Range.Has(n) {
				changes[last].Records = append(changes[last].Records, piece)
				changes[last].Rows += to - from
			} else {
				changes = append(changes, changeOf(block.Closed(n, n), piece))
			}
			from = to
		}
	}
	return changes
}

// blockColumn finds the block column as the planner does.
func blockColumn(s *arrow.Schema) int {
	for _, name := range []string{"_block_num", "block_num", "slot"} {
		if at := s.FieldIndices(name); len(at) == 1 {
			return at[0]
		}
	}
	return -1
}

func readParquet(t *testing.T, path string) realTable {
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
	real := realTable{table: sink.Table{Pipeline: "real", Sink: "rows", Schema: schema, BlockColumn: blockColumn(schema), Epoch: 1}}
	for records.Next() {
		rec := records.RecordBatch()
		rec.Retain()
		real.rows = append(real.rows, rec)
	}
	if err := records.Err(); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	real.rows = ascending(t, real)
	return real
}

// ascending cuts records where blocks go back, and puts the pieces in order.
func ascending(t *testing.T, real realTable) []arrow.RecordBatch {
	t.Helper()
	type piece struct {
		first block.Number
		rec   arrow.RecordBatch
	}
	var pieces []piece
	for _, rec := range real.rows {
		blocks, err := sink.BlocksOf(rec, real.table.BlockColumn)
		if err != nil {
			t.Fatal(err)
		}
		for from := 0; from < blocks.Len(); {
			to := from + 1
			for to < blocks.Len() && blocks.At(to) == blocks.At(from) {
				to++
			}
			pieces = append(pieces, piece{blocks.At(from), rec.NewSlice(int64(from), int64(to))})
			from = to
		}
	}
	slices.SortStableFunc(pieces, func(a, b piece) int { return int(int64(a.first) - int64(b.first)) })
	sorted := make([]arrow.RecordBatch, len(pieces))
	for i, p := range pieces {
		sorted[i] = p.rec
	}
	return sorted
}

// readRecording decodes the messages of a recording: a FlightInfo, then
// FlightData.
func readRecording(t *testing.T, path string) (realTable, bool) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(bytes.NewReader(raw))
	var messages []*flight.FlightData
	for n := 0; ; n++ {
		size, err := binary.ReadUvarint(in)
		if errors.Is(err, io.EOF) {
			break
		}
		body := make([]byte, size)
		if _, err := io.ReadFull(in, body); err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			continue
		}
		var data flight.FlightData
		if err := proto.Unmarshal(body, &data); err != nil {
			t.Fatal(err)
		}
		messages = append(messages, &data)
	}
	if len(messages) == 0 {
		return realTable{}, false
	}
	reader, err := flight.NewRecordReader(&messageStream{messages: messages})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Release()
	schema := reader.Schema()
	real := realTable{table: sink.Table{Pipeline: "real", Sink: "rows", Schema: schema, BlockColumn: blockColumn(schema), Epoch: 1}}
	if real.table.BlockColumn < 0 {
		return realTable{}, false
	}
	for reader.Next() {
		rec := reader.RecordBatch()
		if rec.Column(real.table.BlockColumn).NullN() > 0 {
			return realTable{}, false
		}
		rec.Retain()
		real.rows = append(real.rows, rec)
	}
	// A recorded failure breaks off.
	real.rows = ascending(t, real)
	return real, len(real.rows) > 0
}

// messageStream hands out recorded messages.
type messageStream struct{ messages []*flight.FlightData }

func (s *messageStream) Recv() (*flight.FlightData, error) {
	if len(s.messages) == 0 {
		return nil, io.EOF
	}
	m := s.messages[0]
	s.messages = s.messages[1:]
	return m, nil
}

func changeOf(r block.Range, recs ...arrow.RecordBatch) sink.Change {
	c := sink.Change{Header: entry.Header{Kind: entry.Data, Epoch: 1, Range: r, End: r.End}, Records: recs}
	for _, rec := range recs {
		c.Rows += int(rec.NumRows())
	}
	return c
}
