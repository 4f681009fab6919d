package delta_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/delta"
)

func nullableField(name string, t arrow.DataType) arrow.Field {
	return arrow.Field{Name: name, Type: t, Nullable: true}
}

// tableWith is a table of a block column and others.
func tableWith(fields ...arrow.Field) sink.Table {
	all := append([]arrow.Field{{Name: "block_num", Type: arrow.PrimitiveTypes.Uint64}}, fields...)
	return sink.Table{Pipeline: "suite", Sink: "lake", Schema: arrow.NewSchema(all, nil), Epoch: 1, Network: "suitenet"}
}

// commitRaw writes a version of a table by hand.
func commitRaw(t *testing.T, folder string, version int, actions ...any) {
	t.Helper()
	var lines []string
	for _, a := range actions {
		line, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(line))
	}
	path := filepath.Join(folder, "_delta_log", fmt.Sprintf("%020d.json", version))
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o666); err != nil {
		t.Fatal(err)
	}
}

type object = map[string]any

func rawProtocol(reader, writer int, features ...string) object {
	p := object{"minReaderVersion": reader, "minWriterVersion": writer}
	if features != nil {
		p["writerFeatures"] = features
	}
	return object{"protocol": p}
}

func rawMetaData(configuration object, fields ...object) object {
	schema, _ := json.Marshal(object{"type": "struct", "fields": fields})
	return object{"metaData": object{"id": "x", "format": object{"provider": "parquet", "options": object{}},
		"schemaString": string(schema), "partitionColumns": []string{}, "configuration": configuration}}
}

func rawField(name, typ string, nullable bool) object {
	return object{"name": name, "type": typ, "nullable": nullable, "metadata": object{}}
}

