package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// rows is an entry of the table small: a row for each block of [from, to), whose
// n counts from 0.
func rows(from, to block.Number) sink.Change {
	b := array.NewRecordBuilder(memory.DefaultAllocator, small.Schema)
	defer b.Release()
	for n := from; n < to; n++ {
		b.Field(0).(*array.Uint64Builder).Append(uint64(n))
		b.Field(1).(*array.Int64Builder).Append(int64(n - from))
		b.Field(2).(*array.StringBuilder).Append(fmt.Sprintf("b%d", n))
	}
	return sinktest.ChangeOf(block.Range{Start: from, End: to}, b.NewRecordBatch())
}

// integers is a record of one column called n.
func integers(dt arrow.DataType, values ...int) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema([]arrow.Field{{Name: "n", Type: dt}}, nil))
	defer b.Release()
	for _, v := range values {
		if err := b.Field(0).AppendValueFromString(fmt.Sprint(v)); err != nil {
			panic(err)
		}
	}
	return b.NewRecordBatch()
}

// live makes a change one of the live lane.
func live(c sink.Change, seq, after uint64) sink.Change {
	c.Live, c.Seq, c.After, c.Epoch, c.End = true, seq, after, 1, 0
	return c
}

// insist repeats until it works.
func insist(ctx context.Context, w sink.Writer, changes ...sink.Change) error {
	return fault.Retry(ctx, fault.Backoff{Attempts: 10, Min: time.Millisecond, Max: 100 * time.Millisecond},
		func(ctx context.Context) error { _, err := w.Apply(ctx, changes); return err }, nil)
}

func TestManyWritersWriteOnce(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	db := newDatabase(t)
	cfg := db.config()
	cfg.Writers = 6
	writers := []sink.Writer{open(t, cfg, small), open(t, cfg, small)}
	const blocks = 600
	var group sync.WaitGroup
	for g := range 16 {
		group.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, uint64(g)))
			for range 15 {
				var some []sink.Change
				for range 1 + rnd.IntN(3) {
					from := block.Number(rnd.IntN(blocks))
					some = append(some, rows(from, min(blocks, from+1+block.Number(rnd.IntN(40)))))
				}
				if err := insist(context.Background(), writers[g%2], some...); err != nil {
					t.Error(err)
				}
			}
			from, to := block.Number(g*blocks/16), block.Number((g+1)*blocks/16)
			if err := insist(context.Background(), writers[g%2], rows(from, to)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if got, want := db.text("SELECT concat_ws(' ', count(*), count(DISTINCT block_num), min(block_num), max(block_num)) FROM t"), fmt.Sprintf("%d %[1]d 0 %d", blocks, blocks-1); got != want {
		t.Errorf("rows, blocks, first and last: %s, want %s", got, want)
	}
	if got := db.text("SELECT string_agg(blocks::text || parts::text, ' ') FROM ampipe.coverage"); got != fmt.Sprintf("[0,%d)[0,2147483647)", blocks) {
		t.Errorf("coverage is %s, want one row", got)
	}
}

// The rule of the table, not of the program, is what makes twice impossible.
func TestCoverageCannotOverlap(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	w := open(t, db.config(), small)
	if _, err := w.Apply(t.Context(), []sink.Change{rows(10, 20)}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		values string
		ok     bool
	}{
		{"(1, '[19,25)', DEFAULT, NULL, NULL)", false},
		{"(1, '[12,13)', '[0,1)', 'b', 3)", false},
		{"(1, '[30,31)', '[0,2)', 'b', 3)", true},
		{"(1, '[30,31)', '[1,2)', 'b', 3)", false},
		{"(1, '[30,31)', '[2,2147483647)', 'b', 3)", true},
		{"(1, '[25,35)', DEFAULT, NULL, NULL)", false},
		{"(1, '[20,25)', DEFAULT, NULL, NULL)", true},
		{"(2, '[10,20)', DEFAULT, NULL, NULL)", false}, // no such table
		{"(1, '[50,51)', '[0,1)', NULL, NULL)", false},
		{"(1, '[50,51)', DEFAULT, 'b', 1)", false},
		{"(1, 'empty', DEFAULT, NULL, NULL)", false},
	} {
		_, err := db.Exec(t.Context(), "INSERT INTO ampipe.coverage (table_id, blocks, parts, batch, parts_of) VALUES "+c.values)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.values, err)
		}
	}
	s, err := w.State(t.Context())
	if want := block.NewSet(block.Range{Start: 10, End: 25}); err != nil || !s.Coverage.Equal(want) {
		t.Errorf("coverage is read as %v: %v", s.Coverage, err)
	}
}

