package sqlcheck_test

import (
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sqlcheck"
)

func mustParse(t *testing.T, query string) *sqlcheck.Query {
	t.Helper()
	q, err := sqlcheck.Parse(query)
	if err != nil {
		t.Fatalf("%s\n%v", query, err)
	}
	return q
}

func TestParseTakesOffTheEnd(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ query, want string }{
		{"SELECT 1", "SELECT 1"},
		{"  select 1\n;\n", "select 1"},
		{"SELECT 1;; ; -- done; really\n/* ; */ ;", "SELECT 1"},
		{"SELECT 1 -- keep; this", "SELECT 1 -- keep; this"},
		{"SELECT ';' AS a", "SELECT ';' AS a"},
		{"SELECT 1 SETTINGS stream = true", "SELECT 1"},
		{"SELECT * FROM a.b Settings Stream = TRUE;", "SELECT * FROM a.b"},
		{"SELECT * FROM a.b -- c\nsettings stream=false -- d", "SELECT * FROM a.b -- c"},
		{"SELECT * FROM a.b WHERE x = 'y' SETTINGS stream = true, other = -1;", "SELECT * FROM a.b WHERE x = 'y'"},
		{"SELECT * FROM a.b ORDER BY x DESC SETTINGS a = 'b'", "SELECT * FROM a.b ORDER BY x DESC"},
		// A name that reads like the clause.
		{"SELECT settings FROM a.b", "SELECT settings FROM a.b"},
		{"SELECT t.settings = 1 AS s FROM a.b t", "SELECT t.settings = 1 AS s FROM a.b t"},
		{"SELECT a FROM a.b WHERE settings = 1", "SELECT a FROM a.b WHERE settings = 1"},
		{`SELECT a "settings" FROM a.b`, `SELECT a "settings" FROM a.b`},
		{"SELECT ' SETTINGS stream = true' AS a", "SELECT ' SETTINGS stream = true' AS a"},
		{"SELECT 1 -- SETTINGS stream = true", "SELECT 1 -- SETTINGS stream = true"},
		{"(SELECT 1 AS a) UNION ALL (SELECT 2 AS a)", "(SELECT 1 AS a) UNION ALL (SELECT 2 AS a)"},
	} {
		if got := mustParse(t, c.query).Text(); got != c.want {
			t.Errorf("%q\ngives %q\nwant  %q", c.query, got, c.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ query, reason string }{
		{"", "it is empty"},
		{" -- nothing\n;", "it is empty"},
		{"SELECT 1; SELECT 2", "line 1, column 11: a second statement begins here"},
		{"DROP TABLE x", "line 1, column 1: it must begin with SELECT or WITH, not \"DROP\""},
		{"EXPLAIN SELECT 1", "gives a plan, not rows"},
		{"SHOW TABLES", "must begin with SELECT"},
		{"FROM a.b SELECT 1", "begins with FROM"},
		{"SELECT * FROM (FROM a.b)", "begins with FROM"},
		{"SELECT x FROM a.b WHERE x IN (FROM a.c SELECT count(x))", "begins with FROM"},
		{"SELECT x FROM a.b UNION ALL FROM a.c SELECT count(x) AS x", "begins with FROM"},
		{"(VALUES (1))", "VALUES has no blocks"},
		{"SELECT 1 SETTINGS stream = true SETTINGS stream = true", "line 1, column 33: SETTINGS is written twice"},
		{"SELECT 1 settings a = 1, b = 2 Settings c = 3", "written twice"},
		{"SELECT * FROM (SELECT 1 AS a SETTINGS stream = true)", "SETTINGS inside a subquery"},
		{"SELECT 1 SETTINGS stream = true LIMIT 5", `"LIMIT" follows SETTINGS`},
		{"SELECT 1 SETTINGS stream =", "a name without a value"},
		{"SELECT 1 SETTINGS stream = true,", "there must be name = value"},
		{"SELECT 'a", "line 1, column 8: the string is never closed"},
		{"SELECT 1 /* a", "the comment is never closed"},
		{"SELECT 1 /* a /* b */ c */", `"/*" inside the comment`},
		{`SELECT "a`, "name in quotes is never closed"},
		{"SELECT (1", `"(" is never closed`},
		{"SELECT\n  1)", "line 2, column 4: \")\" closes nothing"},
		{"SELECT (1]", `"]" closes nothing`},
		{"SELECT $$a$$", "dollar quotes"},
		{"SELECT $t$ LIMIT 1 $t$", "dollar quotes"},
		{`SELECT E'a\' LIMIT 5 --'`, "two ways"},
		{`SELECT n'a\'`, "two ways"},
		{"SELECT r'''a'''", "triple quotes"},
		{"SELECT q'[a]'", "not supported"},
		{`SELECT r"a"`, "put a space between"},
		{"SELECT #a", "must stand in double quotes"},
		{"SELECT * FROM a.b |> LIMIT 5", "pipe operator"},
		{"SELECT * FROM a.b.c", "at most two parts"},
		{"WITH a SELECT 1", "WITH is not understood"},
		{"SELECT '\xff'", "not valid UTF-8"},
	} {
		_, err := sqlcheck.Parse(c.query)
		if err == nil || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%q\ngives %v\nwant  %s", c.query, err, c.reason)
			continue
		}
		if fault.Of(err) != fault.ClassPermanent {
			t.Errorf("%q: not permanent: %v", c.query, err)
		}
	}
}

