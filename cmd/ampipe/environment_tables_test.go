package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// intoTable is a configuration that loads a query into $TABLE of PostgreSQL. It takes
// the query, further lines of the source, and further keys of the sink.
const intoTable = `
pipeline: $TABLE
source:
  amp: $AMP
  query: |
    %s
  block_column: %s
range: { max_block: 40 }
nats: { embedded: ./nats }
sinks: [ { name: pg, postgres: { dsn: "$DSN", schema: there, table: $TABLE%s } } ]
`

// The tables that ethereum-etl fills by way of its schemas for PostgreSQL: hashes and
// addresses in hexadecimal text, amounts as numeric, times without a zone.
const (
	etlLogs = `log_index bigint, transaction_hash varchar(66), transaction_index bigint, address varchar(42), data text,
		topic0 varchar(66), topic1 varchar(66), topic2 varchar(66), topic3 varchar(66), block_timestamp timestamp, block_number bigint, block_hash varchar(66)`
	etlTransactions = `hash varchar(66), nonce bigint, transaction_index bigint, from_address varchar(42), to_address varchar(42), value numeric(38),
		gas bigint, gas_price bigint, input text, receipt_gas_used bigint, receipt_status bigint, block_timestamp timestamp, block_number bigint, block_hash varchar(66),
		max_fee_per_gas bigint, max_priority_fee_per_gas bigint, transaction_type bigint`
	etlBlocks = `timestamp timestamp, number bigint, hash varchar(66), parent_hash varchar(66), nonce varchar(42), sha3_uncles varchar(66), logs_bloom text,
		miner varchar(42), difficulty numeric(38), total_difficulty numeric(38), extra_data text, gas_limit bigint, gas_used bigint, base_fee_per_gas bigint`
	etlTransfers = `token_address varchar(42), from_address varchar(42), to_address varchar(42), value numeric(78), transaction_hash varchar(66),
		log_index bigint, block_timestamp timestamp, block_number bigint, block_hash varchar(66)`

	logsForETL = "SELECT log_index, tx_hash AS transaction_hash, tx_index AS transaction_index, address, data, topic0, topic1, topic2, topic3, timestamp AS block_timestamp, block_num AS block_number, block_hash FROM eth.logs"
	txsForETL  = "SELECT tx_hash AS hash, nonce, tx_index AS transaction_index, \"from\" AS from_address, \"to\" AS to_address, value, gas_limit AS gas, gas_price, input, " +
		"gas_used AS receipt_gas_used, %s AS receipt_status, timestamp AS block_timestamp, block_num AS block_number, block_hash, max_fee_per_gas, max_priority_fee_per_gas, type AS transaction_type FROM eth.transactions"
	blocksForETL = "SELECT timestamp, block_num AS number, hash, parent_hash, %s AS nonce, ommers_hash AS sha3_uncles, logs_bloom, miner, difficulty, total_difficulty, extra_data, gas_limit, gas_used, base_fee_per_gas FROM eth.blocks"

	highest         = "115792089237316195423570985008687907853269984665640564039457584007913129639935"
	transfersForETL = "SELECT address AS token_address, address AS from_address, address AS to_address, '" + highest + "' AS value, tx_hash AS transaction_hash, log_index, timestamp AS block_timestamp, block_num AS block_number, block_hash FROM eth.logs"

	// amp-python makes a table of the columns of the query, with a column of its own.
	ampPython = `block_hash bytea NOT NULL, block_num bigint NOT NULL, "timestamp" timestamptz NOT NULL, tx_hash bytea NOT NULL, tx_index bigint NOT NULL, value text NOT NULL,
		gas_price numeric(38,0), status boolean NOT NULL, blob_versioned_hashes text, _amp_batch_id text`
	txsForPython = "SELECT block_hash, block_num, timestamp, tx_hash, tx_index, value, gas_price, status, blob_versioned_hashes FROM eth.transactions"
)