func TestRowsThatTheTableRefusesAreNamed(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	for i, c := range []struct {
		rule, want string
	}{
		{`CHECK (n <> 7)`, "check"},
		{`CONSTRAINT c CHECK ("Name" <> 'b17')`, "check"},
		{`UNIQUE ("Name")`, "upsert"},
	} {
		cfg := db.config()
		cfg.Table = fmt.Sprintf("t%d", i)
		db.run(fmt.Sprintf(`CREATE TABLE %s (block_num bigint, n bigint, "Name" text, %s)`, cfg.Table, c.rule))
		if c.want == "upsert" {
			db.run(fmt.Sprintf(`INSERT INTO %s VALUES (0, 1, 'b17')`, cfg.Table))
		}
		w := open(t, cfg, small)
		_, err := w.Apply(t.Context(), []sink.Change{rows(0, 5), rows(10, 20)})
		var bad *sink.BadRowError
		if !errors.As(err, &bad) || fault.Of(err) != fault.ClassPermanent {
			t.Fatalf("%s: answered with %v", c.rule, err)
		}
		if bad.Block != 17 || bad.Row != 7 || !strings.Contains(bad.Reason, c.want) {
			t.Errorf("%s: named as %v", c.rule, bad)
		}
	}
	db.run(`CREATE TABLE nn (block_num bigint, n bigint, "Name" text NOT NULL)`)
	cfg := db.config()
	cfg.Table = "nn"
	w := open(t, cfg, small)
	c := rows(0, 3)
	b := array.NewStringBuilder(memory.DefaultAllocator)
	b.AppendValues([]string{"a", "", ""}, []bool{true, true, false})
	c.Records[0] = array.NewRecordBatch(small.Schema, []arrow.Array{c.Records[0].Column(0), c.Records[0].Column(1), b.NewArray()}, 3)
	_, err := w.Apply(t.Context(), []sink.Change{c})
	var bad *sink.BadRowError
	if !errors.As(err, &bad) || bad.Block != 2 || bad.Row != 2 || bad.Column != "Name" {
		t.Errorf("a NULL where none may be is named as %v", err)
	}
}

// Rows that others replace are not sent, and do not count as lines.
func TestRefusedRowIsNamedAmongReplacedOnes(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	cfg := db.config()
	upsertByN(&cfg)
	db.run(`CREATE TABLE t (block_num bigint, n bigint PRIMARY KEY, "Name" text CHECK ("Name" <> 'b22'))`)
	w := open(t, cfg, small)
	_, err := w.Apply(t.Context(), []sink.Change{rows(0, 5), rows(10, 20), rows(20, 24)})
	var bad *sink.BadRowError
	if !errors.As(err, &bad) || bad.Block != 22 || bad.Row != 2 {
		t.Errorf("row 2, of block 22, is named as %v", err)
	}
}

func TestNullInKeyIsNamed(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	cfg := db.config()
	upsertByN(&cfg)
	w := open(t, cfg, small)
	c := rows(0, 4)
	b := array.NewInt64Builder(memory.DefaultAllocator)
	b.AppendValues([]int64{1, 2, 0, 0}, []bool{true, true, false, false})
	c.Records[0] = array.NewRecordBatch(small.Schema, []arrow.Array{c.Records[0].Column(0), b.NewArray(), c.Records[0].Column(2)}, 4)
	_, err := w.Apply(t.Context(), []sink.Change{c})
	var bad *sink.BadRowError
	if !errors.As(err, &bad) || bad.Block != 2 || bad.Row != 2 || bad.Column != "n" || !strings.Contains(bad.Reason, "NULL") {
		t.Errorf("a NULL in the key is named as %v", err)
	}
}

func TestUpsertCountsWhatItWrote(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	cfg := db.config()
	upsertByN(&cfg)
	w := open(t, cfg, small)
	for _, c := range []struct {
		change sink.Change
		rows   uint64
	}{
		{rows(100, 110), 10},
		{rows(200, 205), 5}, // replaces n of 0 to 4
		{rows(0, 20), 10},   // too old, but for n of 10 to 19
		{rows(150, 155), 0}, // older than what is there now
		{rows(150, 160), 5},
	} {
		got, err := w.Apply(t.Context(), []sink.Change{c.change})
		if err != nil || got.Rows != c.rows {
			t.Errorf("blocks %v: %+v, want %d rows: %v", c.change.Range, got, c.rows, err)
		}
	}
	if got := db.text(`SELECT string_agg(block_num::text, ' ' ORDER BY n) FROM t`); got != "200 201 202 203 204 155 156 157 158 159 10 11 12 13 14 15 16 17 18 19" {
		t.Errorf("blocks by key: %s", got)
	}
}

