package postgres_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/postgres/pgcopy"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// TestTextsAsJSONAndNumbersHaveOneForm: JSON and numbers that come as text are stored as
// PostgreSQL itself reads them, digit for digit, and verify.
func TestTextsAsJSONAndNumbersHaveOneForm(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 2))
	db := newDatabase(t)
	db.run("CREATE TABLE t (block_num bigint, j jsonb, n numeric, f numeric(400,200), o json); CREATE TABLE plain (block_num bigint, j text, n text, f text, o text)")
	tab := table(field("j", textType), field("n", textType), field("f", textType), field("o", textType))
	b := array.NewRecordBuilder(memory.DefaultAllocator, tab.Schema)
	defer b.Release()
	texts := [][2]string{
		{` {"b":1, "a" : [ ], "aa":{}, "a":[true,false,null]} `, "0"}, {`"\u00e4\ud83d\ude00\/\b\f\n\r\t\"\\\u001f"`, "-0.00"}, {"-0", "+12.500"},
		{"-0.0e-3", "1e10"}, {"1e3", "1.50e-5"}, {"123.4500E+2", "123.4500E+2"}, {"1.5e-7", ".5"}, {"0e5", "5."}, {`{"\u0061":1,"a":2}`, nines(131072)},
		{"1E131071", "0." + nines(16383)}, {"[" + strings.Repeat("[", 900) + strings.Repeat("]", 900) + "]", "1e131071"}, {`{"":{"":""}}`, "9999"}, {"[1 , 2]", "10000"}, {"null", "0.0001"}, {`" "`, "100000000"},
	}
	for range 400 {
		texts = append(texts, [2]string{randomJSON(rnd, 4), randomDigits(rnd)})
	}
	for n, text := range texts {
		b.Field(0).(*array.Uint64Builder).Append(uint64(n))
		fixed := text[1]
		if len(fixed) > 100 || strings.Contains(fixed, "e131071") {
			fixed = "1"
		}
		for i, v := range []string{text[0], text[1], fixed, text[0]} {
			b.Field(i + 1).(*array.StringBuilder).Append(v)
		}
	}
	rec := b.NewRecordBatch()
	defer rec.Release()
	change := []sink.Change{sinktest.ChangeOf(block.Range{Start: 0, End: block.Number(len(texts))}, rec)}
	w := open(t, db.config(), tab)
	if _, err := w.Apply(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	sinktest.WantSameDigests(t, w, rec)
	cfg := db.config()
	cfg.Table = "plain"
	if _, err := open(t, cfg, tab).Apply(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	db.want("SELECT coalesce(string_agg(left(p.j, 200) || ' ' || left(p.n, 200), '; '), '') FROM t JOIN plain p USING (block_num) WHERE t.j::text <> p.j::jsonb::text OR t.n::text <> p.n::numeric::text OR t.f::text <> p.f::numeric(400,200)::text OR t.o::text <> p.o", "")
}

// TestCanonicalJSONRefusesWhatPostgresRefuses compares the two on texts with faults.
func TestCanonicalJSONRefusesWhatPostgresRefuses(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 3))
	db := newDatabase(t)
	db.run(`CREATE FUNCTION is_jsonb(v text) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN PERFORM v::jsonb; RETURN true; EXCEPTION WHEN OTHERS THEN RETURN false; END';
		CREATE FUNCTION is_json(v text) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN PERFORM v::json; RETURN true; EXCEPTION WHEN OTHERS THEN RETURN false; END'`)
	texts := []string{"", " ", "nul", "tru", "nullx", "01", "-", "1.", ".5", "1e", "+1", "'a'", `"\x"`, `"\u12"`, `"\ud800"`, `"\udc00\ud800"`, `"\ud800\u0041"`, `"\u0000"`, "\"a\nb\"",
		"[1,]", "[,1]", "{,}", `{"a"}`, `{"a":}`, `{"a":1,}`, `{1:2}`, "[1 2]", "1 2", "[", "]", "{", "NaN", "1e131072", "1e-16384", "1e99999999999", "0x1"}
	for range 300 {
		text := []byte(randomJSON(rnd, 3))
		at := rnd.IntN(len(text))
		switch rnd.IntN(3) {
		case 0:
			text = append(text[:at], text[at+1:]...)
		case 1:
			text[at] = "{}[],:\"\\0eE.-+ut nul"[rnd.IntN(20)]
		default:
			text = append(bytes.Clone(text[:at]), append([]byte{"{}[],:\"\\0eE.-+"[rnd.IntN(14)]}, text[at:]...)...)
		}
		texts = append(texts, strings.ToValidUTF8(string(text), "?"))
	}
	for _, text := range texts {
		for kind, base := range map[string]string{"is_jsonb": "jsonb", "is_json": "json"} {
			want := db.text("SELECT "+kind+"($1::text)", text) == "true"
			fit, ok := pgcopy.Fit(textType, "", pgcopy.Type{Base: base, Modifier: -1})
			if !ok {
				t.Fatalf("texts do not fit into %s", base)
			}
			b := array.NewStringBuilder(memory.DefaultAllocator)
			b.Append(text)
			values := fit.Bind(b.NewArray())
			if row, reason := values.Invalid(0, 1); (row < 0) != want {
				t.Errorf("%s(%q) is %v for PostgreSQL; here: %s", kind, text, want, reason)
			}
		}
	}
}

func randomJSON(rnd *rand.Rand, depth int) string {
	space := func() string { return []string{"", "", " ", "\n", "\t "}[rnd.IntN(5)] }
	kind := rnd.IntN(6)
	if depth == 0 {
		kind %= 4
	}
	switch kind {
	case 0:
		return []string{"null", "true", "false"}[rnd.IntN(3)]
	case 1:
		number := strings.TrimPrefix(randomDigits(rnd), "+")
		if strings.HasPrefix(number, ".") || strings.Contains(number, "-.") || strings.Contains(number, ".e") || strings.HasSuffix(number, ".") {
			return "0"
		}
		return number
	case 2, 3:
		return randomString(rnd)
	case 4:
		var all []string
		for range rnd.IntN(4) {
			all = append(all, space()+randomJSON(rnd, depth-1)+space())
		}
		return "[" + strings.Join(all, ",") + "]"
	default:
		var all []string
		for range rnd.IntN(5) {
			all = append(all, space()+randomString(rnd)+space()+":"+space()+randomJSON(rnd, depth-1)+space())
		}
		return "{" + space() + strings.Join(all, ",") + "}"
	}
}

// randomString is a JSON string with escapes of all kinds.
func randomString(rnd *rand.Rand) string {
	var b strings.Builder
	for _, r := range randomText(rnd) {
		switch {
		case rnd.IntN(3) == 0 && r < 0x10000:
			fmt.Fprintf(&b, []string{`\u%04x`, `\u%04X`}[rnd.IntN(2)], r)
		case r < 0x20 || r == '"' || r == '\\':
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return `"` + b.String() + `"`
}

// randomDigits is a number in digits, without zeros in front.
func randomDigits(rnd *rand.Rand) string {
	number := randomNumber(rnd).String()
	if rnd.IntN(2) == 0 {
		number += "." + strings.TrimPrefix(randomNumber(rnd).String(), "-")
	}
	if rnd.IntN(3) == 0 {
		number += fmt.Sprintf("%s%d", []string{"e", "E", "e+", "e-"}[rnd.IntN(4)], rnd.IntN(40))
	}
	return number
}
