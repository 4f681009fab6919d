package postgres_test

import (
	"fmt"
	"maps"
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
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/postgres"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// keys is an entry of the table small: in each block of r a row for every key.
func keys(r block.Range, ns ...int64) sink.Change {
	b := array.NewRecordBuilder(memory.DefaultAllocator, small.Schema)
	defer b.Release()
	for at := r.Start; at < r.End; at++ {
		for _, n := range ns {
			b.Field(0).(*array.Uint64Builder).Append(uint64(at))
			b.Field(1).(*array.Int64Builder).Append(n)
			b.Field(2).(*array.StringBuilder).Append(fmt.Sprint("b", at))
		}
	}
	return sinktest.ChangeOf(r, b.NewRecordBatch())
}

func span(start, end block.Number) block.Range { return block.Range{Start: start, End: end} }

// chain applies live changes one after the other.
type chain struct {
	testing.TB
	w   sink.Writer
	seq uint64
}

func (c *chain) try(change sink.Change) error {
	_, err := c.w.Apply(c.Context(), []sink.Change{live(change, c.seq+1, c.seq)})
	if err == nil {
		c.seq++
	}
	return err
}

func (c *chain) apply(changes ...sink.Change) {
	c.Helper()
	for _, change := range changes {
		if err := c.try(change); err != nil {
			c.Fatal(err)
		}
	}
}

func (c *chain) history(changes ...sink.Change) {
	c.Helper()
	if _, err := c.w.Apply(c.Context(), changes); err != nil {
		c.Fatal(err)
	}
}

func mark(n block.Number) sink.Change {
	return sink.Change{Header: entry.Header{Kind: entry.Watermark, Network: "n", Range: block.Closed(n, n), Hash: block.Hash{byte(n)}}}
}

func invalidate(from, last block.Number) sink.Change {
	return sink.Change{Header: entry.Header{Kind: entry.Invalidate, Network: "n", Range: block.Closed(from, last)}}
}

const (
	blocksOf = "SELECT string_agg(concat_ws(':', n, block_num), ' ' ORDER BY n, block_num) FROM t"
	unsaved  = "SELECT unsaved FROM ampipe.tables"
	kept     = "SELECT string_agg(concat_ws(':', content->>'n', block, replaced_by), ' ' ORDER BY content->>'n', block) FROM ampipe.replaced"
)

func (d *database) want(sql, want string) {
	d.Helper()
	if got := d.text(sql); got != want {
		d.Errorf("%s: %s, want %s", sql, got, want)
	}
}

// latest opens a table of the latest row by n.
func latest(t testing.TB, finality uint64) (*database, config.Postgres, *chain) {
	db := newDatabase(t)
	cfg := db.config()
	upsertByN(&cfg)
	cfg.Finality = finality
	return db, cfg, &chain{TB: t, w: open(t, cfg, small)}
}

// A row that comes back is what it was, whatever its type and whatever the server
// is set to.
func TestEveryTypeComesBack(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	for _, set := range []string{"datestyle = 'SQL, DMY'", "intervalstyle = 'sql_standard'", "extra_float_digits = -5", "bytea_output = 'escape'", "timezone = 'Asia/Kolkata'"} {
		db.run("ALTER DATABASE " + db.Config().Database + " SET " + set)
	}
	const odd = `an "odd" name's \ %s %[2]s`
	for i, c := range typeCases {
		t.Run(c.name, func(t *testing.T) {
			tab := table(field("id", arrow.PrimitiveTypes.Int64), field(odd, c.dt))
			cfg := db.config()
			cfg.Table, cfg.Mode, cfg.Key = fmt.Sprintf("t%d", i), config.Upsert, []string{"id"}
			if c.as != "" {
				cfg.Types = map[string]string{odd: c.as}
			}
			record := func(at func(i int) uint64, fill func(array.Builder)) arrow.RecordBatch {
				b := array.NewRecordBuilder(memory.DefaultAllocator, tab.Schema)
				defer b.Release()
				fill(b.Field(2))
				for i := range b.Field(2).Len() {
					b.Field(0).(*array.Uint64Builder).Append(at(i))
					b.Field(1).(*array.Int64Builder).Append(int64(i))
				}
				return b.NewRecordBatch()
			}
			w := open(t, cfg, tab)
			l := &chain{TB: t, w: w}
			l.apply(sinktest.ChangeOf(span(500, 501)))
			first := record(func(i int) uint64 { return uint64(i) }, c.put)
			nulls := record(func(int) uint64 { return 501 }, func(b array.Builder) { b.AppendNulls(int(first.NumRows())) })
			l.history(sinktest.ChangeOf(span(0, 500), first))
			l.apply(sinktest.ChangeOf(span(501, 502), nulls))
			db.want("SELECT count(*) FROM ampipe.replaced", fmt.Sprint(first.NumRows()))
			sinktest.WantSameDigests(t, w, nulls)
			l.apply(invalidate(501, 501))
			db.want("SELECT count(*) FROM ampipe.replaced", "0")
			sinktest.WantSameDigests(t, w, first)
		})
	}
}

// Only what can still be taken back is kept.
func TestKeptRowsAreForgottenWhenTheyAreFinal(t *testing.T) {
	t.Parallel()
	db, _, l := latest(t, 100)
	l.apply(keys(span(5000, 5001), 1))
	l.history(keys(span(4800, 4904), 1, 2)) // what was replaced below 4900 is final
	db.want(kept, "1:4899:5000 1:4900:5000 1:4901:5000 1:4902:5000 1:4903:5000 2:4899:4903 2:4900:4903 2:4901:4903 2:4902:4903")
	db.want(unsaved, "4899")
	l.history(keys(span(0, 10), 3)) // deep below, and 3 is nowhere else
	db.want(unsaved, "4899")
	_, err := l.w.Apply(t.Context(), []sink.Change{keys(span(20, 22), 3), live(invalidate(4899, 5000), l.seq+1, l.seq)})
	wantRefused(t, err, "4899")
	wantRefused(t, l.try(invalidate(4890, 5000)), "block", "4890", "4899", "finality", "overwrite: true", "DELETE FROM ampipe.tables WHERE id = 1", "nothing was changed")
	db.want(blocksOf, "1:5000 2:4903 3:9")

	l.apply(keys(span(5001, 5002), 2), mark(5001), keys(span(5002, 5003), 1), mark(5099))
	l.apply(mark(6050))
	db.want(kept, "NULL")
	db.want(unsaved, "5002")
	l.apply(keys(span(6051, 6052), 2), mark(6051))
	db.want(kept, "2:5001:6051")
	wantRefused(t, l.try(invalidate(5002, 6051)), "5002")
	l.apply(invalidate(5003, 6051))
	db.want(blocksOf, "1:5002 2:5001 3:9")
	db.want(kept, "NULL")
}

// What replaced a row may itself go; then the row is kept for what replaces it now.
func TestKeptRowsFollowWhatReplacesThem(t *testing.T) {
	t.Parallel()
	db, _, l := latest(t, 100)
	l.apply(keys(span(5000, 5001), 9))
	part := func(batch string, key int64) sink.Change {
		c := keys(span(4960, 4961), key)
		c.Parts, c.Batch = 2, batch
		return c
	}
	l.history(keys(span(4950, 4951), 1))
	l.history(part("a", 1))
	l.apply(keys(span(5001, 5002), 1))
	db.want(kept, "1:4950:4960 1:4960:5001")
	l.history(part("b", 2))
	db.want(kept, "1:4950:5001")
	l.history(part("a", 2)) // once more, with nothing in the table that goes
	l.apply(mark(5090))
	l.apply(invalidate(5001, 5090))
	db.want(blocksOf, "1:4950 2:4960 9:5000")
}

// A reorg below the live start is exact as far as finality reaches.
func TestReorgBelowTheLiveStartBringsBack(t *testing.T) {
	t.Parallel()
	db, _, l := latest(t, 1000)
	l.apply(keys(span(5000, 5002), 1, 2))
	l.history(keys(span(4500, 4600), 1, 3))
	l.history(keys(span(4700, 4705), 2, 3), keys(span(4400, 4402), 1, 2, 3, 4))
	db.want(blocksOf, "1:5001 2:5001 3:4704 4:4401")
	l.apply(invalidate(4702, 5001))
	db.want(blocksOf, "1:4599 2:4701 3:4701 4:4401")
	l.apply(invalidate(4550, 4702))
	db.want(blocksOf, "1:4549 2:4401 3:4549 4:4401")
	l.apply(invalidate(4401, 4550))
	db.want(blocksOf, "1:4400 2:4400 3:4400 4:4400")
}

// Rows that nothing replaces cost nothing, and what was not kept before the chain
// was followed is known.
func TestReplacedBeforeTheChainIsFollowed(t *testing.T) {
	t.Parallel()
	db, cfg, l := latest(t, 1000)
	l.history(keys(span(0, 1), 1, 2), keys(span(1, 2), 3), keys(span(2, 3), 4, 5))
	l.history(keys(span(3, 4), 6))
	db.want(unsaved, "-1")
	l.history(keys(span(4, 6), 7))
	db.want(unsaved, "5")
	l.history(keys(span(6, 7), 1))
	db.want(unsaved, "6")
	db.want(kept, "NULL")
	wantRefused(t, l.try(keys(span(6, 8), 9)), "blocks up to 6", "before the live chain was followed")
	db.want(blocksOf, "1:6 2:0 3:1 4:2 5:2 6:3 7:5")
	l.apply(keys(span(7, 8), 1, 2))
	l.apply(invalidate(7, 7))
	db.want(blocksOf, "1:6 2:0 3:1 4:2 5:2 6:3 7:5")
	wantRefused(t, l.try(invalidate(6, 6)), "blocks up to 6")

	// What the message says to do helps.
	cfg.Overwrite = true
	db.run("DELETE FROM ampipe.tables WHERE id = 1")
	again := &chain{TB: t, w: open(t, cfg, small)}
	db.want(blocksOf, "NULL")
	again.apply(keys(span(6, 8), 9))
}

// A key that names each row once loses nothing, also if its rows go through the
// staging table and others come at the same time.
func TestUniqueKeysLoseNothing(t *testing.T) {
	t.Parallel()
	db, cfg, l := latest(t, 10)
	other := open(t, cfg, small)
	one := func(n block.Number) sink.Change { return keys(span(n, n+1), int64(n)) }
	var group sync.WaitGroup
	for _, w := range []sink.Writer{l.w, other, l.w, other} {
		group.Go(func() {
			for n := range block.Number(40) {
				if err := insist(t.Context(), w, one(n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	db.want(unsaved, "-1")
	// One call that loses nothing, and one that does.
	l.apply(one(5000), mark(5000))
	l.history(one(50), one(51))
	db.want(unsaved, "-1")
	_, err := l.w.Apply(t.Context(), []sink.Change{keys(span(52, 53), 3),
		live(invalidate(52, 5000), l.seq+1, l.seq), live(keys(span(52, 5001)), l.seq+2, l.seq+1), live(mark(5000), l.seq+3, l.seq+2)})
	wantRefused(t, err, "4989")
	db.want(unsaved, "-1")
	l.apply(invalidate(52, 5000))
	db.want("SELECT count(*) FROM t", "42")
}

// Forgetting a table forgets what was kept of it; a new column is NULL in a row
// that comes back.
func TestKeptRowsBelongToTheirTable(t *testing.T) {
	t.Parallel()
	db, cfg, l := latest(t, 1000)
	l.apply(keys(span(5, 8), 1))
	db.want(kept, "1:5:7 1:6:7")
	wider := small
	fields := append(slices.Clone(small.Schema.Fields()), field("more", arrow.PrimitiveTypes.Int64))
	wider.Schema = arrow.NewSchema(fields, nil)
	cfg.SchemaEvolution = true
	evolved := &chain{TB: t, w: open(t, cfg, wider), seq: l.seq}
	evolved.apply(invalidate(7, 7))
	db.want("SELECT concat_ws(' ', block_num, n, \"Name\", coalesce(more::text, 'NULL')) FROM t", "6 1 b6 NULL")
	db.run("DELETE FROM ampipe.tables")
	db.want(kept, "NULL")
}

// While the chain continues, a table is compared as it was at the last watermark.
func TestDigestUpToABlockThatOthersFollow(t *testing.T) {
	t.Parallel()
	_, cfg, l := latest(t, 1000)
	l.apply(keys(span(100, 102), 1, 2))
	l.history(keys(span(0, 2), 1, 2, 3, 4))
	l.apply(mark(101), keys(span(102, 103), 1), keys(span(103, 110), 1, 3, 5))
	reader := postgres.New(cfg)
	if err := reader.OpenStored(t.Context(), small); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close() }()
	for end, records := range map[block.Number][]sink.Change{
		102: {keys(span(0, 2), 1, 2, 3, 4), keys(span(100, 102), 1, 2)},
		103: {keys(span(0, 2), 1, 2, 3, 4), keys(span(100, 102), 1, 2), keys(span(102, 103), 1)},
		105: {keys(span(0, 2), 1, 2, 3, 4), keys(span(100, 102), 1, 2), keys(span(102, 103), 1), keys(span(103, 105), 1, 3, 5)},
	} {
		source, stored := reader.DigestSource(), make(sink.Digests)
		for _, c := range records {
			if err := source.Add(c.Records[0]); err != nil {
				t.Fatal(err)
			}
		}
		if err := reader.DigestStored(t.Context(), span(0, end), stored); err != nil {
			t.Fatal(err)
		}
		if want := source.Digests(); !maps.Equal(stored, want) {
			t.Errorf("up to block %d the digests are %v, want %v", end, stored, want)
		}
	}
}

// A schema of the first version may have lost rows already.
func TestStateOfAnOlderVersionIsBroughtUpToDate(t *testing.T) {
	t.Parallel()
	db, cfg, l := latest(t, 1000)
	l.history(keys(span(0, 10), 1))
	db.run("DROP TABLE ampipe.replaced; ALTER TABLE ampipe.tables DROP COLUMN unsaved, DROP COLUMN adopting, DROP COLUMN pruned; DELETE FROM ampipe.migrations WHERE step >= 2")
	l.w = open(t, cfg, small)
	db.want(unsaved, "9")
	l.apply(keys(span(10, 12), 1))
	wantRefused(t, l.try(invalidate(9, 11)), "blocks up to 9")
	l.apply(invalidate(10, 11))
	db.want(blocksOf, "1:9")
}

// Nothing may rest on prepared statements here either.
func TestComesBackWithoutPreparedStatements(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"exec", "simple_protocol", "describe_exec", "cache_describe"} {
		db := newDatabase(t)
		cfg := db.config()
		upsertByN(&cfg)
		cfg.DSN += config.Secret("&default_query_exec_mode=" + mode)
		l := &chain{TB: t, w: open(t, cfg, small)}
		l.apply(keys(span(3000, 3002), 1, 2), mark(3001))
		l.history(keys(span(0, 2), 1, 2, 3))
		l.apply(keys(span(3002, 3003), 1), mark(3002), invalidate(3001, 3002), keys(span(3001, 4100), 2), mark(4099))
		db.want(blocksOf, "1:3000 2:4099 3:1")
		l.apply(invalidate(3000, 4099))
		db.want(blocksOf, "1:1 2:1 3:1")
	}
}

// A reorg that is cut off anywhere has happened or not.
func TestReorgCutAtEveryStep(t *testing.T) {
	t.Parallel()
	db, cfg, _ := latest(t, 1000)
	proxy := newCutter(t, db.url)
	proxy.left.Store(1 << 40)
	cfg.DSN = config.Secret(proxy.url)
	l := &chain{TB: t, w: open(t, cfg, small)}
	l.apply(keys(span(10, 11)))
	l.history(keys(span(0, 3), 1, 2, 3, 4))
	const before, after = "1:2 2:2 3:2 4:2", "1:12 2:12 3:2 4:2"
	state := func() string { return strings.TrimSpace(db.text(blocksOf)) }
	lost := 0
	for step := range int64(40) {
		for _, c := range []struct {
			sink.Change
			from, to string
		}{{keys(span(11, 13), 1, 2), before, after}, {invalidate(11, 12), after, before}} {
			proxy.left.Store(step)
			err := l.try(c.Change)
			if err != nil && fault.Of(err) == fault.ClassPermanent {
				t.Fatalf("cut after %d pieces: %v", step, err)
			}
			if got := state(); got != c.from && got != c.to || err == nil && got != c.to {
				t.Fatalf("cut after %d pieces, with %v: %s", step, err, got)
			}
			proxy.left.Store(1 << 40)
			if err != nil {
				lost++
				if err := insist(t.Context(), l.w, live(c.Change, l.seq+1, l.seq)); err != nil {
					t.Fatal(err)
				}
				l.seq++
			}
			if got := state(); got != c.to {
				t.Fatalf("after %d pieces and again: %s, want %s", step, got, c.to)
			}
		}
	}
	if lost < 10 {
		t.Errorf("only %d calls were cut: the test is not what it says", lost)
	}
}