const hexOfLogs = ", types: { transaction_hash: hex, address: hex, data: hex, topic0: hex, topic1: hex, topic2: hex, topic3: hex, block_hash: hex }"

// there makes a table before ampipe comes, and names it in the configuration.
func there(name, columns string) func(s *site) {
	return func(s *site) {
		s.vars["TABLE"] = name
		s.sql(fmt.Sprintf("CREATE TABLE there.%s (%s); ALTER TABLE there.%[1]s REPLICA IDENTITY FULL", name, columns))
	}
}

var statementSaid = regexp.MustCompile(`run (ALTER TABLE .*?)(?:, or |, if |, set |$)`)

// asSaid runs the statement that check has shown.
func asSaid(s *site) {
	s.Helper()
	m := statementSaid.FindStringSubmatch(s.say)
	if m == nil {
		s.Fatalf("no statement in %q", s.say)
	}
	s.sql(m[1])
}

// holds reports what a query at the private PostgreSQL answers.
func holds(t *testing.T, sql string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := pgx.Connect(ctx, os.Getenv("AMPIPE_TEST_POSTGRES"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(ctx) }() // it has only read
	var text string
	if err := c.QueryRow(ctx, "SELECT ("+sql+")::text").Scan(&text); err != nil {
		t.Fatal(err)
	}
	return text
}

func TestEnvironmentsOfTablesThatAreThere(t *testing.T) {
	t.Parallel()
	if os.Getenv("AMPIPE_TEST_POSTGRES") == "" {
		t.Skip("AMPIPE_TEST_POSTGRES is not set; run scripts/postgres run go test ./cmd/ampipe/")
	}
	s := &site{T: t}
	s.sql("CREATE SCHEMA there; CREATE EXTENSION IF NOT EXISTS citext SCHEMA there")
	t.Cleanup(func() {
		s.sql("DROP SCHEMA there CASCADE; DELETE FROM ampipe.tables WHERE schema_name = 'there'")
	})
	etl := func(query, column, more string) string { return fmt.Sprintf(intoTable, query, column, more) }
	// A column of another type makes another pipeline.
	renamed := func(query, column, more string) string {
		return strings.Replace(etl(query, column, more), "pipeline: $TABLE", "pipeline: $TABLE-mended", 1)
	}
	small := func(more string) string {
		return fmt.Sprintf(intoTable, "SELECT block_num, tx_hash, log_index, address FROM eth.logs", "block_num", more)
	}
	t.Run("tables", func(t *testing.T) {
		try(t, []environment{{
			name:   "logs of ethereum-etl",
			breaks: there("logs", etlLogs),
			config: etl(logsForETL, "block_number", ""),
			says:   `column "transaction_hash" is of the type character varying(66), and the query needs bytea; set types: {transaction_hash: hex}`,
			mended: etl(logsForETL, "block_number", hexOfLogs),
		}, {
			name:   "transactions of ethereum-etl",
			breaks: there("transactions", etlTransactions),
			config: etl(fmt.Sprintf(txsForETL, "status"), "block_number", ", types: { hash: hex, from_address: hex, to_address: hex, input: hex, block_hash: hex }"),
			says:   `column "receipt_status" is of the type bigint, and the query needs boolean; write CAST("receipt_status" AS BIGINT) AS "receipt_status" in the query`,
			mended: renamed(fmt.Sprintf(txsForETL, "CAST(status AS BIGINT)"), "block_number", ", types: { hash: hex, from_address: hex, to_address: hex, input: hex, block_hash: hex }"),
		}, {
			name:   "blocks of ethereum-etl",
			breaks: there("blocks", etlBlocks),
			config: etl(fmt.Sprintf(blocksForETL, "nonce"), "number", ", types: { hash: hex, parent_hash: hex, sha3_uncles: hex, logs_bloom: hex, miner: hex, extra_data: hex }"),
			says:   `column "nonce" is of the type character varying(42), and the query needs numeric(20,0); write CAST("nonce" AS VARCHAR) AS "nonce" in the query`,
			mended: renamed(fmt.Sprintf(blocksForETL, "CAST(nonce AS VARCHAR)"), "number", ", types: { hash: hex, parent_hash: hex, sha3_uncles: hex, logs_bloom: hex, miner: hex, extra_data: hex }"),
		}, {
			name:   "token transfers of ethereum-etl, in a column that is too short",
			breaks: there("token_transfers", etlTransfers+", source varchar(20) NOT NULL"),
			config: etl(transfersForETL, "block_number", ", types: { token_address: hex, from_address: hex, to_address: hex, transaction_hash: hex, block_hash: hex }"),
			says:   `column "source" has to have a value, and the query gives none; run ALTER TABLE "there"."token_transfers" ALTER COLUMN "source" DROP NOT NULL`,
			mends:  asSaid,
		}, {
			name:   "transactions of amp-python",
			breaks: there("txs", ampPython),
			config: etl(txsForPython, "block_num", ""),
			says:   `column "blob_versioned_hashes" is of the type text, and the query needs jsonb; run ALTER TABLE "there"."txs" ALTER COLUMN "blob_versioned_hashes" TYPE jsonb USING "blob_versioned_hashes"::jsonb`,
			mends:  asSaid,
		}, {
			name:   "a column that is missing",
			breaks: there("missing", "block_num bigint, tx_hash bytea, log_index bigint"),
			config: small(""),
			says:   `column "address" is missing, of the type bytea; run ALTER TABLE "there"."missing" ADD COLUMN "address" bytea`,
			mends:  asSaid,
		}, {
			name:   "hashes that cannot fit",
			breaks: there("short", "block_num bigint, tx_hash varchar(64), log_index bigint, address varchar(42)"),
			config: small(", types: { tx_hash: hex, address: hex }"),
			says:   `column "tx_hash" is of the type character varying(64), and the query needs text; run ALTER TABLE "there"."short" ALTER COLUMN "tx_hash" TYPE text`,
			mends:  asSaid,
		}, {
			name:   "a column that the table generates",
			breaks: there("made", "block_num bigint, tx_hash bytea, log_index bigint GENERATED ALWAYS AS (block_num * 2) STORED, address bytea"),
			config: small(""),
			says:   `column "log_index" is generated by the table, so nothing can be written to it; run ALTER TABLE "there"."made" ALTER COLUMN "log_index" DROP EXPRESSION`,
			mends:  asSaid,
		}, {
			name:   "a key whose values may be equal",
			breaks: there("keyed", "block_num bigint, tx_hash there.citext, log_index bigint, address bytea, PRIMARY KEY (tx_hash, log_index)"),
			config: small(", types: { tx_hash: hex }, mode: upsert, key: [ tx_hash, log_index ]"),
			says:   `the key column "tx_hash" is of the type`,
			mends:  asSaid,
		}, {
			name:   "hexadecimal digits for a number",
			breaks: there("digits", "block_num bigint, v numeric"),
			config: etl("SELECT block_num, '0x1f' AS v FROM eth.blocks", "block_num", ""),
			began:  true,
			says:   `column "v", value "0x1f": the text is no number in digits, and the column is numeric; filter such rows out in the query, or run ALTER TABLE "there"."digits" ALTER COLUMN "v" TYPE text`,
			mends:  asSaid,
		}})
	})
	for sql, want := range map[string]string{
		"SELECT bool_and(value = " + highest + ") FROM there.token_transfers":                                          "true",
		"SELECT count(*) = 160 AND bool_and(transaction_hash ~ '^0x[0-9a-f]{64}$') FROM there.logs":                    "true",
		"SELECT count(*) > 0 AND min(block_timestamp) = '2024-01-01' AND bool_and(value >= 0) FROM there.transactions": "true",
	} {
		if got := holds(t, sql); got != want {
			t.Errorf("%s: %s", sql, got)
		}
	}
}

// fitting is what check says of the rows that it has read.
var fitting = regexp.MustCompile(`(?m)^rows +16 rows of blocks \[0, 8\) \[32, 40\) fit into the tables`)

// TestValuesThatRunRefuses: what only the rows show is said by run, with block, row,
// column and value, in one line, and is mended as that line says.
func TestValuesThatRunRefuses(t *testing.T) {
	t.Parallel()
	if os.Getenv("AMPIPE_TEST_POSTGRES") == "" {
		t.Skip("AMPIPE_TEST_POSTGRES is not set; run scripts/postgres run go test ./cmd/ampipe/")
	}
	s := &site{T: t, dir: t.TempDir(), amp: ampServer(t), vars: map[string]string{"TABLE": "refused"}}
	s.sql("CREATE SCHEMA refused; CREATE TABLE refused.refused (block_num bigint, short varchar(3), v text); ALTER TABLE refused.refused REPLICA IDENTITY FULL")
	t.Cleanup(func() {
		s.sql("DROP SCHEMA refused CASCADE; DELETE FROM ampipe.tables WHERE schema_name = 'refused'")
	})
	config := strings.Replace(intoTable, "schema: there", "schema: refused", 1)
	query := "SELECT block_num, %s AS short, %s FROM (SELECT block_num, CASE WHEN block_num = 7 THEN 'a' || chr(0) || 'b' ELSE 'c' END AS v FROM eth.blocks) AS b"
	const fits, long = "'abc'", "CASE WHEN block_num = 9 THEN 'abcd' ELSE 'abc' END"
	refused := func(short, v, says string) string {
		t.Helper()
		s.configure(fmt.Sprintf(config, fmt.Sprintf(query, short, v), "block_num", ""))
		code, out := s.command(firstMinute, "", "run")
		line := lineWith(out, says)
		if code == 0 || line == "" {
			t.Fatalf("run: exit code %d, want %q in\n%s", code, says, out)
		}
		return line
	}
	// Block 9 is none of those that check reads: it says which they are, and that the column
	// may refuse others.
	check := func(narrow bool) {
		t.Helper()
		code, out := s.command(firstMinute, "", "check")
		if code != 0 || !fitting.MatchString(out) || strings.Contains(out, "is narrower than the query: a value that does not fit stops the sink") != narrow {
			t.Errorf("check, exit code %d, is to warn of a narrow column: %v\n%s", code, narrow, out)
		}
	}
	s.configure(fmt.Sprintf(config, fmt.Sprintf(query, long, "'c' AS v"), "block_num", ""))
	check(true)
	s.say = refused(long, "'c' AS v", `block 9, row 9 of its entry, column "short", value "abcd": the text has more than 3 characters`)
	asSaid(s)
	check(false)
	if code, out := s.command(firstMinute, "", "run"); code != 0 {
		t.Fatalf("run, when it is mended as advised: exit code %d\n%s", code, out)
	}
	s.sql("DELETE FROM ampipe.tables WHERE schema_name = 'refused'; TRUNCATE refused.refused")
	config = strings.Replace(config, "pipeline: $TABLE", "pipeline: nul", 1)
	said := refused(fits, "v", `column "v", value "a\x00b": the text holds a NUL character`)
	advised := regexp.MustCompile(`write (.*) AS "v" in the query`).FindStringSubmatch(said)
	if advised == nil {
		t.Fatalf("nothing for the query in %q", said)
	}
	s.sql("DELETE FROM ampipe.tables WHERE schema_name = 'refused'; TRUNCATE refused.refused")
	config = strings.Replace(config, "pipeline: nul", "pipeline: mended", 1)
	s.configure(fmt.Sprintf(config, fmt.Sprintf(query, fits, advised[1]+" AS v"), "block_num", ""))
	for _, command := range []string{"run", "verify"} {
		if code, out := s.command(firstMinute, "", command); code != 0 {
			t.Fatalf("%s, when the query is mended as advised: exit code %d\n%s", command, code, out)
		}
	}
	if got := holds(t, "SELECT v FROM refused.refused WHERE block_num = 7"); got != "ab" {
		t.Errorf("loaded as %q", got)
	}
}
