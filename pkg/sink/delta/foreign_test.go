package delta_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/delta"
	"github.com/ampipe/ampipe/pkg/sink/delta/storage/storagetest"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// These tests ask delta-rs, which shares nothing with us, what it sees.

// python is delta-rs on a table.
type python struct {
	testing.TB
	*table
}

func deltalake(t testing.TB, d *table) python {
	t.Helper()
	if os.Getenv("AMPIPE_TEST_DELTALAKE") == "" {
		t.Skip("AMPIPE_TEST_DELTALAKE is not set; run scripts/deltalake run go test ./pkg/sink/delta/")
	}
	return python{t, d}
}

// try runs a command and reads its answer.
func (p python) try(into any, command string, args ...string) error {
	c := exec.Command(os.Getenv("AMPIPE_TEST_DELTALAKE"), append([]string{"testdata/deltars.py", p.cfg.Path + p.cfg.URL, command}, args...)...)
	c.Env = append(os.Environ(), "AMPIPE_TEST_ENDPOINT="+p.cfg.Endpoint)
	var trouble strings.Builder
	c.Stderr = &trouble
	out, err := c.Output()
	if err != nil {
		return fmt.Errorf("delta-rs %s %v: %w\n%s", command, args, err, &trouble)
	}
	return json.Unmarshal(out, into)
}

func (p python) ask(into any, command string, args ...string) {
	p.Helper()
	if err := p.try(into, command, args...); err != nil {
		p.Fatal(err)
	}
}

func (p python) number(command string, args ...string) (n int) {
	p.Helper()
	p.ask(&n, command, args...)
	return n
}

// rows reads the newest version.
func (p python) rows() []sinktest.Row {
	p.Helper()
	var rows [][]any
	p.ask(&rows, "rows")
	return rowsFrom(rows)
}

func rowsFrom(answer [][]any) []sinktest.Row {
	rows := make([]sinktest.Row, len(answer))
	for i, r := range answer {
		rows[i] = sinktest.Row{Key: r[0].(string), Block: block.Number(r[1].(float64)), Index: int32(r[2].(float64)), Value: int64(r[3].(float64))}
	}
	return sorted(rows)
}

func sorted(rows []sinktest.Row) []sinktest.Row {
	slices.SortFunc(rows, func(a, b sinktest.Row) int {
		return cmp.Or(cmp.Compare(a.Block, b.Block), cmp.Compare(a.Index, b.Index), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Value, b.Value))
	})
	return rows
}

// suiteTable is the table of the suite.
func suiteTable() sink.Table {
	return sink.Table{Pipeline: "suite", Sink: "lake", Schema: sinktest.Schema, BlockColumn: 1, Epoch: 1, Network: "suitenet"}
}

// teller makes changes and knows what the table has to hold.
type teller struct {
	t    testing.TB
	w    *delta.Writer
	seq  uint64
	want []sinktest.Row
}

func blockRows(r block.Range, fork int) (rows []sinktest.Row) {
	for n := r.Start; n < r.End; n++ {
		for i := range 3 {
			rows = append(rows, sinktest.Row{Key: fmt.Sprintf("k%d.%d.%d", n, fork, i), Block: n, Index: int32(i), Value: int64(n) * 10})
		}
	}
	return rows
}

func record(rows []sinktest.Row) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, sinktest.Schema)
	defer b.Release()
	for _, r := range rows {
		b.Field(0).(*array.StringBuilder).Append(r.Key)
		b.Field(1).(*array.Uint64Builder).Append(uint64(r.Block))
		b.Field(2).(*array.Int32Builder).Append(r.Index)
		b.Field(3).(*array.Int64Builder).Append(r.Value)
	}
	return b.NewRecordBatch()
}

func history(from, to block.Number) sink.Change {
	r := block.Range{Start: from, End: to}
	rows := blockRows(r, 0)
	return sink.Change{Header: entry.Header{Kind: entry.Data, Epoch: 1, Network: "suitenet", Range: r, Rows: len(rows), End: to},
		Records: []arrow.RecordBatch{record(rows)}}
}

