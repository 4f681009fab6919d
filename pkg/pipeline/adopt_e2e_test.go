package pipeline_test

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/ampipe/ampipe/pkg/progress"
)

// loader is another program that has filled a table: what it calls and types columns as.
type loader struct {
	name    string
	columns string // its own, in front of those of the query
	values  string // of them
	block   string // the type of a block number, and of other numbers of 64 bits
	types   string // the setting that goes with it
	indexes string // %s is the table
	mend    string // what has to be done before ampipe can write; %s is the table
}

// loaders are laid out as docs/migrate.md has them.
var loaders = []loader{
	{
		name: "amp-python", columns: "", values: "",
		block: "NUMERIC(20,0)", types: `{ _block_num: numeric }`,
		indexes: `ALTER TABLE %s ADD COLUMN "_amp_batch_id" TEXT; CREATE INDEX ON %[1]s ("_amp_batch_id")`,
		mend:    `CREATE INDEX ON %s USING brin ("_block_num")`,
	},
	{
		name:    "ampsync",
		columns: `"_tx_id" BIGINT NOT NULL, "_row_index" INT NOT NULL, PRIMARY KEY ("_tx_id", "_row_index"), `,
		values:  "loaded._block_num, row_number() OVER (), ",
		block:   "BIGINT", types: `{ "*": bigint }`,
		mend: `ALTER TABLE %s DROP CONSTRAINT %[2]s_pkey, ALTER COLUMN "_tx_id" DROP NOT NULL, ALTER COLUMN "_row_index" DROP NOT NULL;
			CREATE INDEX ON %[1]s USING brin ("_block_num")`,
	},
}

// fill makes the loader's table from one that ampipe has loaded.
func (o loader) fill(e *commandEnv, table, loaded string) {
	e.t.Helper()
	var columns, names string
	e.withDB(func(ctx context.Context, c *pgx.Conn) error {
		return c.QueryRow(ctx, `SELECT string_agg(format('%I %s', attname, CASE WHEN attname = '_block_num' OR format_type(atttypid, atttypmod) = 'numeric(20,0)'
				THEN $3 ELSE format_type(atttypid, atttypmod) END), ', ' ORDER BY attnum), string_agg(format('%I', attname), ', ' ORDER BY attnum)
			FROM pg_attribute WHERE attrelid = ($1 || '.' || $2)::regclass AND attnum > 0 AND NOT attisdropped`,
			e.schema, loaded, o.block).Scan(&columns, &names)
	})
	full := e.schema + "." + table
	e.exec(fmt.Sprintf("CREATE TABLE %s (%s%s)", full, o.columns, columns))
	e.exec(fmt.Sprintf("INSERT INTO %s SELECT %s%s FROM %s.%s AS loaded", full, o.values, names, e.schema, loaded))
	if o.indexes != "" {
		e.exec(fmt.Sprintf(o.indexes, full))
	}
}

func (o loader) repair(e *commandEnv, table string) {
	e.t.Helper()
	mend := fmt.Sprintf(o.mend, e.schema+"."+table, table)
	e.exec(strings.TrimSuffix(mend, "%!(EXTRA string="+table+")"))
}

// TestAdoptAndFollow: a table that another program has filled, with blocks that it has
// missed, loaded twice, and not taken back in a reorg, is adopted and followed on.
func TestAdoptAndFollow(t *testing.T) {
	t.Parallel()
	for _, o := range loaders {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			adoptAndFollow(t, o)
		})
	}
}