// Rows that are in the table already, just as they are, are not written again; the others
// are, also if PostgreSQL calls them equal.
func TestRowsThatAreThereAreNotWrittenAgain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, change string
		again        int // of ten rows
	}{
		{"all are there", "SELECT", 0},
		{"one has another value", `UPDATE t SET "Name" = 'other' WHERE block_num = 13`, 10},
		{"one is missing", "DELETE FROM t WHERE block_num = 13", 10},
		{"one has no value", `UPDATE t SET "Name" = NULL WHERE block_num = 13`, 10},
		{"one is equal, and looks different", "UPDATE t SET n = 3.0 WHERE block_num = 13", 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t)
			// No row of the table has the column extra but those that were there.
			db.run(`CREATE TABLE t (block_num bigint PRIMARY KEY, n numeric, "Name" text, extra text);
				INSERT INTO t SELECT 10 + i, i, 'b' || (10 + i), 'kept' FROM generate_series(0, 9) i; ` + c.change)
			before := db.text("SELECT max(xmin::text::bigint) FROM t")
			cfg := db.config()
			cfg.Mode, cfg.Key = config.Upsert, []string{"block_num"}
			w := open(t, cfg, small)
			got, err := w.Apply(t.Context(), []sink.Change{rows(10, 20)})
			if err != nil || got.Rows != 10 {
				t.Fatalf("%+v, %v", got, err)
			}
			if got := db.text("SELECT count(*) FROM t WHERE xmin::text::bigint > " + before); got != strconv.Itoa(c.again) {
				t.Errorf("%s rows were written, want %d", got, c.again)
			}
			want := "10:0:b10 11:1:b11 12:2:b12 13:3:b13 14:4:b14 15:5:b15 16:6:b16 17:7:b17 18:8:b18 19:9:b19"
			if got := db.text(`SELECT string_agg(concat_ws(':', block_num, n, "Name"), ' ' ORDER BY block_num) FROM t`); got != want {
				t.Errorf("the table has %s", got)
			}
			wantCoverage(t, db, "[10,20)")
		})
	}
}

func TestOtherColumnsThanOpenedForAreRefused(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	w := open(t, db.config(), small)
	other := sinktest.ChangeOf(block.Range{Start: 0, End: 10}, integers(arrow.PrimitiveTypes.Uint64, 1, 2))
	_, err := w.Apply(t.Context(), []sink.Change{other})
	wantRefused(t, err, "columns", "start this sink again")
}

func TestTableDroppedMeanwhile(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	w := open(t, db.config(), small)
	db.run("DROP TABLE t")
	_, err := w.Apply(t.Context(), []sink.Change{rows(0, 5)})
	wantRefused(t, err, "start it again", "42P01")
}

// What a call allocates must not grow with its rows.
func TestMemoryOfApplyIsBounded(t *testing.T) {
	db := newDatabase(t)
	cfg := db.config()
	cfg.Types = logTypes
	w := open(t, cfg, sinktest.LogTable)
	next := block.Number(0)
	allocated := func(perBlock int) uint64 {
		c := sinktest.Logs(block.Range{Start: next, End: next + 20}, perBlock)
		next += 20
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := w.Apply(t.Context(), []sink.Change{c}); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	allocated(10) // connects, makes the buffer
	few, many := allocated(50), allocated(2500)
	t.Logf("%d bytes for 1,000 rows, %d for 50,000 (17 MB)", few, many)
	if many > few+512<<10 {
		t.Errorf("%d bytes for 1,000 rows and %d for 50,000", few, many)
	}
}

// Behind a pooler that hands out connections by transaction nothing can be
// prepared.
func TestWithoutPreparedStatements(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"exec", "simple_protocol"} {
		db := newDatabase(t)
		cfg := db.config()
		cfg.DSN += config.Secret("&default_query_exec_mode=" + mode)
		w := open(t, cfg, small)
		part := rows(7, 8)
		part.Parts, part.Batch = 2, "batch"
		mark := sink.Change{Header: entry.Header{Kind: entry.Watermark, Network: "n", Range: block.Closed(24, 24), Hash: block.Hash{1}}}
		for _, some := range [][]sink.Change{
			{rows(0, 5), part},
			{live(rows(20, 25), 5, 0), live(mark, 6, 5)},
			{rows(5, 7)},
		} {
			if _, err := w.Apply(t.Context(), some); err != nil {
				t.Fatalf("%s: %v", mode, err)
			}
		}
		s, err := w.State(t.Context())
		want := sink.LiveState{Started: true, Epoch: 1, Seq: 6, Start: 20, Cursor: block.Cursor{Network: "n", Number: 24, Hash: block.Hash{1}}}
		if err != nil || s.Live != want || s.Coverage.String() != "[0, 7) [20, 25)" {
			t.Errorf("%s: the state is %+v: %v", mode, s, err)
		}
		if got := db.text("SELECT string_agg(concat_ws(' ', blocks, parts, batch, parts_of), ', ' ORDER BY blocks) FROM ampipe.coverage"); got != "[0,7) [0,2147483647), [7,8) [0,1) batch 2, [20,25) [0,2147483647)" {
			t.Errorf("%s: coverage is %s", mode, got)
		}
	}
}
