package deadletter_test

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/deadletter"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/layout"
)

var update = flag.Bool("update", false, "write the golden files anew: the format of dead letters has changed, so raise it with its readers")

var logs = arrow.NewSchema([]arrow.Field{
	{Name: "_block_num", Type: arrow.PrimitiveTypes.Uint64},
	{Name: "address", Type: &arrow.FixedSizeBinaryType{ByteWidth: 4}},
	{Name: "data", Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: "value", Type: &arrow.Decimal128Type{Precision: 38, Scale: 2}, Nullable: true},
	{Name: "topics", Type: arrow.ListOf(arrow.BinaryTypes.Binary), Nullable: true},
	{Name: "word", Type: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int16, ValueType: arrow.BinaryTypes.String}, Nullable: true},
}, nil)

// rows are three rows of a block, the last two of which are equal.
func rows(t testing.TB) arrow.RecordBatch {
	t.Helper()
	rec, _, err := array.RecordFromJSON(memory.DefaultAllocator, logs, strings.NewReader(`[
		{"_block_num": 17, "address": "AQIDBA==", "data": "a\u0000b", "value": "12.50", "topics": ["AQ==", ""], "word": "first"},
		{"_block_num": 17, "address": "BQYHCA==", "data": null, "value": null, "topics": null, "word": "second"},
		{"_block_num": 17, "address": "BQYHCA==", "data": null, "value": null, "topics": null, "word": "second"}]`))
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

func letters(t testing.TB) map[string]deadletter.Letter {
	rec := rows(t)
	return map[string]deadletter.Letter{
		"value": {Block: 17, Row: 7, Column: "data", Value: "a\\x00b", Error: "a NUL character; cast it to a binary type",
			Origin: deadletter.Origin{Epoch: 2, Seq: 1234}, Source: rec.NewSlice(0, 1)},
		"row": {Block: 17, Row: 8, Error: "the server refuses it", Origin: deadletter.Origin{Live: true, Epoch: 2, Seq: 1235}, Source: rec.NewSlice(1, 2)},
	}
}

func encode(t testing.TB, l deadletter.Letter) deadletter.Message {
	t.Helper()
	e, err := deadletter.NewEncoder(l.Source.Schema(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	m, err := e.Encode(l)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func headerText(m map[string][]string) string {
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&text, "%s: %s\n", key, m[key][0])
	}
	return text.String()
}

// wantLetter fails unless two letters are the same.
func wantLetter(t *testing.T, name string, got, want deadletter.Letter) {
	t.Helper()
	same := got.Block == want.Block && got.Row == want.Row && got.Column == want.Column && got.Value == want.Value &&
		got.Error == want.Error && got.Origin == want.Origin
	for i, column := range want.Source.Columns() {
		same = same && layout.Text(got.Source.Column(i), 0) == layout.Text(column, 0) && got.Source.ColumnName(i) == want.Source.ColumnName(i)
	}
	if !same || got.Source.NumCols() != want.Source.NumCols() {
		t.Errorf("%s: %+v\nwant %+v", name, got, want)
	}
}

// TestGolden pins the format: what is written today has the headers of the files, and the
// files read back.
func TestGolden(t *testing.T) {
	for name, want := range letters(t) {
		m := encode(t, want)
		headers, payload := filepath.Join("testdata", name+".headers"), filepath.Join("testdata", name+".payload")
		if *update {
			if err := os.WriteFile(headers, []byte(headerText(m.Header)), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(payload, m.Payload, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		text, err := os.ReadFile(headers)
		if err != nil {
			t.Fatal(err)
		}
		if got := headerText(m.Header); got != string(text) {
			t.Errorf("%s: headers are\n%swant\n%s", name, got, text)
		}
		stored, err := os.ReadFile(payload)
		if err != nil {
			t.Fatal(err)
		}
		header := map[string][]string{}
		for line := range strings.Lines(string(text)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			header[key] = []string{value}
		}
		for _, payload := range [][]byte{stored, m.Payload} {
			got, err := deadletter.Decode(header, payload)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			wantLetter(t, name, got, want)
		}
	}
}

// TestIDs pins the ids: they are subjects, and what a letter is found by.
func TestIDs(t *testing.T) {
	t.Parallel()
	hashes := deadletter.RowsOf(rows(t))
	ids, parts := deadletter.NewIDs(0, 0), deadletter.NewIDs(2, 3)
	var got []string
	for i := range 3 {
		got = append(got, ids.Next(hashes.Content(i)))
	}
	got = append(got, parts.Next(hashes.Content(0)))
	text := strings.Join(got, "\n") + "\n"
	const file = "testdata/ids"
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("the ids are\n%swant\n%s", text, want)
	}
	if deadletter.ContentOf(got[1]) != deadletter.ContentOf(got[2]) || deadletter.ContentOf(got[0]) != deadletter.ContentOf(got[3]) {
		t.Errorf("equal rows differ in content: %v", got)
	}
	if got[1] == got[2] || got[0] == got[3] {
		t.Errorf("different rows have one id: %v", got)
	}
}

// TestLayouts holds that a row has one hash however its array is laid out.
func TestLayouts(t *testing.T) {
	t.Parallel()
	for _, c := range layout.Columns() {
		schema := withBlocks(c)
		for _, one := range c.Cases {
			if one.Array.Len() == 0 {
				continue
			}
			here, there := deadletter.RowsOf(layout.Batch(schema, 5, one.Array)), deadletter.RowsOf(layout.Batch(schema, 5, one.Plain))
			for i := range one.Array.Len() {
				if here.Content(i) != there.Content(i) {
					t.Errorf("%s: %s: the hash of row %d depends on the layout", c.Name, one.Name, i)
				}
			}
		}
	}
}

// TestLettersOfLayouts holds that a row comes back from its letter.
func TestLettersOfLayouts(t *testing.T) {
	t.Parallel()
	for _, c := range layout.Some() {
		schema := withBlocks(c)
		e, err := deadletter.NewEncoder(schema, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for k, one := range c.Cases {
			if one.Array.Len() == 0 {
				continue
			}
			i := k % one.Array.Len()
			row := layout.Batch(schema, 5, one.Array).NewSlice(int64(i), int64(i)+1)
			m, err := e.Encode(deadletter.Letter{Block: 5, Row: i, Error: "no", Source: row})
			if err != nil {
				t.Errorf("%s: %s: row %d: %v", c.Name, one.Name, i, err)
				continue
			}
			got, err := deadletter.Decode(m.Header, m.Payload)
			if err != nil {
				t.Errorf("%s: %s: row %d: %v", c.Name, one.Name, i, err)
				continue
			}
			if text, want := layout.Text(got.Source.Column(1), 0), layout.Text(one.Plain, i); text != want {
				t.Errorf("%s: %s: row %d comes back as %s, want %s", c.Name, one.Name, i, text, want)
			}
		}
	}
}

func withBlocks(c layout.Column) *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{{Name: "block_num", Type: arrow.PrimitiveTypes.Uint64}, {Name: "v", Type: c.Type, Nullable: true}}, nil)
}

// TestALetterHasOnlyItsWord of a dictionary: a letter is of one row.
func TestALetterHasOnlyItsWord(t *testing.T) {
	t.Parallel()
	b := array.NewDictionaryBuilder(memory.DefaultAllocator, logs.Field(5).Type.(*arrow.DictionaryType)).(*array.BinaryDictionaryBuilder)
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		if err := b.AppendString(fmt.Sprintf("%x", [2]uint64{rnd.Uint64(), rnd.Uint64()})); err != nil {
			t.Fatal(err)
		}
	}
	words := b.NewArray()
	schema := arrow.NewSchema([]arrow.Field{logs.Field(5)}, nil)
	rec := array.NewRecordBatch(schema, []arrow.Array{words}, int64(words.Len()))
	want := deadletter.Letter{Block: 1, Error: "no", Source: rec.NewSlice(777, 778)}
	m := encode(t, want)
	if len(m.Payload) > 8<<10 {
		t.Errorf("a letter of one word takes %d bytes", len(m.Payload))
	}
	got, err := deadletter.Decode(m.Header, m.Payload)
	if err != nil {
		t.Fatal(err)
	}
	if text, want := layout.Text(got.Source.Column(0), 0), layout.Text(words, 777); text != want {
		t.Errorf("the word is %s, want %s", text, want)
	}
}

// TestWhatIsNoLetter is an error and no panic.
func TestWhatIsNoLetter(t *testing.T) {
	t.Parallel()
	whole := encode(t, letters(t)["value"])
	with := func(key, value string) map[string][]string {
		m := maps.Clone(whole.Header)
		m[key] = []string{value}
		if value == "" {
			delete(m, key)
		}
		return m
	}
	e, err := entry.NewEncoder(logs, entry.None, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	data, err := e.Encode(entry.Header{Range: block.Closed(17, 17)}, []arrow.RecordBatch{rows(t).NewSlice(0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	asLetter := data.Map()
	asLetter["Ampipe-Seq"] = []string{"1"}
	for name, m := range map[string]deadletter.Message{
		"no sequence":      {Header: with("Ampipe-Seq", ""), Payload: whole.Payload},
		"another sequence": {Header: with("Ampipe-Seq", "x"), Payload: whole.Payload},
		"another block":    {Header: with("Ampipe-From", "16"), Payload: whole.Payload},
		"other rows":       {Header: with("Ampipe-Rows", "2"), Payload: whole.Payload},
		"other blocks":     {Header: with("Ampipe-To", "18"), Payload: whole.Payload},
		"cut off":          {Header: whole.Header, Payload: whole.Payload[:len(whole.Payload)/2]},
		"an entry":         {Header: data.Map(), Payload: data.Payload},
		"other columns":    {Header: asLetter, Payload: data.Payload},
		"nothing":          {},
	} {
		if l, err := deadletter.Decode(m.Header, bytes.Clone(m.Payload)); err == nil {
			t.Errorf("%s is read as %+v", name, l)
		}
	}
}

func TestVoidAfter(t *testing.T) {
	t.Parallel()
	live, history := deadletter.Origin{Live: true, Epoch: 2, Seq: 100}, deadletter.Origin{Epoch: 2, Seq: 100}
	for _, c := range []struct {
		epoch, seq    uint64
		live, history bool
	}{{2, 101, true, true}, {2, 100, false, true}, {2, 99, false, true}, {3, 1, true, true}, {1, 1000, false, false}} {
		if got := live.VoidAfter(c.epoch, c.seq); got != c.live {
			t.Errorf("a live row after change %d of epoch %d: %v", c.seq, c.epoch, got)
		}
		if got := history.VoidAfter(c.epoch, c.seq); got != c.history {
			t.Errorf("a row of history after change %d of epoch %d: %v", c.seq, c.epoch, got)
		}
	}
}
