package pipeline

import (
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sqlcheck"
)

// TestDraftsAreRight: whatever the tables are called, the configuration names each of them,
// and no two pipelines or destinations are one.
func TestDraftsAreRight(t *testing.T) {
	tables := map[string]string{ // and the pipelines
		`eth_rpc.logs`: "eth_rpc-logs", `"a/eth_rpc@1.0.0".logs`: "eth_rpc-logs-2", `"b/eth_rpc@dev"."LOGS"`: "eth_rpc-LOGS-3",
		`logs`: "logs", `eth.a$b`: "eth-a_b", `eth."$${HOME} 'x' ""y"" # \ z"`: "eth-___HOME___x___y______z",
		`eth.` + strings.Repeat("long", 40): "eth-" + strings.Repeat("long", 14),
	}
	var drafts []draft
	for _, text := range []string{
		`eth_rpc.logs`, `"a/eth_rpc@1.0.0".logs`, `"b/eth_rpc@dev"."LOGS"`, `logs`, `eth.a$b`, `eth."$${HOME} 'x' ""y"" # \ z"`, `eth.` + strings.Repeat("long", 40),
	} {
		whole, err := sqlcheck.ParseTable(text)
		if err != nil {
			t.Fatal(err)
		}
		d := draft{amp: "grpc://localhost:1602", table: text, name: nameOf(whole), short: whole.Name, found: "1 column", key: []string{"_block_num"}}
		if len(drafts)%2 == 0 {
			d.key, d.types = nil, "{ _block_num: bigint }"
		}
		distinguish(drafts, &d)
		drafts = append(drafts, d)
	}
	for _, on := range []map[string]bool{{"lake": true}, {"warehouse": true, "cache": true}} {
		text := writeDrafts(drafts, on)
		pipelines, err := config.Parse("pipeline.yaml", text, func(name string) string {
			return map[string]string{"DATABASE_URL": "postgres://localhost/x", "REDIS_URL": "redis://localhost"}[name]
		})
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		for i, p := range pipelines {
			if want := drafts[i].table; p.Source.Table != want || p.Name != tables[want] || len(p.Sinks) != len(on) {
				t.Errorf("pipeline %s loads %s into %d sinks, want %s, %s", p.Name, p.Source.Table, len(p.Sinks), tables[want], want)
			}
		}
	}
}

// TestKeysOfTables: a key is known only of tables that have the columns of one that Amp
// extracts, and no other.
func TestKeysOfTables(t *testing.T) {
	for columns, want := range map[string]string{
		"_block_num block_hash block_num timestamp tx_hash tx_index log_index address topic0 topic1 topic2 topic3 data": "log_index",
		"_block_num tx_hash log_index address topic0 data":                                                              "log_index",
		"_block_num tx_hash log_index address topic0 data token_id":                                                     "unknown", // derived: perhaps several of a log
		"_block_num address topic0":                                       "unknown",
		"_block_num hash parent_hash state_root gas_used":                 "",
		"_block_num slot tx_index signatures fee":                         "tx_index",
		"_block_num slot tx_index program_id_index accounts inner_index":  "unknown", // inner_index may be null
		"_block_num tx_index index parent_index depth caller value":       "tx_index index",
		"_block_num tx_index tx_hash nonce value input from to gas_limit": "tx_index",
		"_block_num tx_index tx_hash nonce value input from to log_index": "unknown",
		"_block_num slot parent_slot block_hash previous_block_hash":      "",
		"_block_num slot tx_index account_keys recent_block_hash header":  "tx_index",
		"_block_num slot pubkey lamports post_balance reward_type":        "unknown",
	} {
		var fields []arrow.Field
		for name := range strings.FieldsSeq(columns) {
			fields = append(fields, arrow.Field{Name: name, Type: arrow.PrimitiveTypes.Uint64})
		}
		got := "unknown"
		if raw := rawTableOf(arrow.NewSchema(fields, nil)); raw != nil {
			got = strings.Join(raw.key, " ")
		}
		if got != want {
			t.Errorf("the key of %s is %q, want %q", columns, got, want)
		}
	}
}