// apply applies a change by itself.
func (s *teller) apply(c sink.Change) {
	s.t.Helper()
	if _, err := s.w.Apply(context.Background(), []sink.Change{c}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *teller) history(from, to block.Number) {
	s.t.Helper()
	s.apply(history(from, to))
	s.want = append(s.want, blockRows(block.Range{Start: from, End: to}, 0)...)
}

func (s *teller) live(h entry.Header, records ...arrow.RecordBatch) {
	s.t.Helper()
	h.Epoch, h.Network = 1, "suitenet"
	c := sink.Change{Header: h, Records: records, Live: true, Seq: s.seq + 1, After: s.seq}
	s.seq++
	s.apply(c)
}

func (s *teller) liveData(from, to block.Number, fork int) {
	s.t.Helper()
	r := block.Range{Start: from, End: to}
	rows := blockRows(r, fork)
	s.live(entry.Header{Kind: entry.Data, Range: r, Rows: len(rows)}, record(rows))
	s.want = append(s.want, rows...)
}

func (s *teller) invalidate(n, last block.Number) {
	s.t.Helper()
	s.live(entry.Header{Kind: entry.Invalidate, Range: block.Closed(n, last)})
	s.want = slices.DeleteFunc(s.want, func(r sinktest.Row) bool { return r.Block >= n })
}

// places runs a test on each kind of storage; on a real server of S3 if there is
// one.
func places(t *testing.T, run func(t *testing.T, d *table)) {
	placesBut(t, []string{spareS3()}, run)
}

// placesToWrite are those where delta-rs can write, too: the fake GCS does not know
// the way in which it uploads.
func placesToWrite(t *testing.T, run func(t *testing.T, d *table)) {
	placesBut(t, []string{spareS3(), "fake GCS"}, run)
}

// spareS3 is the one of the two that is not needed.
func spareS3() string {
	if os.Getenv("AMPIPE_TEST_S3") == "" {
		return "MinIO"
	}
	return "fake S3"
}

func placesBut(t *testing.T, without []string, run func(t *testing.T, d *table)) {
	for _, k := range storagetest.Kinds() {
		if !slices.Contains(without, k.Name) {
			t.Run(k.Name, func(t *testing.T) { run(t, in(t, k.Place(t))) })
		}
	}
}

func TestDeltaRSReadsEveryVersion(t *testing.T) {
	places(t, func(t *testing.T, d *table) {
		d.cfg.CheckpointEvery = 4
		p := deltalake(t, d)
		s := &teller{t: t, w: d.open(t, suiteTable())}
		wants := [][]sinktest.Row{nil}
		note := func() { wants = append(wants, sorted(slices.Clone(s.want))) }
		for n := block.Number(0); n < 50; n += 10 {
			s.history(n, n+10)
			note()
		}
		s.liveData(60, 70, 1)
		note()
		s.invalidate(66, 69)
		note()
		s.liveData(66, 72, 2)
		note()
		s.invalidate(37, 71) // cuts through a file of history
		note()
		s.liveData(37, 80, 3)
		note()
		var versions []struct{ All, Some [][]any }
		p.ask(&versions, "versions", "35", "68")
		if len(versions) != len(wants) {
			t.Fatalf("%d versions, want %d", len(versions), len(wants))
		}
		for v, got := range versions {
			if !slices.Equal(rowsFrom(got.All), wants[v]) {
				t.Errorf("version %d: delta-rs reads %d rows, want %d", v, len(got.All), len(wants[v]))
			}
			some := slices.DeleteFunc(slices.Clone(wants[v]), func(r sinktest.Row) bool { return r.Block < 35 || r.Block >= 68 })
			if !slices.Equal(rowsFrom(got.Some), some) {
				t.Errorf("version %d: delta-rs reads %d rows of blocks [35, 68), want %d", v, len(got.Some), len(some))
			}
			if err := delta.Scan(t.Context(), d.store, int64(v), nil); err != nil {
				t.Errorf("version %d: %v", v, err)
			}
		}
		var said []struct{ Operation, Engine string }
		p.ask(&said, "history")
		if len(said) != len(wants) || said[0].Operation != "WRITE" || !strings.HasPrefix(said[0].Engine, "ampipe ") || said[len(said)-1].Operation != "CREATE TABLE" {
			t.Errorf("history is %v", said)
		}
		if n := p.number("transaction", "ampipe:suite:lake"); n != len(wants) {
			t.Errorf("the transaction of the sink has the version %d, want %d", n, len(wants))
		}
	})
}

// TestDeltaRSFindsEveryPartition has values whose folders have names that have to be
// escaped. Some storages, and libraries for them, escape names once more.
func TestDeltaRSFindsEveryPartition(t *testing.T) {
	places(t, func(t *testing.T, d *table) {
		d.cfg.PartitionBy = []config.Partition{{Column: "key"}}
		p := deltalake(t, d)
		w := d.open(t, suiteTable())
		var want []sinktest.Row
		for i, key := range []string{"plain", "a b", "50%", "%20", "a/b", "../c", "é=?#&", "\"q\\'"} {
			want = append(want, sinktest.Row{Key: key, Block: block.Number(i), Value: int64(i)})
		}
		c := history(0, block.Number(len(want)))
		c.Rows, c.Records = len(want), []arrow.RecordBatch{record(want)}
		if _, err := w.Apply(t.Context(), []sink.Change{c}); err != nil {
			t.Fatal(err)
		}
		if got := p.rows(); !slices.Equal(got, want) {
			t.Errorf("delta-rs reads %v, want %v", got, want)
		}
		// It is a reorg that reads the files of partitions, of those who opened anew.
		s := &teller{t: t, w: d.open(t, suiteTable()), want: want}
		s.liveData(8, 9, 1)
		s.invalidate(2, 8)
		if got, want := p.rows(), sorted(s.want); !slices.Equal(got, want) {
			t.Errorf("after a reorg delta-rs reads %v, want %v", got, want)
		}
	})
}

// TestForeignOptimizeKeepsTheState lets delta-rs move all rows into files of its
// own, write a checkpoint and take everything away that the newest version does
// not need. What is loaded must still be known, and a reorg must find its rows.
func TestForeignOptimizeKeepsTheState(t *testing.T) {
	placesToWrite(t, func(t *testing.T, d *table) {
		p := deltalake(t, d)
		s := &teller{t: t, w: d.open(t, suiteTable())}
		for n := block.Number(0); n < 60; n += 10 {
			s.history(n, n+10)
		}
		s.liveData(60, 70, 1)
		if n := p.number("optimize"); n != 7 {
			t.Errorf("delta-rs replaced %d files, want 7", n)
		}
		p.number("checkpoint")
		if n := p.number("vacuum", "0"); n != 7 {
			t.Errorf("delta-rs removed %d files, want 7", n)
		}
		fresh := d.open(t, suiteTable())
		state, err := fresh.State(t.Context())
		if err != nil || !state.Coverage.Equal(block.NewSet(block.Range{End: 70})) || state.Live.Start != 60 {
			t.Errorf("after a foreign OPTIMIZE the state is %+v (%v)", state, err)
		}
		s.w = fresh
		if applied, err := fresh.Apply(t.Context(), []sink.Change{history(0, 60)}); err != nil || applied.Rows != 0 {
			t.Errorf("history was written again: %+v, %v", applied, err)
		}
		s.invalidate(45, 69)
		s.liveData(45, 75, 2)
		if got, want := p.rows(), sorted(s.want); !slices.Equal(got, want) {
			t.Errorf("delta-rs reads %d rows, want %d", len(got), len(want))
		}
	})
}

// TestForeignWritersBesideUs runs delta-rs and us at the same time.
func TestForeignWritersBesideUs(t *testing.T) {
	placesToWrite(t, func(t *testing.T, d *table) {
		d.cfg.CheckpointEvery = 5
		p := deltalake(t, d)
		s := &teller{t: t, w: d.open(t, suiteTable())}
		s.history(0, 3)
		stop, done, replaced := make(chan struct{}), make(chan error, 1), make(chan struct{})
		go func() {
			for once := sync.OnceFunc(func() { close(replaced) }); ; {
				var n int
				if err := p.try(&n, "optimize"); err != nil {
					done <- err
					return
				}
				if n > 0 {
					once()
				}
				if err := p.try(&n, "vacuum", "168"); err != nil {
					done <- err
					return
				}
				select {
				case <-stop:
					done <- nil
					return
				default:
				}
			}
		}()
		head, from := block.Number(103), block.Number(3)
		s.liveData(100, head, 0)
		write := func(rounds block.Number) {
			for end := from + rounds; from < end; from++ {
				s.history(from, from+1)
				s.liveData(head, head+2, int(from))
				head += 2
				if from%5 == 4 {
					s.invalidate(head-4, head-1)
					head -= 4
				}
			}
		}
		// delta-rs starts anew for each try, and may lose every race: so it has one
		// chance without us, and others begin upon what it did.
		write(30)
		select {
		case <-replaced:
		case err := <-done:
			t.Fatal(err)
		}
		write(20)
		close(stop)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if got, want := p.rows(), sorted(s.want); !slices.Equal(got, want) {
			t.Errorf("delta-rs reads %d rows, want %d", len(got), len(want))
		}
		if err := delta.Scan(t.Context(), d.store, -1, nil); err != nil {
			t.Error(err)
		}
	})
}

// TestForeignRowsGoWithTheirBlock says what becomes of rows that somebody else
// appended: a reorg deletes by block number, of any writer.
func TestForeignRowsGoWithTheirBlock(t *testing.T) {
	d := inFolder(t)
	p := deltalake(t, d)
	s := &teller{t: t, w: d.open(t, suiteTable())}
	s.liveData(10, 20, 0)
	p.number("append", "12")
	p.number("append", "17")
	s.invalidate(15, 19)
	want := append(s.want, sinktest.Row{Key: "foreign", Block: 12})
	if got := p.rows(); !slices.Equal(got, sorted(want)) {
		t.Errorf("delta-rs reads %v, want %v", got, want)
	}
}