func TestWrap(t *testing.T) {
	t.Parallel()
	q := mustParse(t, "SELECT * FROM eth.logs -- all;")
	r := block.Range{Start: 10, End: 20}
	for _, c := range []struct{ got, want string }{
		{q.Wrap("_block_num", r), "SELECT * FROM (SELECT * FROM eth.logs -- all;\n) AS q WHERE q._block_num >= 10 AND q._block_num < 20 ORDER BY q._block_num"},
		{q.Wrap("Block Num", r), `SELECT * FROM (SELECT * FROM eth.logs -- all;` + "\n" + `) AS q WHERE q."Block Num" >= 10 AND q."Block Num" < 20 ORDER BY q."Block Num"`},
		{q.Head(), "SELECT * FROM (SELECT * FROM eth.logs -- all;\n) AS q LIMIT 0"},
	} {
		if c.got != c.want {
			t.Errorf("got  %s\nwant %s", c.got, c.want)
		}
	}
}

// TestQueriesThatBreakOtherClients goes through the table of AP 8 P11: queries
// into which the Python client's string search writes its filter at a wrong
// place. Every one is wrapped as it stands, or refused for the one reason.
func TestQueriesThatBreakOtherClients(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, query, refused string }{
		{"keywords on lines of their own", "SELECT block_num, a\nFROM d.t\nWHERE a = 1\nORDER BY a", ""},
		{"OR", "SELECT * FROM d.t WHERE a = 1 OR b = 2", ""},
		{"CTE with WHERE", "WITH c AS (SELECT * FROM d.t WHERE a = 1) SELECT * FROM c", ""},
		{"literal that reads like a clause", "SELECT * FROM d.t WHERE a = 'x LIMIT 5'", ""},
		{"LIMIT in a subquery", "SELECT * FROM d.t WHERE a IN (SELECT a FROM d.u LIMIT 5)", "column 49: LIMIT keeps rows by their number"},
		{"UNION ALL", "SELECT block_num, a FROM d.t UNION ALL SELECT block_num, a FROM d.u", ""},
		{"join", "SELECT t.block_num, u.a FROM d.t t JOIN d.u u ON t.block_num = u.block_num", ""},
		{"subquery and outer WHERE", "SELECT * FROM (SELECT * FROM d.t WHERE a = 1) x WHERE b = 2", ""},
		{"HAVING", "SELECT block_num, a, count(*) AS n FROM d.t GROUP BY block_num, a HAVING count(*) > 1", ""},
		{"OFFSET", "SELECT * FROM d.t OFFSET 5", "column 19: OFFSET keeps rows by their number"},
		{"GROUP BY", "SELECT a, count(*) AS n, max(block_num) AS block_num FROM d.t GROUP BY a", "column 11: count aggregates over all blocks"},
		{"trailing comment", "SELECT * FROM d.t -- the end", ""},
		{"length changes in upper case", "SELECT * FROM d.t WHERE a = 'ßßß' AND b = 1", ""},
		{"SETTINGS", "SELECT * FROM d.t Settings stream = true", ""},                                  // P10
		{"ORDER BY before LIMIT 1", "SELECT * FROM d.t ORDER BY a LIMIT 1", "column 30: LIMIT keeps"}, // P23
	} {
		t.Run(c.name, func(t *testing.T) {
			q := mustParse(t, c.query)
			body := strings.TrimSuffix(c.query, " Settings stream = true")
			want := "SELECT * FROM (" + body + "\n) AS q WHERE q.block_num >= 1 AND q.block_num < 5 ORDER BY q.block_num"
			got := q.Wrap("block_num", block.Range{Start: 1, End: 5})
			if got != want {
				t.Errorf("wrapped\n%s\nwant\n%s", got, want)
			}
			// The wrapped query reads as one query that holds the whole of the
			// user's, with the filter outside of it.
			mustParse(t, got)
			err := q.Partitionable("")
			if c.refused == "" && err != nil {
				t.Error(err)
			}
			if c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused) || strings.Contains(err.Error(), "\n")) {
				t.Errorf("gives %v, want the one reason %q", err, c.refused)
			}
		})
	}
}

