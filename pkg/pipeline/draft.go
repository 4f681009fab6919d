package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/sqlcheck"
)

// Draft asks an Amp server about tables and returns the text of a configuration that loads
// them, with comments: a pipeline for each, with a key and types that suit its columns.
// file is where it will lie. Of the destinations those are on whose address getenv knows
// (DATABASE_URL, REDIS_URL), or else a Delta table in a folder; the others are comments.
func Draft(ctx context.Context, amp string, tables []string, file string, getenv func(string) string) ([]byte, error) {
	if len(tables) == 0 {
		return nil, fault.Permanent(errors.New("name the tables to load with --table, such as --table eth_rpc.logs: " +
			"an Amp server does not list them to clients, its Admin API does"))
	}
	var drafts []draft
	var errs []error
	for i, table := range tables {
		if slices.Contains(tables[:i], table) {
			continue
		}
		d, err := draftOf(ctx, amp, strings.TrimSpace(table), file, getenv)
		if err != nil {
			errs = append(errs, fmt.Errorf("--table %s: %w", table, err))
			continue
		}
		drafts = append(drafts, d)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	for i := range drafts {
		distinguish(drafts[:i], &drafts[i])
	}
	on := map[string]bool{"warehouse": getenv("DATABASE_URL") != "", "cache": getenv("REDIS_URL") != ""}
	on["lake"] = !on["warehouse"] && !on["cache"]
	text := writeDrafts(drafts, on)
	_, err := config.Parse(file, text, getenv)
	if err != nil { // an address in the environment
		return nil, fault.Permanent(fmt.Errorf("the configuration would not be right: %w", err))
	}
	return text, nil
}

// draft is what a document is written from.
type draft struct {
	name, amp, table string
	short            string // of the table in PostgreSQL
	found            string // for people
	first            block.Number
	key              []string // empty: none is known
	types            string   // of columns in PostgreSQL, as YAML; empty: none
}

// draftOf asks the server about one table, as check does.
func draftOf(ctx context.Context, amp, table, file string, getenv func(string) string) (d draft, err error) {
	whole, err := sqlcheck.ParseTable(table)
	if err != nil {
		return d, err
	}
	d = draft{amp: amp, table: table, name: nameOf(whole), short: whole.Name}
	asked := fmt.Sprintf(askText, d.name, quote(amp), quote(table))
	pipelines, err := config.Parse(file, []byte(asked), getenv)
	if refused, is := errors.AsType[*config.Error](err); is {
		return d, fault.Permanent(errors.New(refused.Complaints[0].Text)) // the file is not written yet
	}
	if err != nil {
		return d, err
	}
	source, checked, err := openChecked(ctx, pipelines[0])
	if err != nil {
		return d, err
	}
	defer func() { _ = source.Close() }() // nothing is in flight
	d.describe(checked)
	return d, nil
}

// describe fills in what the server has answered.
func (d *draft) describe(checked *plan.Checked) {
	columns := counted(checked.Schema.NumFields(), "column")
	d.found = columns + ", and no block yet"
	if len(checked.Head) > 0 {
		have := checked.Head[0]
		d.first = have.Numbers.Start
		d.found = fmt.Sprintf("%s, and blocks %d to %d of network %q",
			columns, have.Numbers.Start, have.Numbers.Last(), have.Network)
	}
	raw := rawTableOf(checked.Schema)
	if raw != nil {
		d.key = append([]string{checked.BlockColumn()}, raw.key...)
	}
	var types []string
	for _, f := range checked.Schema.Fields() {
		switch {
		case f.Type.ID() == arrow.UINT64 && slices.Contains(fitBigint, f.Name):
			types = append(types, f.Name+": bigint")
		case f.Type.ID() == arrow.STRING && raw != nil && slices.Contains(raw.digits, f.Name):
			types = append(types, f.Name+": numeric")
		}
	}
	if len(types) > 0 {
		d.types = "{ " + strings.Join(types, ", ") + " }"
	}
}

// nameOf returns a name for the pipeline of a table: that of the dataset, without namespace
// and revision, and that of the table.
func nameOf(t sqlcheck.Table) string {
	dataset := t.Dataset[strings.LastIndex(t.Dataset, "/")+1:]
	dataset, _, _ = strings.Cut(dataset, "@")
	name := strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || (r < 128 && (r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')) {
			return r
		}
		return '_'
	}, strings.TrimPrefix(dataset+"-"+t.Name, "-"))
	const longest = 60 // leaves room for a number
	return name[:min(len(name), longest)]
}

