package entry_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
)

// realFiles returns the files of AMPIPE_REAL_DATA that match; there must be some.
func realFiles(t *testing.T, pattern string) []string {
	root := os.Getenv("AMPIPE_REAL_DATA")
	if root == "" {
		t.Skip("AMPIPE_REAL_DATA is not set: real data is not tested")
	}
	files, err := filepath.Glob(filepath.Join(root, pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("AMPIPE_REAL_DATA has no files %s (%v)", pattern, err)
	}
	return files
}

// mustSurvive encodes rows with every codec and compares what is decoded.
func mustSurvive(t *testing.T, schema *arrow.Schema, recs []arrow.RecordBatch) {
	t.Helper()
	for _, codec := range codecs {
		e, err := mustEncoder(t, schema, codec, 1<<30).Encode(entry.Header{Range: block.Closed(1, 1)}, recs)
		if err != nil {
			t.Fatal(err)
		}
		got, rows, err := entry.NewDecoder(nil).Decode(e)
		if err != nil {
			t.Fatal(err)
		}
		if entry.Fingerprint(got) != entry.Fingerprint(schema) {
			t.Errorf("schema %v came back as %v", schema, got)
		}
		mustEqualRows(t, schema, rows, recs)
		releaseAll(rows)
	}
}

// TestRealRowsSurvive encodes every table there is, and cuts those that are in
// order of their blocks.
func TestRealRowsSurvive(t *testing.T) {
	for _, name := range realFiles(t, "*/*/*.parquet") {
		t.Run(filepath.Base(filepath.Dir(filepath.Dir(name)))+"/"+filepath.Base(filepath.Dir(name)), func(t *testing.T) {
			schema, recs := readParquet(t, name)
			defer releaseAll(recs)
			mustSurvive(t, schema, recs)
			column := -1
			for _, name := range []string{"block_num", "_block_num"} {
				if at := schema.FieldIndices(name); len(at) > 0 {
					column = at[0]
				}
			}
			if column < 0 {
				t.Fatal("no block column")
			}
			first, last, sorted := blockRange(recs, column)
			if !sorted {
				t.Logf("rows of %s are not in order of blocks: not cut", name)
				return
			}
			r := block.Closed(first-1, last+1)
			const limit = 200_000
			c := mustCutter(t, schema, column, r, 256<<10, limit)
			groups := mustCut(t, c, recs)
			mustEqualRows(t, schema, mustCover(t, groups, r, column, limit), recs)
		})
	}
}

func readParquet(t *testing.T, name string) (*arrow.Schema, []arrow.RecordBatch) {
	t.Helper()
	raw, err := file.OpenParquetFile(name, false)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	r, err := pqarrow.NewFileReader(raw, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	table, err := r.ReadTable(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer table.Release()
	batches := array.NewTableReader(table, 1000)
	defer batches.Release()
	var recs []arrow.RecordBatch
	for batches.Next() {
		rec := batches.RecordBatch()
		rec.Retain()
		recs = append(recs, rec)
	}
	return table.Schema(), recs
}

func blockRange(recs []arrow.RecordBatch, column int) (first, last block.Number, sorted bool) {
	sorted = true
	for i, rec := range recs {
		for row := range int(rec.NumRows()) {
			n := blockOf(rec, column, row)
			if i == 0 && row == 0 {
				first, last = n, n
			}
			sorted = sorted && n >= last
			first, last = min(first, n), max(last, n)
		}
	}
	return first, last, sorted
}

// TestRecordedAnswersSurvive encodes the rows of every answer a real server
// gave, with all types it can send.
func TestRecordedAnswersSurvive(t *testing.T) {
	answers := 0
	for _, name := range realFiles(t, "recorded/*/*.pb") {
		messages := readRecording(t, name)
		if len(messages.frames) == 0 {
			continue
		}
		r, err := ipc.NewReaderFromMessageReader(messages)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var recs []arrow.RecordBatch
		for r.Next() {
			rec := r.RecordBatch()
			rec.Retain()
			recs = append(recs, rec)
		}
		if r.Err() != nil {
			t.Logf("%s ends with %v", name, r.Err())
		}
		mustSurvive(t, r.Schema(), recs)
		releaseAll(recs)
		answers++
	}
	if answers == 0 {
		t.Error("no recording has an answer")
	}
}

// recording hands out the Arrow messages of a recorded answer.
type recording struct {
	frames [][2][]byte // metadata and body
	msg    *ipc.Message
}

// readRecording reads a file of length-delimited messages: a FlightInfo, then
// every FlightData.
func readRecording(t *testing.T, name string) *recording {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	out := &recording{}
	for i := 0; len(text) > 0; i++ {
		frame, n := protowire.ConsumeBytes(text)
		if n < 0 {
			t.Fatalf("%s is cut off", name)
		}
		text = text[n:]
		if i == 0 {
			continue
		}
		var parts [2][]byte
		for len(frame) > 0 {
			field, kind, n := protowire.ConsumeTag(frame)
			frame = frame[n:]
			if field != 2 && field != 1000 { // data_header, data_body
				frame = frame[protowire.ConsumeFieldValue(field, kind, frame):]
				continue
			}
			value, n := protowire.ConsumeBytes(frame)
			frame = frame[n:]
			parts[min(field-2, 1)] = bytes.Clone(value)
		}
		if len(parts[0]) > 0 {
			out.frames = append(out.frames, parts)
		}
	}
	return out
}

func (r *recording) Message() (*ipc.Message, error) {
	if len(r.frames) == 0 {
		return nil, io.EOF
	}
	frame := r.frames[0]
	r.frames = r.frames[1:]
	r.msg = ipc.NewMessage(memory.NewBufferBytes(frame[0]), memory.NewBufferBytes(frame[1]))
	return r.msg, nil
}

func (r *recording) Retain()  {}
func (r *recording) Release() {}
