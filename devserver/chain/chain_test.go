package chain_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ampipe/ampipe/devserver/chain"
	"github.com/ampipe/ampipe/devserver/table"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/apache/arrow-go/v18/arrow/array"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func MustNew(t *testing.T, change func(*chain.Config)) (*chain.Chain, *table.Dataset) {
	t.Helper()
	config := chain.DefaultConfig()
	config.Blocks, config.Logs, config.Transactions = 120, 40, 7
	change(&config)
	c, err := chain.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return c, chain.NewDataset(c, table.Ref{Namespace: "_", Name: "ds", Revision: "latest"})
}

// texts returns the rows of some columns of a table as texts.
func texts(t *testing.T, s table.Snapshot, blocks block.Range, columns []int) [][]string {
	t.Helper()
	var rows [][]string
	for batch, err := range s.Scan(t.Context(), blocks, columns) {
		if err != nil {
			t.Fatal(err)
		}
		for i := range int(batch.NumRows()) {
			var row []string
			for _, c := range batch.Columns() {
				row = append(row, c.ValueStr(i))
			}
			rows = append(rows, row)
		}
		batch.Release()
	}
	return rows
}

func whole(t *testing.T, d *table.Dataset, name string, columns ...string) [][]string {
	t.Helper()
	s := d.Tables[name].Source
	index := table.All(s.Schema())
	if len(columns) > 0 {
		index = nil
		for _, c := range columns {
			index = append(index, s.Schema().FieldIndices(c)...)
		}
	}
	return texts(t, s.Snapshot(), block.Range{End: block.Max}, index)
}

// TestSameSeedSameRows: a chain is a function of its configuration, and other
// seeds give other hashes.
func TestSameSeedSameRows(t *testing.T) {
	t.Parallel()
	_, a := MustNew(t, func(*chain.Config) {})
	_, b := MustNew(t, func(*chain.Config) {})
	_, c := MustNew(t, func(c *chain.Config) { c.Seed++ })
	for name := range a.Tables {
		if !slices.EqualFunc(whole(t, a, name), whole(t, b, name), slices.Equal) {
			t.Errorf("%s differs between two chains of one seed", name)
		}
		if slices.EqualFunc(whole(t, a, name), whole(t, c, name), slices.Equal) {
			t.Errorf("%s is the same for two seeds", name)
		}
	}
}

// TestRangesAreParts scans random ranges: each must be exactly that part of the
// whole table, whatever batches it comes in.
func TestRangesAreParts(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	_, d := MustNew(t, func(c *chain.Config) { c.Logs, c.Transactions = 300, 20 })
	for name, tb := range d.Tables {
		all := whole(t, d, name)
		for range 5 {
			r := block.Range{Start: block.Number(rnd.IntN(130)), End: block.Number(rnd.IntN(130))}
			s := tb.Source.Snapshot()
			got := texts(t, s, r, table.All(tb.Source.Schema()))
			var want [][]string
			for _, row := range all {
				if n := number(row[0]); r.Has(n) {
					want = append(want, row)
				}
			}
			if !slices.EqualFunc(got, want, slices.Equal) {
				t.Errorf("%s %v: %d rows, want %d", name, r, len(got), len(want))
			}
			if s.Rows(r) != uint64(len(want)) {
				t.Errorf("%s %v: counts %d rows of %d", name, r, s.Rows(r), len(want))
			}
		}
	}
}

func number(text string) block.Number {
	var n block.Number
	for _, c := range text {
		n = 10*n + block.Number(c-'0')
	}
	return n
}

// TestLinkage follows hashes from block to block and from table to table.
func TestLinkage(t *testing.T) {
	t.Parallel()
	c, d := MustNew(t, func(c *chain.Config) { c.Start = 5 })
	if err := c.Fork(10, 3); err != nil {
		t.Fatal(err)
	}
	hashes := map[string]string{}
	previous := ""
	for _, row := range whole(t, d, "blocks", "block_num", "hash", "parent_hash", "timestamp") {
		if previous != "" && row[2] != previous {
			t.Fatalf("block %s does not point to the one before", row[0])
		}
		previous, hashes[row[0]] = row[1], row[1]
	}
	transactions := map[string]bool{}
	for _, row := range whole(t, d, "transactions", "block_num", "block_hash", "tx_index", "tx_hash") {
		if hashes[row[0]] != row[1] {
			t.Fatalf("a transaction of block %s has another block hash", row[0])
		}
		transactions[row[0]+"/"+row[2]+"/"+row[3]] = true
	}
	indexes := map[string]int{}
	for _, row := range whole(t, d, "logs", "block_num", "block_hash", "tx_index", "tx_hash", "log_index") {
		if hashes[row[0]] != row[1] || !transactions[row[0]+"/"+row[2]+"/"+row[3]] {
			t.Fatalf("log %s of block %s belongs to no transaction", row[4], row[0])
		}
		if int(number(row[4])) != indexes[row[0]] {
			t.Fatalf("block %s has log %s after %d others", row[0], row[4], indexes[row[0]])
		}
		indexes[row[0]]++
	}
	for name, tb := range d.Tables {
		r, found := tb.Source.Snapshot().Range()
		if !found || r.Numbers != (block.Range{Start: 5, End: 128}) {
			t.Fatalf("%s has range %v", name, r.Numbers)
		}
		first, last := c.View().Header(5), c.View().Header(127)
		if r.Hash != last.Hash || r.Prev != first.Parent || r.Prev.IsZero() || !r.Timestamp.Equal(last.Time) {
			t.Errorf("%s: the range is %+v", name, r)
		}
	}
}

