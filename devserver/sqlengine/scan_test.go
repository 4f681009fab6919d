package sqlengine_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
)

// none is the limit of a query without one.
const none = math.MaxInt64

func TestScanRecognised(t *testing.T) {
	everything := block.Range{End: block.Max + 1}
	tests := []struct {
		query   string
		columns int
		blocks  block.Range
		ordered bool
		limit   int64
	}{
		{"SELECT * FROM ds.logs", 13, everything, false, none},
		{"select * from DS.Logs;", 13, everything, false, none},
		{`SELECT * FROM "_/ds@latest".logs LIMIT 0`, 13, everything, false, 0},
		{`SELECT * FROM "_/ds@1.0.0".logs -- all`, 13, everything, false, none},
		{"SELECT address, _block_num FROM ds.logs WHERE _block_num = 7", 2, block.Closed(7, 7), false, none},
		{"SELECT * FROM ds.logs WHERE block_num >= 5 AND 20 > _block_num ORDER BY block_num", 13, block.Range{Start: 5, End: 20}, true, none},
		{"SELECT * FROM ds.logs WHERE _block_num BETWEEN 5 AND 20 ORDER BY timestamp ASC LIMIT 3", 13, block.Closed(5, 20), true, 3},
		{"SELECT * FROM ds.logs l WHERE l._block_num > -1 AND ds.logs._block_num < 18446744073709551616", 0, block.Range{}, false, 0},
		{"SELECT l.* FROM ds.logs l WHERE l._block_num > -1 AND l._block_num < 18446744073709551616", 13, everything, false, none},
		{"SELECT * FROM (SELECT * FROM ds.logs\n) AS q WHERE q._block_num >= 10 AND q._block_num < 20 ORDER BY q._block_num",
			13, block.Range{Start: 10, End: 20}, true, none},
		{"SELECT * FROM (SELECT l.tx_hash, l.data, l._block_num FROM ds.logs l WHERE l.log_index < 5 -- c\n) WHERE _block_num >= 20 AND _block_num < 45 ORDER BY _block_num",
			3, block.Range{Start: 20, End: 45}, true, none},
		{"SELECT n FROM (SELECT block_num AS n FROM ds.logs WHERE topic0 = x'00' OR topic1 IS NULL) q WHERE n < 8", 1, block.Range{End: 8}, false, none},
		{"SELECT * FROM ds.transactions WHERE to = x'0011' AND NOT (value IN ('0', '1'))", 27, everything, false, none},
	}
	e := engine(t)
	for _, test := range tests {
		plan, err := e.Plan(t.Context(), test.query)
		if test.columns == 0 {
			if err == nil {
				t.Errorf("%s: was planned", test.query)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", test.query, err)
			continue
		}
		s := plan.Scan
		if s == nil {
			t.Errorf("%s: is not recognised as a scan", test.query)
			continue
		}
		if len(s.Columns) != test.columns || s.Blocks != test.blocks || plan.Ordered != test.ordered || s.Ordered != test.ordered || s.Limit != test.limit {
			t.Errorf("%s: is %d columns of %v, ordered %v, limit %d", test.query, len(s.Columns), s.Blocks, s.Ordered, s.Limit)
		}
	}
}

func TestScanRefused(t *testing.T) {
	e := engine(t)
	for _, query := range []string{
		"SELECT 1",
		"SELECT count(*) FROM ds.logs",
		"SELECT DISTINCT address FROM ds.logs",
		"SELECT _block_num + 1 AS n FROM ds.logs",
		"SELECT * FROM ds.logs ORDER BY _block_num DESC",
		"SELECT * FROM ds.logs ORDER BY _block_num, log_index",
		"SELECT * FROM ds.logs ORDER BY address",
		"SELECT log_index AS block_num FROM ds.logs ORDER BY block_num",
		"SELECT * FROM ds.logs LIMIT 5 OFFSET 2",
		"SELECT * FROM (SELECT * FROM ds.logs LIMIT 5) WHERE _block_num < 12",
		"SELECT * FROM ds.logs WHERE _block_num < log_index",
		"SELECT * FROM ds.logs WHERE _block_num % 2 = 0",
		"SELECT * FROM ds.logs WHERE address IN (SELECT \"from\" FROM ds.transactions)",
		"SELECT a.hash FROM ds.blocks a JOIN ds.blocks b ON a.hash = b.parent_hash",
		"SELECT _block_num FROM ds.logs UNION ALL SELECT _block_num FROM ds.blocks",
		"WITH w AS (SELECT * FROM ds.logs) SELECT * FROM w",
		"SELECT address FROM ds.logs GROUP BY address",
	} {
		plan, err := e.Plan(t.Context(), query)
		if err != nil {
			t.Errorf("%s: %v", query, err)
		} else if plan.Scan != nil {
			t.Errorf("%s: is taken for a scan", query)
		}
	}
}

// TestBothWays asks random range queries twice: as they are, and so that only
// DuckDB can answer. Rows and schema must agree.
func TestBothWays(t *testing.T) {
	e := engine(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	pick := func(of ...string) string { return of[rnd.IntN(len(of))] }
	rows, _, err := run(t, e, "SELECT topic0, tx_hash FROM ds.logs WHERE topic0 IS NOT NULL LIMIT 1")
	if err != nil {
		t.Fatal(err)
	}
	known := strings.Split(rows[0], "|")
	hash := "from_base64('" + known[1] + "')"
	condition := func() string {
		return pick(
			"log_index < "+pick("0", "3", "-1", "4294967296", "18446744073709551616", "29"), "tx_index <> 2", "2 <= tx_index", "log_index IN (1, 2, 40)",
			"topic1 IS NULL", "topic2 IS NOT NULL", "tx_hash > x'80'", "topic3 > x''", "NOT log_index IN (1, 2)", "data = x''", "topic3 >= x'7f'", "NOT (topic3 < x'7f')",
			"(topic3 < x'7f' OR log_index = 4)", "_block_num > 50", "block_num BETWEEN 20 AND 60", "tx_hash = "+hash,
		)
	}
	for range 60 {
		columns := pick("*", "log_index, _block_num, topic3", "data, _block_num, block_num AS n")
		query := "SELECT " + columns + " FROM ds.logs WHERE " + condition() + " AND " + condition()
		if rnd.IntN(2) == 0 {
			query = "SELECT * FROM (" + query + ") AS q WHERE q._block_num >= 15 AND q._block_num < 77"
		}
		mine, schema, err := run(t, e, query)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		theirs, other, err := run(t, e, query+" AND _block_num % 1 = 0")
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		if !slices.Equal(mine, theirs) {
			t.Errorf("%s: %d rows from the table, %d from DuckDB", query, len(mine), len(theirs))
		}
		if !schema.Equal(other) {
			t.Errorf("%s: schema %s from the table, %s from DuckDB", query, schema, other)
		}
	}
}

// TestReads: how much of a table a query is known to need. Too much costs time,
// too little costs rows.
func TestReads(t *testing.T) {
	everything := block.Range{End: block.Max + 1}
	from50 := block.Range{Start: 50, End: block.Max + 1}
	tests := map[string][]block.Range{
		"SELECT _block_num, count(*) AS c FROM ds.logs WHERE _block_num >= 50 GROUP BY _block_num":                       {from50},
		"SELECT * FROM (SELECT _block_num, count(*) AS c FROM ds.logs GROUP BY _block_num) WHERE _block_num >= 50":       {from50},
		"SELECT * FROM (SELECT max(_block_num) AS m, address FROM ds.logs GROUP BY address) WHERE m >= 50":               {everything},
		"SELECT * FROM (SELECT _block_num, row_number() OVER () AS r FROM ds.logs) WHERE _block_num >= 50":               {everything},
		"SELECT * FROM (SELECT * FROM ds.logs LIMIT 5) WHERE _block_num >= 50":                                           {everything},
		"SELECT * FROM (SELECT DISTINCT _block_num FROM ds.logs) WHERE _block_num >= 50":                                 {everything},
		"WITH w AS (SELECT * FROM ds.logs) SELECT * FROM w WHERE _block_num >= 50":                                       {from50},
		"WITH w AS (SELECT * FROM ds.logs) SELECT 1 AS a FROM w v, w u WHERE v._block_num >= 50":                         {everything},
		"SELECT b.hash FROM ds.blocks b JOIN ds.logs l ON b.hash = l.block_hash WHERE b._block_num >= 50":                {from50, everything},
		"SELECT b.hash FROM ds.blocks b LEFT JOIN ds.logs l ON b.hash = l.block_hash WHERE l._block_num >= 50":           {everything, everything},
		"SELECT b.hash FROM ds.blocks b WHERE NOT EXISTS (SELECT 1 FROM ds.logs l WHERE b._block_num >= 50)":             {everything, everything},
		"SELECT b.hash FROM ds.blocks b WHERE EXISTS (SELECT 1 FROM ds.logs l WHERE l._block_num >= 50)":                 {everything, from50},
		"SELECT hash FROM ds.blocks WHERE _block_num >= 50 OR nonce > 3":                                                 {everything},
		"SELECT n FROM (SELECT _block_num AS n FROM ds.blocks UNION ALL SELECT _block_num FROM ds.logs) q WHERE n >= 50": {everything, everything},
	}
	e := engine(t)
	for query, want := range tests {
		plan, err := e.Plan(t.Context(), query)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		var got []block.Range
		for _, r := range plan.Reads() {
			got = append(got, r.Blocks)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: reads %v, want %v", query, got, want)
		}
		if _, _, err := run(t, e, query); err != nil {
			t.Errorf("%s: %v", query, err)
		}
	}
}