func TestTables(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ query, want string }{
		{"SELECT 1", ""},
		{"SELECT * FROM Eth_RPC.Logs", "eth_rpc.logs"},
		{`SELECT * FROM "my_ns/eth_rpc@1.0.0".logs l`, `"my_ns/eth_rpc@1.0.0".logs`},
		{"SELECT * FROM `_/eth_rpc@latest`.\"Blocks\"", `"_/eth_rpc@latest"."Blocks"`},
		{"SELECT * FROM logs", "logs"},
		{"SELECT * FROM a.b, a.c x, a.b AS y (p, q)", "a.b a.c"},
		{"SELECT * FROM a.b x LEFT JOIN a.c AS y ON x.i = y.i AND y.j = from_x(1) CROSS JOIN (a.d NATURAL JOIN a.e) WHERE 1 = 1", "a.b a.c a.d a.e"},
		{"SELECT * FROM a.b JOIN a.c USING (block_num) JOIN a.d USING (block_num)", "a.b a.c a.d"},
		{"SELECT * FROM a.b, UNNEST(topics) AS t(x), LATERAL (SELECT * FROM a.c) l, eth.fn(1) f", "a.b a.c"},
		{"WITH c AS (SELECT * FROM a.b), d (x, y) AS MATERIALIZED (SELECT * FROM c) SELECT * FROM d JOIN c ON d.x = c.x", "a.b"},
		// A common table expression hides only bare names, and only where it is seen.
		{"WITH c AS (SELECT * FROM a.b) SELECT * FROM a.c", "a.b a.c"},
		{"SELECT * FROM (WITH c AS (SELECT * FROM a.b) SELECT * FROM c) x JOIN c ON true", "a.b c"},
		{"SELECT * FROM a.b WHERE x IN (SELECT x FROM a.c) AND EXISTS (SELECT 1 FROM (SELECT * FROM a.d) e)", "a.b a.c! a.d!"},
		{"SELECT *, (SELECT max(x) FROM a.c) FROM a.b JOIN a.c ON a.b.x = a.c.x", "a.c a.b"},
		{"SELECT extract(year FROM t), trim(both FROM x), substring(a FROM 1 FOR 2), x IS NOT DISTINCT FROM y FROM a.b", "a.b"},
		{"SELECT * FROM a.b UNION SELECT * FROM a.c EXCEPT (SELECT * FROM a.d INTERSECT SELECT * FROM a.e)", "a.b a.c a.d a.e"},
		{"SELECT ' FROM a.x' AS s, \"from\" FROM a.b -- FROM a.y\n/* FROM a.z */", "a.b"},
		{"SELECT * EXCEPT (x) FROM a.b", "a.b"},
		{"SELECT * FROM (VALUES (1), (2)) AS v(x), ((SELECT * FROM a.b)) w", "a.b"},
	} {
		var got []string
		for _, table := range mustParse(t, c.query).Tables() {
			s := table.String()
			if table.Inner {
				s += "!"
			}
			got = append(got, s)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s\ngives %s\nwant  %s", c.query, s, c.want)
		}
	}
}

func TestParseTable(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]sqlcheck.Table{
		"eth_rpc.Logs":         {Dataset: "eth_rpc", Name: "logs"},
		` "_/eth@1.0.0".logs `: {Dataset: "_/eth@1.0.0", Name: "logs"},
		`"_/eth@1.0.0"."a""b"`: {Dataset: "_/eth@1.0.0", Name: `a"b`},
		"logs":                 {Name: "logs"},
	} {
		got, err := sqlcheck.ParseTable(text)
		if err != nil || got != want {
			t.Errorf("%s gives %+v, %v", text, got, err)
		}
		if again, err := sqlcheck.ParseTable(got.String()); err != nil || again != got {
			t.Errorf("%s is written %s, which gives %+v, %v", text, got, again, err)
		}
	}
	for _, bad := range []string{"", "a.b.c", "_/eth@1.0.0.logs", "a.b x", "(a)", "'a'", `"a`, "a.b; DROP"} {
		if got, err := sqlcheck.ParseTable(bad); err == nil || fault.Of(err) != fault.ClassPermanent {
			t.Errorf("%q gives %+v, %v", bad, got, err)
		}
	}
}