// TestGrowAndFork: a snapshot does not move; a fork changes hashes from its
// start on and nothing below.
func TestGrowAndFork(t *testing.T) {
	t.Parallel()
	c, d := MustNew(t, func(*chain.Config) {})
	before := c.View()
	frozen := d.Tables["logs"].Source.Snapshot()
	c.Grow(5)
	if got := c.View().Range().End; got != 125 {
		t.Errorf("the chain ends at %d", got)
	}
	if err := c.Fork(10, 1); err != nil {
		t.Fatal(err)
	}
	after := c.View()
	for n := block.Number(0); n < 126; n++ {
		if same := before.Header(n).Hash == after.Header(n).Hash; same != (n < 115) {
			t.Errorf("block %d: same hash is %v", n, same)
		}
		if n > 0 && after.Header(n).Parent != after.Header(n-1).Hash {
			t.Errorf("block %d does not point to its parent", n)
		}
	}
	if r, _ := frozen.Range(); r.Numbers.End != 120 || r.Hash != before.Header(119).Hash {
		t.Errorf("the snapshot moved: %v", r)
	}
	if err := c.Fork(3, 0); err != nil {
		t.Fatal(err)
	}
	if again := c.View(); again.Header(122).Hash != after.Header(122).Hash || again.Header(123).Hash == after.Header(123).Hash {
		t.Error("a fork of a fork starts at the wrong block")
	}
	if c.Fork(0, 1) == nil || c.Fork(126, 1) == nil {
		t.Error("an impossible fork was made")
	}
	cut := frozen.Until(50)
	if r, _ := cut.Range(); r.Numbers.End != 51 || r.Hash != before.Header(50).Hash {
		t.Errorf("hidden above 50, the range is %v", r)
	}
	if rows := texts(t, cut, block.Range{Start: 50, End: 60}, []int{0}); len(rows) != 40 {
		t.Errorf("hidden above 50, blocks 50 to 59 have %d logs", len(rows))
	}
}

func TestSkew(t *testing.T) {
	t.Parallel()
	for text, contiguous := range map[string]bool{"0.9/0.1": false, "0.9/0.1/contiguous": true} {
		skew, err := chain.ParseSkew(text)
		if err != nil {
			t.Fatal(err)
		}
		c, _ := MustNew(t, func(c *chain.Config) { c.Blocks, c.Skew = 5000, skew })
		var counts []int
		sum, heavy, runs := 0, 0, 0
		for n := range block.Number(5000) {
			rows := int(c.View().Logs(n))
			counts = append(counts, rows)
			sum += rows
			if rows > 40 {
				heavy += rows
				if n == 0 || counts[n-1] <= 40 {
					runs++
				}
			}
		}
		if sum < 180_000 || sum > 220_000 {
			t.Errorf("%s: %d rows in all, want about 200000", text, sum)
		}
		if share := float64(heavy) / float64(sum); share < 0.87 || share > 0.93 {
			t.Errorf("%s: the heavy blocks have %.2f of the rows", text, share)
		}
		if (runs == 1) != contiguous {
			t.Errorf("%s: the heavy blocks lie in %d runs", text, runs)
		}
	}
	for _, bad := range []string{"0.9", "1/0.1", "0.9/0", "a/b", "0.9/0.1/x"} {
		if _, err := chain.ParseSkew(bad); err == nil {
			t.Errorf("%q was read as a skew", bad)
		}
	}
}

// TestShape: rows have realistic sizes, and every optional column has values and
// nulls unless the chain says why not.
func TestShape(t *testing.T) {
	t.Parallel()
	_, d := MustNew(t, func(c *chain.Config) { c.Logs, c.Transactions = 300, 100 })
	always := []string{"total_difficulty", "requests_hash", "state_root"}                         // null
	never := []string{"base_fee_per_gas", "withdrawals_root", "blob_gas_used", "excess_blob_gas", // after Cancun
		"parent_beacon_root", "gas_price"}
	for name, tb := range d.Tables {
		schema := tb.Source.Schema()
		nulls, rows, bytes := make([]int, schema.NumFields()), 0, 0
		for batch, err := range tb.Source.Snapshot().Scan(t.Context(), block.Range{End: block.Max}, table.All(schema)) {
			if err != nil {
				t.Fatal(err)
			}
			rows += int(batch.NumRows())
			for i, c := range batch.Columns() {
				nulls[i] += c.NullN()
				bytes += int(c.Data().(*array.Data).SizeInBytes())
			}
			batch.Release()
		}
		for i, f := range schema.Fields() {
			some := nulls[i] > 0 && nulls[i] < rows
			if (f.Nullable && !some && !slices.Contains(always, f.Name) && !slices.Contains(never, f.Name)) || (!f.Nullable && nulls[i] > 0) {
				t.Errorf("%s.%s (nullable %v) has %d nulls in %d rows", name, f.Name, f.Nullable, nulls[i], rows)
			}
		}
		if name == "logs" && (bytes/rows < 300 || bytes/rows > 340) {
			t.Errorf("a log has %d bytes", bytes/rows)
		}
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(*chain.Config){
		"no network":    func(c *chain.Config) { c.Network = "" },
		"logs alone":    func(c *chain.Config) { c.Transactions = 0 },
		"no block time": func(c *chain.Config) { c.BlockTime = 0 },
		"too high":      func(c *chain.Config) { c.Start = block.Max },
		"too far ahead": func(c *chain.Config) { c.Start = 1 << 40 },
		"skew":          func(c *chain.Config) { c.Skew.Rows = 2 },
	} {
		config := chain.DefaultConfig()
		change(&config)
		if _, err := chain.New(config); err == nil {
			t.Errorf("%s: a chain was made", what)
		}
	}
}
