package postgres_test

import (
	"context"
	"fmt"
	"maps"
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// TestRandomValuesHaveOneForm writes random numbers and JSON and lets PostgreSQL
// print them: what it sends back has to be byte for byte what was sent.
func TestRandomValuesHaveOneForm(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	db := newDatabase(t)
	scales := []int32{-7, -4, 0, 1, 2, 3, 4, 5, 18, 75}
	fields := []arrow.Field{
		field("map", arrow.MapOf(arrow.BinaryTypes.String, arrow.PrimitiveTypes.Float64)),
		field("floats", arrow.ListOf(arrow.PrimitiveTypes.Float32)),
		field("text", arrow.BinaryTypes.String),
	}
	for _, s := range scales {
		dt := &arrow.Decimal256Type{Precision: 76, Scale: s}
		fields = append(fields, field(fmt.Sprintf("d%d", s), dt), field(fmt.Sprintf("json%d", s), arrow.ListOf(dt)))
	}
	tab := table(fields...)
	b := array.NewRecordBuilder(memory.DefaultAllocator, tab.Schema)
	defer b.Release()
	const count = 400
	var numbers []string // of the column d18
	for n := range uint64(count) {
		b.Field(0).(*array.Uint64Builder).Append(n)
		m := b.Field(1).(*array.MapBuilder)
		m.Append(true)
		keys := map[string]bool{}
		for range rnd.IntN(6) {
			keys[randomText(rnd)] = true
		}
		for key := range keys {
			m.KeyBuilder().(*array.StringBuilder).Append(key)
			m.ItemBuilder().(*array.Float64Builder).Append(math.Float64frombits(rnd.Uint64()))
		}
		l := b.Field(2).(*array.ListBuilder)
		l.Append(true)
		for range rnd.IntN(5) {
			l.ValueBuilder().(*array.Float32Builder).Append(math.Float32frombits(rnd.Uint32()))
		}
		b.Field(3).(*array.StringBuilder).Append(randomText(rnd))
		for i := range scales {
			v := randomNumber(rnd)
			b.Field(4 + 2*i).(*array.Decimal256Builder).Append(decimal256.FromBigInt(v))
			l := b.Field(5 + 2*i).(*array.ListBuilder)
			l.Append(true)
			l.ValueBuilder().(*array.Decimal256Builder).Append(decimal256.FromBigInt(v))
			if scales[i] == 18 {
				numbers = append(numbers, v.String())
			}
		}
	}
	rec := b.NewRecordBatch()
	w := open(t, db.config(), tab)
	if _, err := w.Apply(t.Context(), []sink.Change{sinktest.ChangeOf(block.Range{Start: 0, End: count}, rec)}); err != nil {
		t.Fatal(err)
	}
	sinktest.WantSameDigests(t, w, rec)
	for n, want := range numbers {
		where := fmt.Sprintf("FROM t WHERE block_num = %d", n)
		if got := db.text("SELECT (d18 * 1000000000000000000)::numeric(76,0) " + where); got != want {
			t.Fatalf("%s / 10^18 is stored as %s", want, got)
		}
		if got := db.text("SELECT d18 = (json18->>0)::numeric AND d75 = (json75->>0)::numeric AND \"d-7\" = (\"json-7\"->>0)::numeric " + where); got != "true" {
			t.Fatalf("block %d: the number is another in JSON", n)
		}
	}
}

// randomText has all kinds of characters but NUL.
func randomText(rnd *rand.Rand) string {
	var b strings.Builder
	for range rnd.IntN(6) {
		switch r := rune(rnd.IntN([]int{0x20, 0x80, 0x800, 0x110000}[rnd.IntN(4)])); {
		case r == 0 || !utf8.ValidRune(r):
			b.WriteRune('x')
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// randomNumber has up to 76 digits, and often zeros at its end.
func randomNumber(rnd *rand.Rand) *big.Int {
	digits := make([]byte, 1+rnd.IntN(76))
	zeros := rnd.IntN(len(digits) + 1)
	for i := range digits {
		digits[i] = '0'
		if i < zeros || rnd.IntN(4) == 0 {
			digits[i] += byte(rnd.IntN(10))
		}
	}
	v, _ := new(big.Int).SetString(string(digits), 10)
	if rnd.IntN(2) == 0 {
		v.Neg(v)
	}
	return v
}

// A digest finds a row that is missing, doubled, changed, or of another block.
func TestDigestsDiffer(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	w := open(t, db.config(), small)
	all := rows(0, 10)
	if _, err := w.Apply(t.Context(), []sink.Change{all}); err != nil {
		t.Fatal(err)
	}
	source := w.DigestSource()
	if err := source.Add(all.Records[0]); err != nil {
		t.Fatal(err)
	}
	want := source.Digests()
	for _, c := range []struct {
		sql   string
		block block.Number
	}{
		{"DELETE FROM t WHERE block_num = 3", 3},
		{"INSERT INTO t SELECT * FROM t WHERE block_num = 4", 4},
		{`UPDATE t SET "Name" = '' WHERE block_num = 5`, 5},
		{`UPDATE t SET "Name" = NULL WHERE block_num = 6`, 6},
	} {
		db.run("BEGIN; " + c.sql + "; COMMIT")
		stored := make(sink.Digests)
		if err := w.DigestStored(t.Context(), block.Range{Start: 0, End: 10}, stored); err != nil {
			t.Fatal(err)
		}
		if stored[c.block] == want[c.block] {
			t.Errorf("%s: the digest of block %d is the same", c.sql, c.block)
		}
		delete(want, c.block)
		maps.DeleteFunc(stored, func(n block.Number, _ sink.BlockDigest) bool { _, ok := want[n]; return !ok })
		if !maps.Equal(want, stored) {
			t.Errorf("%s: the digests of other blocks differ, too", c.sql)
		}
	}
}

func TestUpsertDigestsAreWhatIsLeft(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	cfg := db.config()
	upsertByN(&cfg)
	w := open(t, cfg, small)
	some := []sink.Change{rows(0, 10), rows(10, 15), rows(20, 22)}
	source := w.DigestSource()
	for _, c := range some {
		if _, err := w.Apply(t.Context(), []sink.Change{c}); err != nil {
			t.Fatal(err)
		}
		if err := source.Add(c.Records[0]); err != nil {
			t.Fatal(err)
		}
	}
	stored := make(sink.Digests)
	if err := w.DigestStored(context.Background(), block.Range{Start: 0, End: block.Max + 1}, stored); err != nil {
		t.Fatal(err)
	}
	if want := source.Digests(); !maps.Equal(want, stored) || w.Windowed() {
		t.Errorf("digests are %v, want %v; windowed: %v", stored, want, w.Windowed())
	}
}