// TestWhatCannotWorkIsRefused goes through what users get wrong: each is one
// permanent error with the fix, and nothing is written.
func TestWhatCannotWorkIsRefused(t *testing.T) {
	t.Parallel()
	text := arrow.BinaryTypes.String
	plain := tableWith(nullableField("value", arrow.PrimitiveTypes.Int64))
	fitting := []object{rawField("block_num", "long", true), rawField("value", "long", true)}
	existing := func(actions ...any) func(*testing.T, *config.Delta) {
		return func(t *testing.T, c *config.Delta) { commitRaw(t, c.Path, 0, actions...) }
	}
	for name, c := range map[string]struct {
		table   sink.Table
		prepare func(*testing.T, *config.Delta)
		want    []string
	}{
		"a space in a name":         {table: tableWith(nullableField("my value", text)), want: []string{`"my value"`, "AS my_value"}},
		"a brace in a field":        {table: tableWith(nullableField("s", arrow.StructOf(nullableField("a{b", text)))), want: []string{`"a{b"`, "rename"}},
		"a column without a name":   {table: tableWith(nullableField("", text)), want: []string{"no name", "AS"}},
		"names that differ by case": {table: tableWith(nullableField("v", text), nullableField("V", text)), want: []string{"differ by case only"}},
		"no type":                   {table: tableWith(nullableField("u", arrow.SparseUnionOf([]arrow.Field{nullableField("a", text)}, []arrow.UnionTypeCode{0}))), want: []string{`"u"`, "cast"}},
		"a negative scale":          {table: tableWith(nullableField("d", &arrow.Decimal128Type{Precision: 5, Scale: -2})), want: []string{`"d"`, "scale"}},
		"an empty struct":           {table: tableWith(nullableField("s", arrow.StructOf())), want: []string{`"s"`, "without fields"}},
		"a block column of text":    {table: sink.Table{Schema: arrow.NewSchema([]arrow.Field{nullableField("block_num", text)}, nil)}, want: []string{"block_num", "integer"}},
		"unknown compression":       {table: plain, prepare: func(_ *testing.T, c *config.Delta) { c.Compression = "lzo" }, want: []string{`"lzo"`, "zstd(1)"}},
		"unknown partition column":  {table: plain, prepare: func(_ *testing.T, c *config.Delta) { c.PartitionBy = []config.Partition{{Column: "nope"}} }, want: []string{`"nope"`, `"value"`}},
		"partition by bytes":        {table: tableWith(nullableField("b", arrow.BinaryTypes.Binary)), prepare: func(_ *testing.T, c *config.Delta) { c.PartitionBy = []config.Partition{{Column: "b"}} }, want: []string{`"b"`, "binary"}},
		"buckets of text":           {table: tableWith(nullableField("s", text)), prepare: func(_ *testing.T, c *config.Delta) { c.PartitionBy = []config.Partition{{Column: "s", Bucket: 5}} }, want: []string{`"s"`, "integers"}},
		"every column a partition":  {table: tableWith(), prepare: func(_ *testing.T, c *config.Delta) { c.PartitionBy = []config.Partition{{Column: "block_num"}} }, want: []string{"every column"}},
		"unknown dictionary column": {table: plain, prepare: func(_ *testing.T, c *config.Delta) { c.Dictionary = []string{"nope"} }, want: []string{`"nope"`}},
		"a file stands there":       {table: plain, prepare: func(t *testing.T, c *config.Delta) { writeFile(t, c.Path, "x") }, want: []string{"not a directory", "a file stands where"}},
		"something else lies there": {table: plain, prepare: func(t *testing.T, c *config.Delta) { writeFile(t, filepath.Join(c.Path, "notes.txt"), "x") }, want: []string{"no Delta table", "notes.txt", "empty folder"}},
		"a broken log": {table: plain, prepare: func(t *testing.T, c *config.Delta) {
			writeFile(t, filepath.Join(c.Path, "_delta_log/00000000000000000000.json"), "{")
		}, want: []string{"line 1", "not an action"}},
		"a hole in the log":         {table: plain, prepare: func(t *testing.T, c *config.Delta) { commitRaw(t, c.Path, 1, rawProtocol(1, 2)) }, want: []string{"version 0 is missing", "damaged"}},
		"a newer protocol":          {table: plain, prepare: existing(rawProtocol(2, 5), rawMetaData(object{}, fitting...)), want: []string{"reader version 2", "column mapping"}},
		"a feature":                 {table: plain, prepare: existing(rawProtocol(1, 7, "appendOnly", "rowTracking"), rawMetaData(object{}, fitting...)), want: []string{"rowTracking"}},
		"append only":               {table: plain, prepare: existing(rawProtocol(1, 2), rawMetaData(object{"delta.appendOnly": "true"}, fitting...)), want: []string{"delta.appendOnly", "reorg", "false"}},
		"transactions that expire":  {table: plain, prepare: existing(rawProtocol(1, 2), rawMetaData(object{"delta.setTransactionRetentionDuration": "7 days"}, fitting...)), want: []string{"setTransactionRetentionDuration", "unset"}},
		"another type":              {table: plain, prepare: existing(rawProtocol(1, 2), rawMetaData(object{}, rawField("block_num", "long", true), rawField("value", "string", true))), want: []string{`"value"`, "string", "long", "another path"}},
		"a missing column":          {table: plain, prepare: existing(rawProtocol(1, 2), rawMetaData(object{}, rawField("block_num", "long", true))), want: []string{`"value"`, "missing"}},
		"a column too many":         {table: plain, prepare: existing(rawProtocol(1, 2), rawMetaData(object{}, append(fitting, rawField("more", "long", true))...)), want: []string{`"more"`}},
		"a column that must be set": {table: plain, prepare: existing(rawProtocol(1, 2), rawMetaData(object{}, rawField("block_num", "long", false), rawField("value", "long", true))), want: []string{`"block_num"`, "NULL"}},
		"other partitions": {table: plain, prepare: func(t *testing.T, c *config.Delta) {
			existing(rawProtocol(1, 2), rawMetaData(object{}, fitting...))(t, c)
			c.PartitionBy = []config.Partition{{Column: "value"}}
		}, want: []string{"partition_by", `["value"]`}},
		"the table of another sink": {table: plain, prepare: existing(rawProtocol(1, 2), rawMetaData(object{}, fitting...), object{"txn": object{"appId": "ampipe:other:lake", "version": 7}}), want: []string{`sink "lake" of the pipeline "other"`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := inFolder(t)
			if c.prepare != nil {
				c.prepare(t, &d.cfg)
			}
			before := tree(t, filepath.Dir(d.cfg.Path))
			for what, open := range map[string]func(*delta.Writer) error{
				"open":  func(w *delta.Writer) error { return w.Open(t.Context(), c.table) },
				"check": func(w *delta.Writer) error { return w.Check(t.Context(), c.table) },
			} {
				w := d.writer()
				err := open(w)
				if fault.Of(err) != fault.ClassPermanent || err == nil {
					t.Fatalf("%s: %v, want a permanent error", what, err)
				}
				for _, want := range append(c.want, d.cfg.Path) {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("%s does not say %q: %v", what, want, err)
					}
				}
				if err := w.Close(); err != nil {
					t.Error(err)
				}
			}
			if after := tree(t, filepath.Dir(d.cfg.Path)); after != before {
				t.Errorf("the folder went from\n%s\nto\n%s", before, after)
			}
		})
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

// tree lists all files below a folder with their sizes.
func tree(t *testing.T, folder string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.Walk(folder, func(path string, info os.FileInfo, err error) error {
		if err == nil {
			fmt.Fprintln(&b, path, info.Mode(), info.Size()*int64(1-btoi(info.IsDir())))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func btoi(v bool) int {
	if v {
		return 1
	}
	return 0
}

// TestOpenMakesTheTableOnce opens from several writers at the same time.
func TestOpenMakesTheTableOnce(t *testing.T) {
	places(t, func(t *testing.T, d *table) {
		done := make(chan error, 8)
		for range cap(done) {
			go func() {
				w := d.writer()
				err := w.Open(t.Context(), suiteTable())
				_ = w.Close()
				done <- err
			}()
		}
		for range cap(done) {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if _, err := delta.Replay(t.Context(), d.store, 0); err != nil {
			t.Error(err)
		}
		if _, err := delta.Replay(t.Context(), d.store, 1); err == nil {
			t.Error("a second version was made")
		}
	})
}

// TestATableThatIsThereIsUsed appends to rows of somebody else, or begins empty.
func TestATableThatIsThereIsUsed(t *testing.T) {
	t.Parallel()
	for _, overwrite := range []bool{false, true} {
		d := inFolder(t)
		p := deltalake(t, d)
		s := &teller{t: t, w: d.open(t, suiteTable())}
		s.history(0, 5)
		other := suiteTable()
		other.Pipeline = "another"
		if err := d.writer().Open(t.Context(), other); fault.Of(err) != fault.ClassPermanent {
			t.Errorf("a second pipeline opens the table: %v", err)
		}
		// The same rows as a table without our transactions.
		foreign := inFolder(t)
		foreign.cfg.Overwrite = overwrite
		commitRaw(t, foreign.cfg.Path, 0, rawProtocol(1, 2), rawMetaData(object{}, rawField("key", "string", true),
			rawField("block_num", "long", true), rawField("log_index", "integer", true), rawField("value", "long", true)))
		q := python{t, foreign}
		q.number("append", "3")
		s = &teller{t: t, w: foreign.open(t, suiteTable())}
		want := 1
		if overwrite {
			want = 0
		}
		if n := len(q.rows()); n != want {
			t.Errorf("overwrite: %v leaves %d rows", overwrite, n)
		}
		s.history(10, 20)
		again := foreign.open(t, suiteTable()) // does not empty it again
		if state, err := again.State(t.Context()); err != nil || !state.Coverage.Equal(block.NewSet(block.Range{Start: 10, End: 20})) {
			t.Errorf("state is %+v, %v", state, err)
		}
		if n := len(q.rows()); n != want+30 {
			t.Errorf("%d rows, want %d", n, want+30)
		}
		_ = p
	}
}

func TestRightsAreNamed(t *testing.T) {
	t.Parallel()
	if os.Getuid() == 0 {
		// The administrator may write everywhere but where nobody may.
		cfg := defaults()
		cfg.Path = "/proc/ampipe"
		d := &table{cfg: cfg}
		if err := d.writer().Open(t.Context(), suiteTable()); err == nil || !strings.Contains(err.Error(), "/proc") {
			t.Errorf("open in /proc: %v", err)
		}
		return
	}
	d := inFolder(t)
	if err := os.Chmod(filepath.Dir(d.cfg.Path), 0o500); err != nil {
		t.Fatal(err)
	}
	err := d.writer().Open(t.Context(), suiteTable())
	if fault.Of(err) != fault.ClassPermanent || err == nil || !strings.Contains(err.Error(), "give this user the right") {
		t.Errorf("open without rights: %v", err)
	}
}

func TestDescribeAndWarnings(t *testing.T) {
	t.Parallel()
	cfg := defaults()
	cfg.Path = "/lake/t"
	cfg.PartitionBy = []config.Partition{{Column: "block_num", Bucket: 1000}}
	as := tableWith(nullableField("nothing", arrow.Null), nullableField("fee", arrow.PrimitiveTypes.Uint64),
		nullableField("tags", arrow.ListOf(arrow.StructOf(nullableField("k", arrow.BinaryTypes.String)))))
	got, err := delta.New(cfg).Describe(as)
	want := "-- column \"nothing\" is always NULL, has no type, and is left out of the Delta table; cast it in the query to keep it\n" +
		"CREATE TABLE delta.`/lake/t` (\n    `block_num` long,\n    `fee` decimal(20,0),\n    `tags` array<struct<k: string>>,\n" +
		"    `block_num_bucket` long\n) USING DELTA PARTITIONED BY (`block_num_bucket`);\n"
	if err != nil || got != want {
		t.Errorf("describe gives\n%s\n%v\nwant\n%s", got, err, want)
	}
	if w := delta.New(cfg).Warnings(as); len(w) != 1 {
		t.Errorf("warnings are %q", w)
	}
}
