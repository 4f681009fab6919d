package sqlcheck_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sqlcheck"
)

// FuzzParse holds that no text makes the package panic, that what is accepted
// can be wrapped into a query that reads as one query over the same tables, and
// that the filter of the wrapped query is out of the user's reach: whatever
// stands at the end of his text, another clause after the wrap is seen.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"SELECT * FROM a.b -- c", "WITH c AS (SELECT 1 AS x) SELECT x FROM c;", "SELECT 'it''s' AS \"a\"\"b\", x'00', E'a' FROM a.b /* c */",
		"SELECT a.block_num, count(*) FILTER (WHERE x) OVER w FROM a JOIN b USING (x), LATERAL (SELECT 1) l WINDOW w AS (PARTITION BY block_num)",
		"(SELECT 1) UNION ALL SELECT x IS NOT DISTINCT FROM y EXCEPT (SELECT 1) SETTINGS stream = true;;", "SELECT [1], {a: 1}, $1, a->>'b', 1e-5, .5, 0xff",
		"SELECT * FROM d.t WHERE x NOT IN ('0x01', lower(y)) AND z BETWEEN '0x02' AND '0x03' GROUP BY 1, (a, b) HAVING 1 LIMIT 5",
		"SELECT ß, \"limit\" FROM (((a.b))) ORDER BY 1 OFFSET 2 FETCH FIRST ROW ONLY",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		q, err := sqlcheck.Parse(query)
		if err != nil {
			if fault.Of(err) != fault.ClassPermanent {
				t.Errorf("not permanent: %v", err)
			}
			return
		}
		if again, err := sqlcheck.Parse(q.Text()); err != nil || again.Text() != q.Text() {
			t.Fatalf("the text of %q is %q, which does not read as itself: %v", query, q.Text(), err)
		}
		r := block.Range{Start: 1, End: 2}
		for _, wrapped := range []string{q.Wrap("block_num", r), q.Wrap("a b", r), q.Head()} {
			outer, err := sqlcheck.Parse(wrapped)
			if err != nil {
				t.Fatalf("%q is wrapped as %q: %v", query, wrapped, err)
			}
			if outer.Text() != wrapped || !reflect.DeepEqual(outer.Tables(), q.Tables()) {
				t.Fatalf("%q is wrapped as %q, with tables %v and %v", query, outer.Text(), q.Tables(), outer.Tables())
			}
		}
		limited, err := sqlcheck.Parse(q.Wrap("block_num", r) + " LIMIT 7")
		if err != nil {
			t.Fatal(err)
		}
		if err := limited.Partitionable(""); err == nil || !strings.Contains(err.Error(), "LIMIT keeps") {
			t.Fatalf("%q hides what follows its wrap: %v", query, err)
		}
		_ = q.Partitionable("slot")
		_ = q.Warnings("slot")
		_ = q.HexComparisons(func(string) bool { return true })
	})
}
