package sqlcheck_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/fault"
)

func TestHexComparisons(t *testing.T) {
	t.Parallel()
	binary := func(column string) bool {
		return slices.Contains([]string{"address", "topic0", "hash", "Mixed"}, column)
	}
	long := "0x" + strings.Repeat("ab", 200)
	for _, c := range []struct {
		query string
		want  []string
	}{
		{"SELECT * FROM d.t WHERE address = '0x9A71'", []string{"line 1, column 35: column address is binary and '0x9A71' is text, which never match; write x'9a71'"}},
		{"SELECT * FROM d.t l WHERE '0x9a71' <> l.address", []string{"write x'9a71'"}},
		{"SELECT * FROM d.t WHERE Address IN ('0x01', x'02', '0X03')", []string{"write x'01'", "write x'03'"}},
		{"SELECT * FROM d.t WHERE d.t.address NOT IN ('0x01')", []string{"write x'01'"}},
		{"SELECT * FROM d.t WHERE address BETWEEN '0x01' AND '0x02'", []string{"write x'01'", "write x'02'"}},
		{"SELECT * FROM d.t WHERE address NOT BETWEEN x'01' AND '0x02'", []string{"write x'02'"}},
		{"SELECT * FROM d.t WHERE address IS NOT DISTINCT FROM '0x01' OR '0x02' IS DISTINCT FROM hash", []string{"x'01'", "x'02'"}},
		{`SELECT * FROM d.t WHERE "Mixed" >= '0x01'`, []string{"column Mixed is binary"}},
		{"SELECT * FROM (SELECT block_num FROM d.t WHERE topic0 = '0x00') q", []string{"write x'00'"}},
		{"SELECT * FROM d.t WHERE hash = '" + strings.Repeat("ab", 32) + "'", []string{"write x'abab"}},
		{"SELECT * FROM d.t WHERE hash = '" + long + "'", []string{"…' is text"}},
		{"SELECT * FROM d.t WHERE address = '0x123'", []string{"two hex digits for each byte"}},
		{"SELECT CASE WHEN address = '0x01' THEN 1 END AS a FROM d.t", []string{"write x'01'"}},
		// Nothing wrong with these.
		{"SELECT * FROM d.t WHERE address = x'9a71'", nil},
		{"SELECT * FROM d.t WHERE address = evm_encode_hex('0x9a71')", nil},
		{"SELECT * FROM d.t WHERE value = '0x9a71' AND address = x'00'", nil},
		{"SELECT * FROM d.t WHERE lower(address) = '0x9a71'", nil},
		{"SELECT * FROM d.t WHERE 'a' || address = '0x9a71'", nil},
		{"SELECT * FROM d.t WHERE address = '0x9a' || x", nil},
		{"SELECT * FROM d.t WHERE address::text = '0x9a71'", nil},
		{"SELECT * FROM d.t WHERE '0x9a71' = address(1)", nil},
		{"SELECT * FROM d.t WHERE value IN (lower(address), '0x01')", nil},
		{"SELECT '0x01' AS address, address AS a FROM d.t WHERE address <> x'' -- address = '0x01'", nil},
		{`SELECT * FROM d.t WHERE "ADDRESS" = '0x01'`, nil},
	} {
		err := mustParse(t, c.query).HexComparisons(binary)
		if err == nil {
			if c.want != nil {
				t.Errorf("%s\nis accepted", c.query)
			}
			continue
		}
		if got := strings.Count(err.Error(), "is text"); got != len(c.want) || fault.Of(err) != fault.ClassPermanent {
			t.Errorf("%s\ngives %v", c.query, err)
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s\ngives %v\nwant  %s", c.query, err, want)
			}
		}
	}
}