// distinguish sees to it that d has other names than those before it.
func distinguish(before []draft, d *draft) {
	var names, shorts []string
	for _, one := range before {
		names, shorts = append(names, strings.ToLower(one.name)), append(shorts, strings.ToLower(one.short))
	}
	d.name = unlike(names, d.name)
	const longest = 63 // bytes, in PostgreSQL
	if len(d.short) > longest || slices.Contains(shorts, strings.ToLower(d.short)) {
		d.short = unlike(shorts, strings.ReplaceAll(d.name, "-", "_"))
	}
}

// unlike returns a name, with a number if it is one of those that are taken.
func unlike(taken []string, name string) string {
	unique := name
	for n := 2; slices.Contains(taken, strings.ToLower(unique)); n++ {
		unique = name + "-" + strconv.Itoa(n)
	}
	return unique
}

// writeDrafts writes the documents. Sinks that are not on become comments.
func writeDrafts(drafts []draft, on map[string]bool) []byte {
	var text strings.Builder
	text.WriteString("# Written by ampipe init. docs/configuration.md describes every key.\n")
	for i, d := range drafts {
		if i > 0 {
			text.WriteString("---\n")
		}
		text.WriteString(d.head())
		if i == 0 { // the pipelines of a file share it
			text.WriteString("nats: { embedded: ./ampipe-data } # in this process. Or, for one process per stage, url: nats://host:4222\n")
		}
		text.WriteString("sinks: # as many as you like; each loads all rows, at its own speed\n")
		for _, sink := range []struct{ name, text string }{{"lake", d.lake()}, {"warehouse", d.warehouse()}, {"cache", d.cache()}} {
			for line := range strings.Lines(sink.text) {
				if !on[sink.name] {
					line = "#" + line
				}
				text.WriteString(line)
			}
		}
	}
	return []byte(text.String())
}

// The document that a table is asked about with, and the parts of the one that is written.
const (
	askText = `pipeline: %s
source: { amp: %s, token: "${AMP_AUTH_TOKEN:-}", table: %s }
sinks: [ { name: none, custom: { kind: none } } ]
`
	headText = `pipeline: %s
source:
  amp: %s
  token: ${AMP_AUTH_TOKEN:-}      # from the environment; without it none is sent
  table: %s
# All of the table. Or, for some of its rows or columns, query: SELECT … instead.
# The server had %s.
range:
  min_block: %d
  max_block: null                 # the chain is followed. Or the first block that is not wanted
`
	lakeText = `  - name: lake
    delta: { path: ./lake/%s } # or url: s3://bucket/folder, gs://…, azblob://…
`
	warehouseText = `  - name: warehouse
    postgres:
      dsn: ${DATABASE_URL}
      table: %s
`
	upsertText = `      mode: upsert                # by the key. append is faster, and needs none
      key: [%s]
`
	appendText = `      mode: append                # or upsert, if you know columns that no two rows share: key: [column, …]
`
	typesText = `      # Otherwise numbers of 64 bits without a sign are numeric(20,0), and digits are text.
      types: %s
`
	cacheText = `  - name: cache
    redis:
      url: ${REDIS_URL}
      table: %s
`
	hashText = `      structure: hash             # one for each row, by the key
      key: %s
      ttl: 24h                    # of a row. Without it Redis needs room for all of them
`
	streamText = `      structure: stream           # or hash, if you know columns that no two rows share: key: [column, …]
`
)

func (d draft) head() string {
	return fmt.Sprintf(headText, d.name, quote(d.amp), quote(d.table), d.found, d.first)
}

func (d draft) lake() string { return fmt.Sprintf(lakeText, d.name) }

func (d draft) warehouse() string {
	yaml := fmt.Sprintf(warehouseText, quote(d.short))
	if len(d.key) > 0 {
		yaml += fmt.Sprintf(upsertText, strings.Join(d.key, ", "))
	} else {
		yaml += appendText
	}
	if d.types != "" {
		yaml += fmt.Sprintf(typesText, d.types)
	}
	return yaml
}