func adoptAndFollow(t *testing.T, o loader) {
	g := newCommandEnv(t).grow("--blocks", "300", "--logs-per-block", "20")
	config := func(pipeline, table, rest string) string {
		return g.file(pipeline+".yaml", fmt.Sprintf(`pipeline: %s
source: { amp: %s, query: SELECT * FROM eth_rpc.logs }
nats: { embedded: ./nats-%[1]s }
sinks: [{ name: warehouse, postgres: { dsn: "${DATABASE_URL}", schema: %[3]s, table: %[4]s, %[5]s
`, pipeline, g.amp, g.schema, table, rest))
	}
	g.must("ampipe", "run", "-c", config("loader", "loaded", "} }]\nrange: { min_block: 0, max_block: 300, reorg_buffer: 0 }"))
	o.fill(g.commandEnv, "theirs", "loaded")
	theirs := g.schema + ".theirs"
	g.exec("DELETE FROM " + theirs + " WHERE _block_num BETWEEN 17 AND 19")
	twice := "CREATE TEMPORARY TABLE twice AS SELECT * FROM " + theirs + " WHERE _block_num IN (40, 41, 200); "
	if o.columns != "" { // each row has a number of its own
		twice += "UPDATE twice SET _tx_id = 1000000 + _tx_id; "
	}
	g.exec(twice + "INSERT INTO " + theirs + " SELECT * FROM twice")
	// Six blocks are replaced behind the loader's back; then they become final.
	g.tell("reorg", `{"depth": 6, "blocks": 250}`)
	head := "CREATE TEMPORARY TABLE head AS SELECT * FROM " + theirs + " WHERE _block_num = 299; UPDATE head SET _block_num = 460; "
	if o.columns != "" {
		head += "UPDATE head SET _tx_id = 2000000; "
	}
	g.exec(head + "INSERT INTO " + theirs + " SELECT * FROM head")

	file := config("e2e", "theirs", "types: "+o.types+" } }]")
	if code, out := g.run("ampipe", "check", "-c", file); o.columns != "" && (code != 2 || !strings.Contains(out, `DROP CONSTRAINT "theirs_pkey", ALTER COLUMN "_tx_id" DROP NOT NULL, ALTER COLUMN "_row_index" DROP NOT NULL`)) {
		t.Errorf("check of a table that ampipe cannot write to: exit code %d\n%s", code, out)
	}
	o.repair(g.commandEnv, "theirs")
	if out := g.must("ampipe", "check", "-c", file); !strings.Contains(out, "ampipe adopt e2e --sink warehouse --dry-run") {
		t.Errorf("check does not speak of the rows that are there\n%s", out)
	}

	count := func(where string) int64 { return g.number("SELECT count(*) FROM " + theirs + " WHERE " + where) }
	before := count("true")
	adopt := func(code int, args []string, texts ...string) {
		t.Helper()
		got, out := g.run("ampipe", append([]string{"adopt", "-c", file}, args...)...)
		if got != code {
			t.Fatalf("adopt %v: exit code %d, want %d\n%s", args, got, code, out)
		}
		for _, text := range texts {
			if !strings.Contains(out, text) {
				t.Errorf("adopt %v does not print %q\n%s", args, text, out)
			}
		}
		t.Logf("adopt %v\n%s", args, out)
	}
	wrong := []string{"block 40: ", "block 200: ", "block 294: ", "block 299: ", "9 blocks with", "53 blocks with", "[460, 461)"}
	adopt(3, []string{"--dry-run"}, append(wrong, "nothing was changed")...)
	if after := count("true"); after != before {
		t.Errorf("a dry run has changed %d rows to %d", before, after)
	}
	if n := g.number("SELECT count(*) FROM ampipe.tables WHERE schema_name = '" + g.schema + "' AND table_name = 'theirs'"); n != 0 {
		t.Error("a dry run has registered the table")
	}

	// A part of it is adopted; then it is killed while another session holds it up.
	adopt(3, []string{"--max-block", "100"}, "block 40: ")
	g.holdUp(theirs, func() {
		waiting := g.start("ampipe", "adopt", "-c", file, "--replace")
		waiting.out.waitFor(t, waiting, regexp.MustCompile(`(waits for a lock that is held by process)`))
		waiting.kill()
	})
	adopt(3, nil, "95 blocks of", "--replace")
	if after := count("true"); after != before {
		t.Errorf("adopting without --replace has changed %d rows to %d", before, after)
	}
	if code, out := g.run("ampipe", "run", "-c", file); code != 2 || !strings.Contains(out, "is being adopted") {
		t.Errorf("run during an adoption: exit code %d\n%s", code, out)
	}
	// The other loader still writes.
	g.exec(fmt.Sprintf("DELETE FROM %s WHERE _block_num = 7", theirs))
	adopt(1, []string{"--replace"}, "somebody has written to blocks that were adopted")
	adopt(0, []string{"--replace"}, "the table is adopted")
	kept := count("true")
	if want := count("_block_num < 294 AND _block_num NOT IN (7, 17, 18, 19, 40, 41, 200)"); kept != want {
		t.Errorf("%d rows are kept, want %d", kept, want)
	}
	g.exec("ALTER TABLE " + theirs + " ADD COLUMN kept text; UPDATE " + theirs + " SET kept = 'theirs'")

	run := g.start("ampipe", "run", "-c", file)
	g.reach("theirs", g.tell("mine", `{"blocks": 5}`), run)
	if !strings.Contains(run.out.String(), "they are not read again") {
		t.Errorf("blocks that are there are read again\n%s", run.out)
	}
	adopt(2, nil, "ampipe loads it already")
	g.reach("theirs", g.tell("reorg", `{"depth": 12, "blocks": 4}`), run)
	g.verify(file)
	if n := count("kept = 'theirs'"); n != kept {
		t.Errorf("of %d rows that were right, %d are left", kept, n)
	}
	if n := count("kept IS NULL AND _block_num < 290 AND _block_num NOT IN (7, 17, 18, 19, 40, 41, 200)"); n != 0 {
		t.Errorf("%d rows were loaded beside those that were there", n)
	}
	run.interrupt(t)
	// A reorg below everything that was loaded live reaches what was adopted.
	deep := g.tell("reorg", `{"depth": 290, "blocks": 3}`)
	run = g.start("ampipe", "run", "-c", file)
	g.reach("theirs", deep, run)
	g.verify(file)
	run.interrupt(t)
}

