package sqlcheck_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/fault"
)

var partitionable = []string{
	"SELECT * FROM d.t",
	"SELECT block_num, x FROM d.t ORDER BY x",
	"SELECT DISTINCT block_num, address FROM d.t",
	"SELECT ALL block_num FROM d.t",
	"SELECT DISTINCT ON (block_num, address) * FROM d.t",
	// Names that read like clauses.
	`SELECT "limit", t.offset, t.fetch FROM d.t`,
	"SELECT limit, block_num FROM d.t WHERE limit = 5 AND x > offset",
	"SELECT block_num, a * limit AS m FROM d.t",
	"SELECT block_num, limit FROM d.t WHERE offset > 1 GROUP BY block_num, limit HAVING 1 = 1 ORDER BY limit DESC",
	"SELECT block_num AS top, x AS \"LIMIT\" FROM d.t",
	"SELECT top FROM d.t",
	"SELECT block_num, count FROM d.t WHERE sum > 1",
	"SELECT block_num, ds.count(x) AS n FROM d.t",
	"SELECT block_num, over FROM d.t",
	// Aggregates within a block.
	"SELECT block_num, count(*) AS n FROM d.t GROUP BY block_num",
	"SELECT l._block_num AS b, sum(x) AS s FROM d.t l GROUP BY b, l.address",
	"SELECT _block_num, sum(x) AS s FROM d.t GROUP BY address, 1",
	"SELECT address, _block_num AS b, sum(x) AS s FROM d.t GROUP BY 1, 2",
	"SELECT block_num, a, sum(x) AS s FROM d.t GROUP BY (block_num, a)",
	"SELECT block_num, a, sum(x) AS s FROM d.t GROUP BY ALL",
	`SELECT "block_num", max(x) AS s FROM d.t GROUP BY "block_num"`,
	"SELECT block_num, count(*) FILTER (WHERE x > 1) AS n FROM d.t GROUP BY block_num HAVING min(x) < max(y) ORDER BY count(*)",
	"WITH c AS (SELECT block_num, count(*) AS n FROM d.t GROUP BY block_num) SELECT t.*, c.n FROM d.t t JOIN c ON c.block_num = t.block_num",
	"SELECT block_num, n FROM (SELECT block_num, count(*) AS n FROM d.t GROUP BY block_num) WHERE n > 5",
	// Windows within a block.
	"SELECT *, row_number() OVER (PARTITION BY block_num ORDER BY log_index) AS r FROM d.t",
	"SELECT *, sum(x) OVER (PARTITION BY address, t.block_num) AS s FROM d.t",
	"SELECT *, sum(x) OVER w AS s FROM d.t WINDOW w AS (PARTITION BY block_num)",
	"SELECT *, sum(x) OVER (w ORDER BY y) AS s, lag(x) IGNORE NULLS OVER w AS l FROM d.t WINDOW w AS (PARTITION BY block_num), v AS (w)",
	"SELECT * FROM d.t QUALIFY row_number() OVER (PARTITION BY block_num ORDER BY i) = 1",
	// Subqueries.
	"SELECT b.*, (SELECT count(*) FROM d.logs l WHERE l.block_num = b.block_num AND l.x BETWEEN 1 AND 2) AS n FROM d.blocks b",
	"SELECT * FROM d.t WHERE EXISTS (SELECT 1 FROM d.u WHERE u.a = t.a LIMIT 1)",
	"SELECT * FROM d.t WHERE a IN (SELECT DISTINCT a FROM d.u)",
	"SELECT * FROM d.t WHERE a IN (SELECT a FROM d.u GROUP BY a)",
	"SELECT block_num FROM d.t UNION SELECT block_num FROM d.u",
	"SELECT block_num FROM d.t LIMIT ALL",
	"SELECT * FROM d.t WHERE a = ' LIMIT 5 ' -- LIMIT 5\n/* OFFSET 3 */",
	"SELECT * FROM d.t WHERE a = E'it''s LIMIT 5' OR b = x'00'",
	"SELECT block_num, CASE WHEN a THEN b ELSE c END AS d FROM d.t",
	"SELECT block_num, topics[1] AS t, {a: 1} AS s FROM d.t",
}