func (d draft) cache() string {
	yaml := fmt.Sprintf(cacheText, quote(d.name))
	if len(d.key) == 0 {
		return yaml + streamText
	}
	return yaml + fmt.Sprintf(hashText, quote("{table}:{"+strings.Join(d.key, "}:{")+"}"))
}

// quote writes a value of YAML that means the text itself, whatever is in it.
func quote(text string) string {
	text = strings.ReplaceAll(text, "${", "$${")
	quoted := strconv.Quote(text)
	if quoted == `"`+strings.ReplaceAll(text, `"`, `\"`)+`"` && strings.Contains(text, `"`) && !strings.Contains(text, "'") {
		return "'" + text + "'" // the name of a table with its quotes
	}
	return quoted
}

// rawTable is a kind of tables that Amp itself extracts (AP 5).
type rawTable struct {
	columns string   // that one may have, beside _block_num
	has     []string // those by which it is known
	key     []string // those that, beside the block, name a row
	digits  []string // text that holds a number
}

// rawTables are the tables of which the key is known. Tables that were derived from them
// have other columns, or fewer of these.
var rawTables = []rawTable{
	{
		columns: `block_hash block_num timestamp tx_hash tx_index log_index address topic0 topic1 topic2 topic3 data`,
		has:     []string{"tx_hash", "log_index", "address", "topic0", "data"},
		key:     []string{"log_index"},
	},
	{
		columns: `block_num timestamp hash parent_hash ommers_hash miner state_root transactions_root receipt_root logs_bloom difficulty
			total_difficulty gas_limit gas_used extra_data mix_hash nonce base_fee_per_gas withdrawals_root blob_gas_used excess_blob_gas
			parent_beacon_root requests_hash`,
		has: []string{"hash", "parent_hash", "state_root", "gas_used"},
	},
	{
		columns: `block_hash block_num timestamp tx_index tx_hash to nonce gas_price gas_limit value input v r s v_parity chain_id gas_used
			type max_fee_per_gas max_priority_fee_per_gas max_fee_per_blob_gas from status state_root access_list blob_versioned_hashes
			authorization_list return_data public_key begin_ordinal end_ordinal`,
		has:    []string{"tx_index", "tx_hash", "nonce", "value", "input", "from"},
		key:    []string{"tx_index"},
		digits: []string{"value"},
	},
	{
		columns: `block_hash block_num timestamp tx_index tx_hash index parent_index depth call_type caller address value gas_limit gas_consumed
			return_data input selfdestruct executed_code begin_ordinal end_ordinal`,
		has: []string{"tx_index", "index", "parent_index", "depth", "caller"},
		key: []string{"tx_index", "index"},
	},
	{
		columns: `slot parent_slot block_hash previous_block_hash block_height block_time`,
		has:     []string{"slot", "parent_slot", "block_hash"},
	},
	{
		columns: `slot tx_index tx_version signatures err fee pre_balances post_balances log_messages pre_token_balances post_token_balances
			rewards loaded_addresses_writable loaded_addresses_readonly return_data_program_id return_data_data compute_units_consumed cost_units`,
		has: []string{"slot", "tx_index", "signatures"},
		key: []string{"tx_index"},
	},
	{
		columns: `slot tx_index header address_table_lookups account_keys recent_block_hash`,
		has:     []string{"slot", "tx_index", "account_keys"},
		key:     []string{"tx_index"},
	},
}

// fitBigint are columns of 64 bits without a sign whose values a bigint holds for as long as
// there are chains.
var fitBigint = strings.Fields(`_block_num block_num slot parent_slot block_height gas_limit gas_used gas_consumed
	blob_gas_used excess_blob_gas begin_ordinal end_ordinal`)

// rawTableOf returns what kind of table has these columns; nil: it is not known.
func rawTableOf(schema *arrow.Schema) *rawTable {
	for i, raw := range rawTables {
		known := append(strings.Fields(raw.columns), "_block_num")
		other := slices.ContainsFunc(schema.Fields(), func(f arrow.Field) bool { return !slices.Contains(known, f.Name) })
		lacks := slices.ContainsFunc(raw.has, func(name string) bool { return !schema.HasField(name) })
		if !other && !lacks {
			return &rawTables[i]
		}
	}
	return nil
}