// holdUp runs f while another session writes to a table.
func (e *commandEnv) holdUp(table string, f func()) {
	e.t.Helper()
	e.withDB(func(ctx context.Context, c *pgx.Conn) error {
		tx, err := c.Begin(ctx)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "LOCK TABLE "+table+" IN ROW EXCLUSIVE MODE"); err != nil {
			return err
		}
		f()
		return tx.Rollback(ctx)
	})
}

// TestAdoptRealRows: every column of real tables, as the two loaders store it, is equal to
// what the source has, so nothing of it has to be loaded.
func TestAdoptRealRows(t *testing.T) {
	t.Parallel()
	root := os.Getenv("AMPIPE_REAL_DATA")
	if root == "" {
		t.Skip("AMPIPE_REAL_DATA is not set: no real rows")
	}
	e := newCommandEnv(t)
	amp, _ := e.devserver("--parquet", "eth_rpc="+root+"/eth_rpc", "--parquet", "eth_firehose="+root+"/eth_firehose")
	// Without nonce, which has 64 bits, and a bigint 63, and without lists, which are of no
	// use as the loaders store them.
	const blocks = `_block_num, block_num, "timestamp", hash, parent_hash, miner, logs_bloom, difficulty, total_difficulty, gas_limit, gas_used, extra_data, base_fee_per_gas`
	const transactions = `_block_num, block_hash, "timestamp", tx_index, tx_hash, "to", nonce, gas_price, gas_limit, value, input, r, s, v_parity, gas_used, "type", "from", status`
	for _, q := range []struct{ name, query string }{
		{"logs", "SELECT * FROM eth_rpc.logs"},
		{"blocks", "SELECT " + blocks + " FROM eth_rpc.blocks"},
		{"calls", "SELECT * FROM eth_firehose.calls"},
		{"transactions", "SELECT " + transactions + " FROM eth_rpc.transactions"},
	} {
		e.must("ampipe", "run", "-c", e.realRows("load_"+q.name, q.name, amp, q.query, ""))
		for _, o := range loaders {
			table := strings.ReplaceAll(o.name, "-", "_") + "_" + q.name
			o.fill(e, table, q.name)
			o.repair(e, table)
			file := e.realRows(table, table, amp, q.query, ", types: "+o.types)
			rows := e.number("SELECT count(*) FROM " + e.schema + "." + table)
			out := e.must("ampipe", "adopt", "-c", file)
			if want := fmt.Sprintf("1 block with %s equal, 0 blocks", progress.Counted(rows, "row")); !strings.Contains(out, want) {
				t.Errorf("%s: want %q\n%s", table, want, out)
			}
			if out := e.must("ampipe", "verify", "-c", file); !strings.Contains(out, progress.Counted(rows, "row")) {
				t.Errorf("%s: %d rows, verify prints %s", table, rows, out)
			}
		}
	}
}

func (e *commandEnv) realRows(pipeline, table, amp, query, options string) string {
	e.t.Helper()
	return e.file(pipeline+".yaml", fmt.Sprintf(`pipeline: %s
source: { amp: "%s", query: '%s' }
range: { min_block: 15000000, max_block: 15000001, reorg_buffer: 0 }
nats: { embedded: ./nats-%[1]s }
sinks: [{ name: warehouse, postgres: { dsn: "${DATABASE_URL}", schema: %[4]s, table: %[5]s%[6]s } }]
`, pipeline, amp, query, e.schema, table, options))
}
