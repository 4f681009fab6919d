package postgres_test

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/postgres"
)

// keyed is a row: its block, and a number.
type keyed struct{ block, n int64 }

var keyedTable = sink.Table{Pipeline: "p", Sink: "warehouse", Epoch: 1, Schema: arrow.NewSchema([]arrow.Field{
	{Name: "_block_num", Type: arrow.PrimitiveTypes.Uint64},
	{Name: "n", Type: arrow.PrimitiveTypes.Int64},
}, nil)}

func keyedRecord(rows []keyed) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, keyedTable.Schema)
	defer b.Release()
	for _, r := range rows {
		b.Field(0).(*array.Uint64Builder).Append(uint64(r.block))
		b.Field(1).(*array.Int64Builder).Append(r.n)
	}
	return b.NewRecordBatch()
}

// dedupe returns the rows that an upsert writes.
func dedupe(t *testing.T, key []string, records [][]keyed) (written []keyed, ascend bool) {
	t.Helper()
	cfg := config.Postgres{Schema: "public", Table: "t", Mode: config.Upsert, Key: key, Types: map[string]string{"_block_num": "bigint"}}
	batches := make([]arrow.RecordBatch, len(records))
	for i, rows := range records {
		batches[i] = keyedRecord(rows)
	}
	all, ascend, err := postgres.Dedupe(cfg, keyedTable, batches...)
	if err != nil {
		t.Fatal(err)
	}
	for i, rows := range all {
		for _, row := range rows {
			written = append(written, records[i][row])
		}
	}
	return written, ascend
}

// TestKeysThatAscendAreNotLookedUp: nor are those of several entries, whatever their order.
func TestKeysThatAscendAreNotLookedUp(t *testing.T) {
	for _, c := range []struct {
		what    string
		records [][]keyed
		ascend  bool
		written int
	}{
		{"one entry", [][]keyed{{{1, 0}, {1, 1}, {2, 0}}}, true, 3},
		{"entries of several partitions", [][]keyed{{{7, 0}, {7, 1}}, {{1, 0}, {2, 0}}, {}, {{3, 5}, {6, 9}}}, true, 6},
		{"one key twice", [][]keyed{{{1, 0}, {1, 0}, {2, 0}}}, false, 2},
		{"one key in two entries", [][]keyed{{{1, 0}, {2, 0}}, {{2, 0}, {3, 0}}}, false, 3},
		{"entries that overlap", [][]keyed{{{1, 0}, {3, 0}}, {{2, 0}, {4, 0}}}, false, 4},
		{"an entry within another", [][]keyed{{{1, 0}, {9, 0}}, {{2, 0}}, {{9, 0}}}, false, 3},
		{"descending", [][]keyed{{{2, 0}, {1, 0}}}, false, 2},
		{"negative numbers in order", [][]keyed{{{1, -2}, {1, -1}, {1, 1}}}, false, 3},
	} {
		written, ascend := dedupe(t, []string{"_block_num", "n"}, c.records)
		if ascend != c.ascend || len(written) != c.written {
			t.Errorf("%s: %d rows are written, ascending: %t", c.what, len(written), ascend)
		}
	}
}

// TestOneRowOfAKeyIsWritten compares what is written of random rows, in any order and in
// order, with what the rule says: the highest block wins, and in one block the last row.
func TestOneRowOfAKeyIsWritten(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	ascended := 0
	for range 3000 {
		ordered, wholeKey := random.IntN(2) == 0, random.IntN(2) == 0
		key := []string{"n"}
		if wholeKey {
			key = []string{"_block_num", "n"}
		}
		of := func(r keyed) keyed {
			if wholeKey {
				return r
			}
			return keyed{0, r.n}
		}
		var records [][]keyed
		last := map[keyed]keyed{}
		for range 1 + random.IntN(4) {
			rows := make([]keyed, random.IntN(5))
			for i := range rows {
				rows[i] = keyed{random.Int64N(8), random.Int64N(12) - 2}
			}
			if ordered {
				slices.SortFunc(rows, func(a, b keyed) int {
					return cmp.Or(cmp.Compare(of(a).block, of(b).block), cmp.Compare(a.n, b.n))
				})
			}
			records = append(records, rows)
			for _, r := range rows {
				if old, twice := last[of(r)]; !twice || old.block <= r.block {
					last[of(r)] = r
				}
			}
		}
		written, ascend := dedupe(t, key, records)
		if ascend {
			ascended++
		}
		if len(written) != len(last) {
			t.Fatalf("key %v: %v are written of %v, ascending: %t", key, written, records, ascend)
		}
		for _, r := range written {
			if last[of(r)] != r {
				t.Fatalf("key %v: %v is written of %v, ascending: %t", key, r, records, ascend)
			}
		}
	}
	if ascended < 100 || ascended > 2900 {
		t.Errorf("the keys of %d of 3,000 changes ascended", ascended)
	}
}