func TestPartitionable(t *testing.T) {
	t.Parallel()
	for _, query := range partitionable {
		if err := mustParse(t, query).Partitionable(""); err != nil {
			t.Errorf("%s\n%v", query, err)
		}
	}
}

var notPartitionable = []struct{ query, reason string }{
	{"SELECT * FROM d.t LIMIT 5", "line 1, column 19: LIMIT"},
	{"SELECT * FROM d.t\nlimit\n5", "line 2, column 1: LIMIT"},
	{"SELECT * FROM d.t WHERE a = 'x'/**/LIMIT/**/5", "LIMIT"},
	{"SELECT * LIMIT 5", "LIMIT"},
	{"SELECT count(*) LIMIT 5", "LIMIT"},
	{"SELECT * FROM d.t LIMIT 5, 6", "LIMIT"},
	{"SELECT * FROM d.t LIMIT (SELECT 5)", "LIMIT"},
	{"SELECT * FROM d.t LIMIT $1", "LIMIT"},
	{"SELECT * FROM d.t WHERE x = limit LIMIT 5", "LIMIT"},
	{"SELECT by LIMIT 5", "if it is a column, write it in double quotes"},
	{"SELECT * FROM d.t ORDER BY x OFFSET 5 ROWS FETCH NEXT 3 ROWS ONLY", "OFFSET"},
	{"SELECT * FROM d.t FETCH FIRST ROW ONLY", "FETCH"},
	{"SELECT TOP 5 * FROM d.t", "TOP"},
	{"SELECT DISTINCT TOP (5) a FROM d.t", "TOP"},
	{"SELECT * FROM d.t TABLESAMPLE (10 PERCENT)", "TABLESAMPLE"},
	{"(SELECT * FROM d.t LIMIT 5) UNION ALL SELECT * FROM d.u", "column 20: LIMIT"},
	{"SELECT * FROM d.t UNION ALL SELECT * FROM d.u LIMIT 5", "column 47: LIMIT"},
	{"WITH c AS (SELECT * FROM d.t LIMIT 5) SELECT * FROM c", "LIMIT"},
	{"SELECT * FROM d.t WHERE EXISTS (SELECT 1 FROM d.u LIMIT 1 OFFSET 4)", "OFFSET"},
	{"SELECT * FROM d.t WHERE EXISTS (SELECT 1 FROM d.u LIMIT 0)", "LIMIT"},
	{"SELECT (SELECT x FROM d.u LIMIT 1) AS x FROM d.t", "LIMIT"},
	{"SELECT count(*) AS n, max(block_num) AS block_num FROM d.t", "count aggregates"},
	{"SELECT MAX ( block_num ) AS block_num FROM d.t", "MAX aggregates"},
	{`SELECT "max"(block_num) AS block_num FROM d.t`, `"max" aggregates`},
	{"SELECT round(sum(x)) AS s, address FROM d.t GROUP BY address", "sum aggregates"},
	{"SELECT address FROM d.t GROUP BY address HAVING count(*) > 5", "count aggregates"},
	{"SELECT block_num/1000 AS b, count(*) AS n FROM d.t GROUP BY b", "count aggregates"},
	{"SELECT block_num/1000 AS block_num, count(*) AS n FROM d.t GROUP BY block_num", "count aggregates"},
	{"SELECT *, count(*) AS n FROM d.t GROUP BY 1", "count aggregates"},
	{"SELECT block_num, count(*) AS n FROM d.t GROUP BY ROLLUP (block_num)", "count aggregates"},
	{"SELECT block_num, count(*) AS n FROM d.t GROUP BY block_num WITH ROLLUP", "count aggregates"},
	{"SELECT block_num, sum(count(*)) OVER (PARTITION BY block_num) AS n FROM d.t", "count aggregates"},
	{"SELECT t.*, c.n FROM d.t JOIN (SELECT a, count(*) AS n FROM d.t GROUP BY a) c ON c.a = t.a", "count aggregates"},
	{"SELECT * FROM d.t WHERE block_num > (SELECT max(block_num) FROM d.t) - 100", "max aggregates"},
	{"SELECT (SELECT count(*) FROM d.u WHERE u.block_num = t.block_num OR u.x = 1) AS n FROM d.t t", "count aggregates"},
	{"SELECT (SELECT count(*) FROM d.u u WHERE u.block_num = u.block_num) AS n FROM d.t t", "count aggregates"},
	{"SELECT (SELECT count(*) FROM d.u u WHERE u.a BETWEEN 1 AND u.block_num = t.block_num) AS n FROM d.t t", "count aggregates"},
	{"SELECT *, row_number() OVER (ORDER BY block_num) AS r FROM d.t", "window of row_number"},
	{"SELECT *, sum(x) FILTER (WHERE x > 1) OVER (PARTITION BY address) AS r FROM d.t", "window of sum"},
	{"SELECT *, sum(x) OVER w AS r FROM d.t WINDOW w AS (ORDER BY block_num)", "window of sum"},
	{"SELECT *, sum(x) OVER w AS r FROM d.t WINDOW w AS (v), v AS (w)", "window of sum"},
	{"SELECT *, sum(x) OVER () AS r FROM d.t", "window of sum"},
	{"SELECT *, sum(x) OVER (PARTITION BY block_num / 10) AS r FROM d.t", "window of sum"},
	{"SELECT block_num() AS b, x FROM d.t", "line 1, column 8: block_num() works in streams only"},
	{"SELECT DISTINCT ON (address) * FROM d.t", "DISTINCT ON"},
	{"WITH RECURSIVE c AS (SELECT 1 AS x) SELECT * FROM c", "RECURSIVE"},
	{"SELECT * FROM d.t WHERE x = ANY (SELECT avg(x) FROM d.u)", "avg aggregates"},
	{"SELECT * FROM d.a JOIN d.b ON a.x = (SELECT max(x) FROM d.c)", "max aggregates"},
}

