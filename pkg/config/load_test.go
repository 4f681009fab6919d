package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
)

// env answers like os.Getenv from pairs "NAME", "value".
func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

const minimal = `pipeline: p
source: { amp: grpc://h:1602, query: SELECT 1 }
sinks: [ { name: w, postgres: { dsn: "postgres://h/d", table: t } } ]
`

func TestMinimalHasEveryDefault(t *testing.T) {
	t.Parallel()
	got, err := config.Parse("/etc/ampipe/pipeline.yaml", []byte(minimal), env())
	if err != nil {
		t.Fatal(err)
	}
	want := []*config.Pipeline{{
		Name:    "p",
		Source:  config.Source{Amp: "grpc://h:1602", Query: "SELECT 1"},
		Range:   config.Range{ReorgBuffer: 200},
		Live:    config.Live{Start: config.WithBackfill},
		NATS:    config.NATS{Embedded: "/etc/ampipe/ampipe-data", Replicas: 1},
		Extract: config.Extract{Workers: 4, GiveUpAfter: 30 * time.Minute},
		Log:     config.Log{MaxBytes: 20 << 30, Replay: 72 * time.Hour, Compression: "s2", EntryBytes: 2 << 20, MaxBlockBytes: 64 << 20, DeadLetterBytes: 64 << 20},
		Page:    config.Page{Listen: "127.0.0.1:8088"},
		Traces:  config.Traces{Sample: 0.01},

		LogLevel: "info",
		Sinks: []config.Sink{{Name: "w", Postgres: &config.Postgres{
			DSN: "postgres://h/d", Schema: "public", Table: "t", Mode: config.Append, Writers: 2, Finality: 10_000, OnBadRow: "stop",
			BuildIndexes: config.AfterHistory,
		}}},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v %+v\nwant %+v %+v", got[0], got[0].Sinks[0].Postgres, want[0], want[0].Sinks[0].Postgres)
	}
}

func TestEveryKey(t *testing.T) {
	t.Parallel()
	const text = `
pipeline: eth-logs
log_level: warn
source:
  amp: ${AMP}
  token: ${AMP_AUTH_TOKEN:-}
  token_file: ~/.amp/cache/amp_cli_auth
  query: |
    SELECT *
    FROM eth_firehose.logs -- $${not} a variable
  table: eth_firehose.logs
  block_column: slot
  answer_timeout: 30s
  first_rows_timeout: 1h
  next_rows_timeout: 2m
range: { min_block: 1_000, max_block: 2000, reorg_buffer: 64, reorg_buffers: { base: 300 }, partition_size: 500 }
live: { start: after-backfill }
nats: { url: "nats://a:4222,nats://b:4222", creds: user.creds, tls: { ca: /ca.pem, cert: c.pem, key: k.pem }, replicas: 3 }
extract: { workers: "${WORKERS:-6}", attempts: 3, give_up_after: 2h }
log: { max_bytes: 1.5GiB, replay: 7d, compression: zstd, entry_bytes: 512KiB, max_block_bytes: 128MiB }
page: { listen: ":80" }
traces: { endpoint: "http://collector:4318", sample: 0.5 }
sinks:
  - name: warehouse
    postgres:
      dsn: &db "${DATABASE_URL}"
      schema: chain
      table: logs
      mode: upsert
      key: [block_num, log_index]
      types: { "*": bigint, address: hex }
      schema_evolution: true
      overwrite: true
      writers: 2
      finality: 64
      on_bad_row: stop
      partition_by: { column: block_num, blocks: 1_000_000 }
      indexes: [[address], [topic0, block_num], value]
      build_indexes: at_start
  - { name: copy, postgres: { dsn: *db, table: logs2 } }
`
	const dsn = `postgres://u:p%20w@h/d?sslmode=disable`
	got, err := config.Parse("conf/p.yaml", []byte(text), env(
		"AMP", "grpcs://amp.example", "AMP_AUTH_TOKEN", "t: \"oken", "DATABASE_URL", dsn, "HOME", "/home/u"))
	if err != nil {
		t.Fatal(err)
	}
	limit := block.Number(2000)
	want := &config.Pipeline{
		Name: "eth-logs",
		Source: config.Source{
			Amp: "grpcs://amp.example", Token: "t: \"oken", TokenFile: "/home/u/.amp/cache/amp_cli_auth",
			Query: "SELECT *\nFROM eth_firehose.logs -- ${not} a variable\n", Table: "eth_firehose.logs", BlockColumn: "slot",
			AnswerTimeout: 30 * time.Second, FirstRowsTimeout: time.Hour, NextRowsTimeout: 2 * time.Minute,
		},
		Range: config.Range{MinBlock: 1000, MaxBlock: &limit, ReorgBuffer: 64, ReorgBuffers: map[string]uint64{"base": 300}, PartitionSize: 500},
		Live:  config.Live{Start: config.AfterBackfill},
		NATS: config.NATS{URL: "nats://a:4222,nats://b:4222", Creds: "conf/user.creds", Replicas: 3,
			TLS: config.TLS{CA: "/ca.pem", Cert: "conf/c.pem", Key: "conf/k.pem"}},
		Extract: config.Extract{Workers: 6, Attempts: 3, GiveUpAfter: 2 * time.Hour},
		Log:     config.Log{MaxBytes: 3 << 29, Replay: 7 * 24 * time.Hour, Compression: "zstd", EntryBytes: 512 << 10, MaxBlockBytes: 128 << 20, DeadLetterBytes: 64 << 20},
		Page:    config.Page{Listen: ":80"},
		Traces:  config.Traces{Endpoint: "http://collector:4318", Sample: 0.5},

		LogLevel: "warn",
		Sinks: []config.Sink{
			{Name: "warehouse", Postgres: &config.Postgres{
				DSN: dsn, Schema: "chain", Table: "logs", Mode: config.Upsert, Key: []string{"block_num", "log_index"},
				Types: map[string]string{"*": "bigint", "address": "hex"}, SchemaEvolution: true, Overwrite: true, Writers: 2, Beside: 5, Finality: 64, OnBadRow: "stop",
				PartitionBy: config.BlockPartitions{Column: "block_num", Blocks: 1_000_000}, Indexes: [][]string{{"address"}, {"topic0", "block_num"}, {"value"}},
				BuildIndexes: config.AtStart}},
			{Name: "copy", Postgres: &config.Postgres{DSN: dsn, Schema: "public", Table: "logs2", Mode: config.Append, Writers: 2, Beside: 7, Finality: 10_000, OnBadRow: "stop", BuildIndexes: config.AfterHistory}},
		},
	}
	if !reflect.DeepEqual(got[0], want) {
		t.Errorf("got  %+v\nwant %+v", got[0], want)
		for i := range want.Sinks {
			t.Errorf("sink %d\ngot  %+v\nwant %+v", i, got[0].Sinks[i].Postgres, want.Sinks[i].Postgres)
		}
	}
}

// TestSeveralDocuments holds that no pipeline is dropped: not after an empty
// document, and not after one that is commented out.
func TestSeveralDocuments(t *testing.T) {
	t.Parallel()
	doc := func(name string) string {
		return strings.NewReplacer("pipeline: p", "pipeline: "+name, "table: t", "table: "+name).Replace(minimal)
	}
	text := "%YAML 1.2\n---\n" + doc("a") + "---\n---\n" + doc("b") + "---\n# pipeline: gone\n---\n" + doc("c") + "...\n---\n" +
		strings.Replace(doc("d"), "sinks:", "nats: { url: nats://h:4222 }\nsinks:", 1) + "---\n"
	got, err := config.Parse("p.yaml", []byte(text), env())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range got {
		names = append(names, p.Name)
		if p.NATS.URL != "nats://h:4222" || p.NATS.Embedded != "" {
			t.Errorf("pipeline %s does not share the file's NATS: %+v", p.Name, p.NATS)
		}
	}
	if s := strings.Join(names, " "); s != "a b c d" {
		t.Errorf("pipelines %s", s)
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "pipeline.yaml")
	if _, err := config.Load(path, env()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file gives %v", err)
	}
	text := strings.Replace(minimal, `dsn: "postgres://h/d"`, "dsn_file: secret", 1)
	for name, content := range map[string]string{"pipeline.yaml": text, "secret": " postgres://h/other\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := config.Load(path, env("AMP_AUTH_TOKEN", "tok"))
	if err != nil {
		t.Fatal(err)
	}
	if p := got[0]; p.Sinks[0].Postgres.DSN != "postgres://h/other" || p.Source.Token != "tok" || p.NATS.Embedded != filepath.Join(dir, "ampipe-data") {
		t.Errorf("got %#v %#v", string(p.Sinks[0].Postgres.DSN), p.NATS)
	}
}

// TestDocumentedExamples reads every example of the guide.
func TestDocumentedExamples(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(guide), "```yaml\n")[1:]
	if len(blocks) == 0 {
		t.Fatal("the guide has no example")
	}
	for _, b := range blocks {
		text, _, _ := strings.Cut(b, "```")
		if _, err := config.Parse("pipeline.yaml", []byte(text), env("DATABASE_URL", "postgres://h/d", "AMP", "grpc://h")); err != nil {
			t.Errorf("%s\n%v", text, err)
		}
	}
}
