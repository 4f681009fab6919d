package postgres_test

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// TestReplacedRowsOfOtherTypesComeBack: columns of a table that is there are kept, and
// come back, as they were; with a trigger what is stored is compared as well.
func TestReplacedRowsOfOtherTypesComeBack(t *testing.T) {
	t.Parallel()
	for name, trigger := range map[string]string{"without a trigger": "", "with one": `CREATE FUNCTION same() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
		CREATE TRIGGER same BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION same();`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t)
			db.run("SET search_path = public; " + thereMade + `; CREATE TABLE t (block_num numeric(30,0), k char(9) PRIMARY KEY, c1 char(7), c2 citext, c3 short, c4 mood, c5 numeric(78), c6 json, c7 jsonb,
				c8 text[], c9 smallint, c10 timestamp(0), c11 amount, c12 varchar(4)[]); CREATE INDEX ON t (block_num);` + trigger)
			cfg := db.config()
			cfg.Mode, cfg.Key, cfg.Finality = "upsert", []string{"k"}, 100
			lists := arrow.ListOf(textType)
			tab := table(field("k", textType), field("c1", textType), field("c2", textType), field("c3", textType), field("c4", textType), field("c5", textType), field("c6", textType),
				field("c7", textType), field("c8", lists), field("c9", arrow.PrimitiveTypes.Int64), field("c10", ts(arrow.Nanosecond, utc)), field("c11", arrow.PrimitiveTypes.Uint64), field("c12", lists))
			record := func(n uint64, json string, number int64) arrow.RecordBatch {
				b := array.NewRecordBuilder(memory.DefaultAllocator, tab.Schema)
				b.Field(0).(*array.Uint64Builder).Append(n)
				for i, text := range []string{"a", "x", "ÄB", "short ", "sad", nines(78), ` {"b" : 1e2, "a": "\u00e4"}`, json} {
					b.Field(i + 1).(*array.StringBuilder).Append(text)
				}
				for _, i := range []int{9, 13} {
					l := b.Field(i).(*array.ListBuilder)
					l.Append(true)
					for _, text := range []string{"a,b", "", `"\`, "NULL"} {
						l.ValueBuilder().(*array.StringBuilder).Append(text)
					}
					l.ValueBuilder().AppendNull()
				}
				b.Field(10).(*array.Int64Builder).Append(number)
				b.Field(11).(*array.TimestampBuilder).Append(1704067200999999999)
				b.Field(12).(*array.Uint64Builder).Append(uint64(number))
				rec := b.NewRecordBatch()
				t.Cleanup(rec.Release)
				return rec
			}
			l := &chain{TB: t, w: open(t, cfg, tab)}
			first := record(5, `[1.50, {"y":1,"x":2,"y":3}]`, 1)
			change := func(n block.Number, rec arrow.RecordBatch) sink.Change {
				return sinktest.ChangeOf(block.Range{Start: n, End: n + 1}, rec)
			}
			l.apply(change(5, first), change(6, record(6, "{}", 2)), mark(6))
			db.want("SELECT c9 FROM t", "2")
			l.apply(invalidate(6, 6))
			db.want("SELECT concat_ws(' ', c9, c7) FROM t", `1 [1.50, {"x": 2, "y": 3}]`)
			sinktest.WantSameDigests(t, l.w.(sink.Digester), first)
		})
	}
}