func TestNotPartitionable(t *testing.T) {
	t.Parallel()
	for _, c := range notPartitionable {
		err := mustParse(t, c.query).Partitionable("")
		if err == nil || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%s\ngives %v\nwant  %s", c.query, err, c.reason)
			continue
		}
		if fault.Of(err) != fault.ClassPermanent {
			t.Errorf("%s: not permanent", c.query)
		}
	}
}

func TestPartitionableByConfiguredColumn(t *testing.T) {
	t.Parallel()
	q := mustParse(t, "SELECT slot, count(*) AS n FROM d.t GROUP BY slot")
	if err := q.Partitionable("slot"); err != nil {
		t.Error(err)
	}
	if q.Partitionable("") == nil {
		t.Error("slot counts as the block column though it is not configured")
	}
}

func TestPartitionableNamesEveryReason(t *testing.T) {
	t.Parallel()
	err := mustParse(t, "SELECT address, sum(x) AS s\nFROM (SELECT * FROM d.t OFFSET 1)\nGROUP BY address LIMIT 5").Partitionable("")
	if err == nil {
		t.Fatal("accepted")
	}
	at := 0
	for _, reason := range []string{"line 1, column 17: sum", "line 2, column 25: OFFSET", "line 3, column 18: LIMIT"} {
		i := strings.Index(err.Error(), reason)
		if i < at {
			t.Errorf("%q is missing or out of place in\n%v", reason, err)
		}
		at = i
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		query string
		want  []string
	}{
		{"SELECT * FROM d.t", nil},
		{"SELECT b.block_num FROM d.b b JOIN d.l l ON b.block_num = l.block_num AND l.x = 1", nil},
		{"SELECT block_num FROM d.b JOIN d.l USING (block_num, x)", nil},
		{"SELECT b.block_num FROM d.b b, d.l l, d.m m WHERE b.block_num = l.block_num AND m._block_num = l.block_num", nil},
		{"SELECT block_num, now, t.random FROM d.t, UNNEST(x)", nil},
		{"SELECT block_num, min(x) AS a, count(*) AS n FROM d.t GROUP BY block_num", nil},
		{"SELECT min(x), max(x) FROM d.t", nil},
		{"SELECT count(*) AS n, Max(block_num) AS m FROM d.t", []string{"line 1, column 23: Max together with count"}},
		{"SELECT block_num FROM d.t WHERE timestamp > now()", []string{"column 45: now is 1970"}},
		{"SELECT block_num, current_timestamp AS t, random() AS r FROM d.t ORDER BY 1 SETTINGS stream = true",
			[]string{"current_timestamp is 1970", "random differs", "ORDER BY has no effect", "SETTINGS is left out"}},
		{"SELECT a.block_num FROM d.a JOIN d.b ON a.hash = b.hash", []string{"column 1: this SELECT joins tables other than by the block column"}},
		{"SELECT a.block_num FROM d.a a JOIN d.b b ON a.block_num = b.block_num JOIN d.c c ON c.x = a.x", []string{"this SELECT joins"}},
		{"SELECT * FROM d.a WHERE x IN (SELECT x FROM d.b) OR EXISTS (SELECT 1 FROM d.c)", []string{"the blocks of d.b, d.c do not count"}},
	} {
		got := mustParse(t, c.query).Warnings("")
		if len(got) != len(c.want) {
			t.Errorf("%s\ngives %q\nwant  %q", c.query, got, c.want)
			continue
		}
		for i := range got {
			if !strings.Contains(got[i], c.want[i]) {
				t.Errorf("%s\ngives %q\nwant  %q", c.query, got[i], c.want[i])
			}
		}
	}
}

// TestSpellingDoesNotMatter spells the queries above anew: letters in any case,
// and any white space or comment where there is a space. What is partitionable
// stays so, and what is not does not slip through.
func TestSpellingDoesNotMatter(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	for range 20 {
		for _, query := range partitionable {
			if spelt := respell(rnd, query); mustParse(t, spelt).Partitionable("") != nil {
				t.Errorf("refused\n%s\nspelt\n%s", query, spelt)
			}
		}
		for _, c := range notPartitionable {
			if spelt := respell(rnd, c.query); mustParse(t, spelt).Partitionable("") == nil {
				t.Errorf("accepted\n%s\nspelt\n%s", c.query, spelt)
			}
		}
	}
}

// respell changes what stands outside of quotes, and nothing from the first
// comment on.
func respell(rnd *rand.Rand, query string) string {
	spaces := []string{" ", "\n", "\t ", "\r\n", " /* LIMIT 5 */ ", " /*'*/", " -- it's \n", " --(\n", "\u00a0"}
	query, comment, _ := strings.Cut(query, "--")
	var b strings.Builder
	quote := rune(0)
	for _, r := range query {
		switch {
		case quote != 0:
			if r == quote {
				quote = 0
			}
			b.WriteRune(r)
		case r == '\'' || r == '"' || r == '`':
			quote = r
			b.WriteRune(r)
		case r == ' ':
			b.WriteString(spaces[rnd.IntN(len(spaces))])
		case rnd.IntN(2) == 0:
			b.WriteString(strings.ToUpper(string(r)))
		default:
			b.WriteString(strings.ToLower(string(r)))
		}
	}
	if comment != "" {
		b.WriteString("--" + comment)
	}
	return b.String()
}
