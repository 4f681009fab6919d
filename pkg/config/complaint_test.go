package config_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/config"
)

// valid is a whole pipeline, one key per line, for tests to break.
const valid = `pipeline: p
source:
  amp: grpc://h:1602
  query: SELECT 1
range:
  min_block: 10
  max_block: 20
nats:
  embedded: ./data
extract:
  workers: 2
log:
  max_bytes: 1GiB
sinks:
  - name: w
    postgres:
      dsn: postgres://u:hunter2@h/d
      table: t
      mode: upsert
      key: [a, b]
`

// change replaces a line of valid, given without its indentation.
func change(t *testing.T, line, with string) string {
	t.Helper()
	if strings.Count(valid, line+"\n") != 1 {
		t.Fatalf("%q is not one line of the text", line)
	}
	return strings.Replace(valid, line+"\n", with+"\n", 1)
}

func TestComplaints(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ line, with, want string }{
		// Keys.
		{"pipeline: p", "pipelin: p", `1:1: pipeline is missing; give it a name of letters, digits, "-" and "_"` + "\n" + `1:1: unknown key "pipelin"; did you mean "pipeline"?`},
		{"  min_block: 10", "  min_blok: 10", `6:3: unknown key "range.min_blok"; did you mean "min_block"?`},
		{"  workers: 2", "  threads: 2", `11:3: unknown key "extract.threads"; known are workers, give_up_after, attempts`},
		{"  workers: 2", "  compression: s2", `11:3: unknown key "extract.compression"; it belongs under "log"`},
		{"      table: t", "      table: t\n      tabel: u", `19:7: unknown key "sinks[0].postgres.tabel"; did you mean "table"?`},
		{"  workers: 2", "  workers: 2\n  workers: 3", `12:3: extract.workers is given twice, first in line 11`},
		{"  workers: 2", "  <<: {}", `11:3: merge keys ("<<") are not understood; write the keys out`},
		// Shapes.
		{"  workers: 2", "  - 2", `10:1: extract must be a group of keys, not a list`},
		{"  workers: 2", "  workers: [2]", `11:3: extract.workers must be a single value, not a list`},
		{"  workers: 2", "  workers: *n", `11:12: alias *n has no anchor`},
		{"  workers: 2", "  workers: &n !!str *n", `11:20: alias refers to itself`},
		{"      key: [a, b]", "      key: a", `20:7: sinks[0].postgres.key must be a list, as in [a, b], not a single value`},
		{"  - name: w", "    name: w", `14:1: sinks must be a list, each element starting with "-", not a group of keys`},
		// Pipeline and source.
		{"pipeline: p", "pipeline: a.b", `1:1: pipeline must be 1 to 64 letters, digits, "-" and "_", not "a.b"`},
		{"pipeline: p", "pipeline: " + strings.Repeat("x", 65), `1:1: pipeline must be 1 to 64`},
		{"  amp: grpc://h:1602", "  amp:", `3:3: source.amp is missing; give the server's address, such as grpc://localhost:1602`},
		{"  amp: grpc://h:1602", "  amp: localhost:1602", `3:3: source.amp must begin with grpc:// or http:// (plain), grpcs:// or https:// (TLS)`},
		{"  amp: grpc://h:1602", "  amp: grpc+tls://h", `3:3: source.amp must begin with grpc://`},
		{"  amp: grpc://h:1602", "  amp: grpc://", `3:3: source.amp names no host; write it as grpc://host:port`},
		{"  amp: grpc://h:1602", "  amp: grpc://u:hunter2@h", `3:3: source.amp must hold no user or password; put the token into source.token`},
		{"  amp: grpc://h:1602", "  amp: grpc://h/x", `3:3: source.amp must end after the port`},
		{"  amp: grpc://h:1602", "  amp: 'grpc://h:x'", `3:3: source.amp is not a URL; write it as grpc://host:port`},
		{"  query: SELECT 1", `  query: " "`, `4:3: source.query is missing; give the SELECT whose rows are wanted`},
		// Range.
		{"  min_block: 10", "  min_block: 20", `7:3: range.max_block (20) must be above range.min_block (20); it is the first block that is not wanted`},
		{"  max_block: 20", "  max_block: 0", `7:3: range.max_block (0) must be above range.min_block (10)`},
		{"  min_block: 10", "  min_block: -1", `6:3: range.min_block must be a whole number from 0 to 9223372036854775806, not "-1"`},
		{"  max_block: 20", "  max_block: 9223372036854775807", `7:3: range.max_block must be a whole number from 0 to 9223372036854775806, not "9223372036854775807"`},
		{"  max_block: 20", "  max_block: 99999999999999999999999", `7:3: range.max_block must be a whole number`},
		{"  max_block: 20", "  max_block: 1e6", `7:3: range.max_block must be a whole number`},
		{"  max_block: 20", "  max_block: latest", `7:3: range.max_block must be a whole number`},
		{"  max_block: 20", "  reorg_buffer: x", `7:3: range.reorg_buffer must be a whole number from 0 to 2147483647, not "x"`},
		{"  max_block: 20", "  reorg_buffers: { base: -3 }", `7:20: range.reorg_buffers.base must be a whole number`},
		{"  max_block: 20", "  partition_size: 0", `7:3: range.partition_size must be a whole number from 1 to`},
		// Live, NATS, extract, log.
		{"range:", "live: { start: with-backfil }\nrange:", `5:9: live.start must be with-backfill or after-backfill, not "with-backfil"; did you mean "with-backfill"?`},
		{"  embedded: ./data", "  embedded: ./data\n  url: nats://h", `10:3: nats.embedded and nats.url are both given; keep one`},
		{"  embedded: ./data", "  url: http://h", `9:3: nats.url must be nats://host:4222`},
		{"  embedded: ./data", "  url: nats://u:hunter2@h,x", `9:3: nats.url must be nats://host:4222`},
		{"  embedded: ./data", "  creds: c", `9:3: nats.creds is for nats.url; the embedded server is reached inside the process`},
		{"  embedded: ./data", "  tls: { ca: c }", `9:10: nats.tls.ca is for nats.url`},
		{"  embedded: ./data", "  replicas: 3", `9:3: nats.replicas above 1 needs a cluster; give nats.url`},
		{"  embedded: ./data", "  url: nats://h\n  replicas: 6", `10:3: nats.replicas must be a whole number from 1 to 5, not "6"`},
		{"  embedded: ./data", "  url: nats://h\n  tls: { cert: c }", `10:3: nats.tls needs cert and key together`},
		{"  workers: 2", "  workers: 0", `11:3: extract.workers must be a whole number from 1 to 1024, not "0"`},
		{"  workers: 2", "  give_up_after: 0s", `11:3: extract.give_up_after must be from 1s to 365d, not "0s"`},
		{"  workers: 2", "  attempts: 0", `11:3: extract.attempts must be a whole number from 1`},
		{"  max_bytes: 1GiB", "  max_bytes: 1MiB", `13:3: log.max_bytes must be at least 64MiB, not "1MiB"`},
		{"  max_bytes: 1GiB", "  max_bytes: 64MiB\n  entry_bytes: 8MiB", `13:3: log.max_bytes must be at least 16 times log.entry_bytes (8MiB), not "64MiB"`},
		{"  max_bytes: 1GiB", "  max_bytes: 1 GiG", `13:3: log.max_bytes: "1 GiG" is not a size; write bytes or a unit, such as 20GiB or 512MB`},
		{"  max_bytes: 1GiB", "  max_bytes: 99999999TiB", `13:3: log.max_bytes: "99999999TiB" is not a size`},
		{"  max_bytes: 1GiB", "  entry_bytes: 1GiB", `13:3: log.entry_bytes must be from 64KiB to 32MiB, not "1GiB"`},
		{"  max_bytes: 1GiB", "  entry_bytes: 1", `13:3: log.entry_bytes must be from 64KiB to 32MiB, not "1"`},
		{"  max_bytes: 1GiB", "  max_bytes: 1GiB\n  max_block_bytes: 1GiB", `14:3: log.max_block_bytes must be at most half of log.max_bytes (1GiB), not "1GiB"`},
		{"  max_bytes: 1GiB", "  replay: 3", `13:3: log.replay: "3" is not a duration; write a number and a unit, such as 90s, 72h or 7d`},
		{"  max_bytes: 1GiB", "  replay: -3h", `13:3: log.replay: "-3h" is not a duration`},
		{"  max_bytes: 1GiB", "  replay: 999999d", `13:3: log.replay: "999999d" is not a duration`},
		{"  max_bytes: 1GiB", "  compression: gzip", `13:3: log.compression must be s2, zstd or none, not "gzip"`},
		// Sinks.
		{"  - name: w", "  - nam: w", "15:5: sinks[0].name is missing; give it a name of letters, digits, \"-\" and \"_\"\n" + `15:5: unknown key "sinks[0].nam"; did you mean "name"?`},
		{"  - name: w", "  - name: a/b", `15:5: sinks[0].name must be 1 to 64 letters`},
		{"  - name: w", "  - { name: W, postgres: { dsn: 'postgres://h', table: u } }\n  - name: w", `16:5: sink "w" has the name of the one in line 15; give it another`},
		{"  - name: w", "  - { name: x, postgres: { dsn: 'postgres://u:hunter2@h/d', table: t } }\n  - name: w", `16:5: sink "w" writes to the table of the sink in line 15; every sink needs a table of its own`},
		{"  - name: w", "  - name: w\n    delta: { path: ./x }", "15:5: sinks[0] must have exactly one destination: postgres, delta, redis or custom"},
		{"  - name: w", "  - { name: r, redis: { url: 'redis://h', table: t } }\n  - name: w", `15:16: sinks[0].redis.key is missing; structure: hash needs a key for every row, such as "{table}:{block_num}:{log_index}" or key: [block_num, log_index]`},
		{"  - name: w", "  - { name: r, redis: { url: 'http://h', key: [a], table: t } }\n  - name: w", `15:25: sinks[0].redis.url must begin with redis:// (plain), rediss:// (TLS) or unix:// (a socket)`},
		{"  - name: w", "  - { name: r, redis: { url: 'redis://h', structure: hsh, key: [a], table: t } }\n  - name: w", `15:43: sinks[0].redis.structure must be hash, string, json, stream, set, sorted_set or list, not "hsh"; did you mean "hash"?`},
		{"  - name: w", "  - { name: r, redis: { url: 'redis://h', structure: list, score: a, table: t } }\n  - name: w", `15:60: sinks[0].redis.score is used by structure: sorted_set only; remove it or set that structure`},
		{"  - name: w", "  - { name: r, redis: { url: 'redis://h', structure: list } }\n  - name: w", `15:16: sinks[0].redis.table is missing; give the name that {table} stands for in the key`},
		{"  - name: w", "  - { name: r }\n  - name: w", `15:7: sinks[0] must have exactly one destination: postgres, delta, redis or custom`},
		{"      dsn: postgres://u:hunter2@h/d", "      dsn: ''", `17:7: sinks[0].postgres.dsn is missing; give the connection string, such as ${DATABASE_URL}, or dsn_file`},
		{"      dsn: postgres://u:hunter2@h/d", "      dsn: mysql://u:hunter2@h", `17:7: sinks[0].postgres.dsn is not a connection string; write postgres://`},
		{"      dsn: postgres://u:hunter2@h/d", "      dsn: postgres://u:hunter2/@h", `17:7: sinks[0].postgres.dsn is not a valid postgres:// URL; write special characters of the password as %XX`},
		{"      dsn: postgres://u:hunter2@h/d", "      dsn: postgres://u:hunter2%zz@h", `17:7: sinks[0].postgres.dsn is not a valid postgres:// URL`},
		{"      dsn: postgres://u:hunter2@h/d", "      dsn: postgres://u:hunter2@h:99999/d", `17:7: sinks[0].postgres.dsn is not a valid postgres:// URL`},
		{"      dsn: postgres://u:hunter2@h/d", "      dsn: host=h password='hunter2", `17:7: sinks[0].postgres.dsn is not a valid connection string; write "key=value key=value"`},
		{"      dsn: postgres://u:hunter2@h/d", "      dsn: postgres://h\n      dsn_file: /hunter2", `18:7: sinks[0].postgres.dsn and sinks[0].postgres.dsn_file are both given; keep one`},
		{"      dsn: postgres://u:hunter2@h/d", "      dsn_file: /no/such/file", `17:7: sinks[0].postgres.dsn_file: "/no/such/file" cannot be read: no such file or directory`},
		{"      table: t", "      tables: t", "16:5: sinks[0].postgres.table is missing; give the name of the table to write\n" + `18:7: unknown key "sinks[0].postgres.tables"; did you mean "table"?`},
		{"      table: t", "      table: " + strings.Repeat("t", 64), `18:7: sinks[0].postgres.table must be at most 63 bytes long`},
		{"      mode: upsert", "      mode: merge", `19:7: sinks[0].postgres.mode must be append or upsert, not "merge"`},
		{"      mode: upsert", "      writers: 1", `20:7: sinks[0].postgres.key is used by mode: upsert only; set that mode or remove the key`},
		{"      key: [a, b]", "      key: []", `19:7: sinks[0].postgres.mode: upsert needs a key; give the columns that name a row, such as key: [block_num, log_index]`},
		{"      key: [a, b]", "      key: [a, b, a]", `20:19: sinks[0].postgres.key names column "a" twice`},
		{"      key: [a, b]", "      key: [a, '']", `20:16: sinks[0].postgres.key[1] is empty`},
		{"      key: [a, b]", "      key: [a]\n      partition_by: { column: a }", `21:7: sinks[0].postgres.partition_by.blocks is missing; give how many blocks a partition has, such as 1_000_000`},
		{"      key: [a, b]", "      key: [a]\n      partition_by: { blocks: 999 }", `21:23: sinks[0].postgres.partition_by.blocks must be a whole number from 1000 to 1000000000000, not "999"`},
		{"      key: [a, b]", "      key: [a]\n      partition_by: 5", `21:7: sinks[0].postgres.partition_by must be a group of keys, not a single value`},
		{"      key: [a, b]", "      key: [a]\n      indexes: a", `21:7: sinks[0].postgres.indexes must be a list, as in [a, b], not a single value`},
		{"      key: [a, b]", "      key: [a]\n      indexes: [[a, b, a]]", `21:24: sinks[0].postgres.indexes[0] names column "a" twice`},
		{"      key: [a, b]", "      key: [a]\n      indexes: [[a], {b: c}]", `21:23: sinks[0].postgres.indexes[1] must be a single value, not a group of keys`},
		{"      key: [a, b]", "      key: [a]\n      indexes: [[]]", `21:17: sinks[0].postgres.indexes[0] is empty`},
		{"      key: [a, b]", "      key: [a]\n      build_indexes: later", `21:7: sinks[0].postgres.build_indexes must be after_history or at_start, not "later"`},
		{"      key: [a, b]", "      key: [a]\n      types: { a: text }", `21:16: sinks[0].postgres.types.a must be bigint, numeric or hex, not "text"`},
		{"      key: [a, b]", "      key: [a]\n      types: { '*': hex }", `21:16: sinks[0].postgres.types.* must be bigint or numeric, not "hex"`},
		{"      key: [a, b]", "      key: [a]\n      overwrite: yes", `21:7: sinks[0].postgres.overwrite must be true or false, not "yes"`},
		{"      key: [a, b]", "      key: [a]\n      on_bad_row: skip", `21:7: sinks[0].postgres.on_bad_row must be stop or dead_letter, not "skip"`},
		{"      key: [a, b]", "      key: [a]\n      writers: 0", `21:7: sinks[0].postgres.writers must be a whole number from 1 to 64, not "0"`},
		{"      key: [a, b]", "      key: [a]\n      finality: 0", `21:7: sinks[0].postgres.finality must be a whole number from 1 to 9223372036854775806, not "0"`},
		// Variables.
		{"  amp: grpc://h:1602", "  amp: ${NOPE}", `3:3: source.amp: environment variable NOPE is not set; set it, or give a default as ${NOPE:-…}`},
		{"  amp: grpc://h:1602", "  amp: ${NOPE", `3:3: source.amp: "${" is not closed; write "$${" for the characters themselves`},
		{"  amp: grpc://h:1602", "  amp: ${NOPE-x}", `3:3: source.amp: "${…}" must hold a variable, as ${NAME} or ${NAME:-default}`},
		{"  workers: 2", "  workers: ${SECRET}", `11:3: extract.workers must be a whole number from 1 to 1024, not "${SECRET}"`},
		{"      mode: upsert", "      mode: ${SECRET}", `19:7: sinks[0].postgres.mode must be append or upsert, not "${SECRET}"`},
		{"      dsn: postgres://u:hunter2@h/d", "      dsn_file: ${SECRET}", `17:7: sinks[0].postgres.dsn_file: "${SECRET}" cannot be read`},
		// YAML.
		{"  workers: 2", "  workers: 2\n workers: 3", `this is not YAML: `},
		{"      dsn: postgres://u:hunter2@h/d", "      dsn: \"postgres://u:hunter2@h/d", `this is not YAML: `},
	} {
		_, err := config.Parse("f.yaml", []byte(change(t, c.line, c.with)), env("SECRET", "hunter2", "HOME", "/h"))
		checkComplaints(t, c.with, err, c.want)
	}
}

// checkComplaints fails unless err has exactly the wanted complaints, one per
// line; each may be cut short.
func checkComplaints(t *testing.T, what string, err error, want string) {
	t.Helper()
	var e *config.Error
	if !errors.As(err, &e) {
		t.Errorf("%s\ngives %v", what, err)
		return
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%s\nshows a secret: %v", what, err)
	}
	wants := strings.Split(want, "\n")
	ok := len(wants) == len(e.Complaints)
	for i := 0; ok && i < len(wants); i++ {
		got := fmt.Sprintf("%d:%d: %s", e.Complaints[i].Line, e.Complaints[i].Column, e.Complaints[i].Text)
		ok = strings.HasPrefix(got, wants[i]) || (strings.HasPrefix(wants[i], "this is") && strings.HasPrefix(e.Complaints[i].Text, wants[i]))
	}
	if !ok {
		t.Errorf("%s\ngives\n%v\nwant\n%s", what, err, want)
	}
}

func TestAllComplaintsAtOnce(t *testing.T) {
	t.Parallel()
	text := `pipeline: p
source: { amp: ftp://h, query: SELECT 1 }
sinks: []
---
pipeline: P
source: { amp: grpc://h, query: SELECT 1 }
nats: { url: nats://h }
extract: { workers: 0 }
sinks: [ { name: w, postgres: { dsn: "host=h dbname=d", table: t } } ]
---
- not a pipeline
---
pipeline: r
source: { amp: grpc://h, query: SELECT 1 }
nats: { embedded: data }
sinks: [ { name: w, postgres: { dsn: "host=h dbname=d", table: t } } ]
---
a: "b
`
	_, err := config.Parse("dir/f.yaml", []byte(text), env())
	want := `dir/f.yaml:2:11: source.amp must begin with grpc:// or http:// (plain), grpcs:// or https:// (TLS)
dir/f.yaml:3:1: sinks is empty; give at least one destination, such as - { name: warehouse, postgres: { dsn: "${DATABASE_URL}", table: logs } }
dir/f.yaml:5:1: pipeline "P" has the name of the one in line 1; give it another
dir/f.yaml:8:12: extract.workers must be a whole number from 1 to 1024, not "0"
dir/f.yaml:11:1: a pipeline must be a group of keys, not a list
dir/f.yaml:11:1: pipeline is missing; give it a name of letters, digits, "-" and "_"
`
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("gives\n%v\nwant\n%s", err, want)
	}
	for _, more := range []string{
		`dir/f.yaml:15:1: nats differs from the one in line 7; the pipelines of a file share one NATS, so name it once`,
		`dir/f.yaml:16:12: sink "w" writes to the table of the sink in line 9; every sink needs a table of its own`,
		`dir/f.yaml:18:4: this is not YAML: `,
	} {
		if err == nil || !strings.Contains(err.Error(), more) {
			t.Errorf("%s\nis missing in\n%v", more, err)
		}
	}
}

func TestNothingInTheFile(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "\n# nothing\n", "---\n---\n", "null\n"} {
		_, err := config.Parse("f.yaml", []byte(text), env())
		if err == nil || !strings.Contains(err.Error(), "f.yaml: there is no pipeline in this file") {
			t.Errorf("%q gives %v", text, err)
		}
	}
}

// TestVariablesStayInTheirPlace expands values full of YAML's own characters.
func TestVariablesStayInTheirPlace(t *testing.T) {
	t.Parallel()
	for _, value := range []string{
		"a: b\nworkers: 9", `"`, `'`, "#x", "- x", "${OTHER}", "$${OTHER}", "{a: b}", "*x", "&x", "!x", "|", "null", "~", "\ttab", "a\\nb", "%41",
	} {
		for _, form := range []string{`"${V}"`, "'${V}'", "${V}", "|-\n    ${V}", ">-\n    ${V}", "${UNSET:-}${V}"} {
			text := change(t, "  query: SELECT 1", "  query: "+form)
			got, err := config.Parse("f.yaml", []byte(text), env("V", value, "OTHER", "bad"))
			if err != nil {
				t.Errorf("%q as %s: %v", value, form, err)
				continue
			}
			if p := got[0]; p.Source.Query != value || p.Extract.Workers != 2 {
				t.Errorf("%q as %s gives %q", value, form, p.Source.Query)
			}
		}
	}
}

func TestExpansion(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a${V}b${V}c":     "axbxc",
		"${UNSET:-d e:f}": "d e:f",
		"${UNSET:-}z":     "z",
		"${V:-d}":         "x",
		"$${V} $V $ {V}":  "${V} $V $ {V}",
		"$$${V}":          "$${V}",
		"${UNSET:-${V}":   "${V",
		"cost: 5$, ${V}%": "cost: 5$, x%",
	} {
		got, err := config.Parse("f.yaml", []byte(change(t, "  query: SELECT 1", "  query: "+"'"+text+"'")), env("V", "x"))
		if err != nil || got[0].Source.Query != want {
			t.Errorf("%q gives %v, %v; want %q", text, got, err, want)
		}
	}
}

func TestSecretIsNeverShown(t *testing.T) {
	t.Parallel()
	got, err := config.Parse("f.yaml", []byte(change(t, "  amp: grpc://h:1602", "  amp: grpc://h:1602\n  token: hunter2")), env())
	if err != nil {
		t.Fatal(err)
	}
	p := got[0]
	if string(p.Source.Token) != "hunter2" {
		t.Fatalf("token is %q", string(p.Source.Token))
	}
	r := *p
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{p.Source, *p.Sinks[0].Postgres, r, r.NATS, p.Source.Token, &p.Source.Token} {
			if s := fmt.Sprintf(verb, v); strings.Contains(s, "hunter2") || strings.Contains(s, "68756e746572") {
				t.Errorf("%s shows %s", verb, s)
			}
		}
	}
	js, err := json.Marshal(r)
	if err != nil || strings.Contains(string(js), "hunter2") || !strings.Contains(string(js), `"***"`) {
		t.Errorf("JSON is %s (%v)", js, err)
	}
}

func TestDSNForms(t *testing.T) {
	t.Parallel()
	for _, dsn := range []string{
		"postgres://h", "postgresql://u@h:5432/d?sslmode=disable&work_mem=1MB", "postgres://u:p%40w@a:1,b:2,[::1]:5432/d", "postgres:///d?host=/run/pg",
		"postgres://[::1]/d", "host=h", " host = h  password = 'a b\\'c' dbname=d ", "host=/run/pg user=u password=",
	} {
		text := change(t, "      dsn: postgres://u:hunter2@h/d", "      dsn: ${DSN}")
		if _, err := config.Parse("f.yaml", []byte(text), env("DSN", dsn)); err != nil {
			t.Errorf("%q: %v", dsn, err)
		}
	}
}

func TestSecretFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "empty"), []byte(" \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := change(t, "      dsn: postgres://u:hunter2@h/d", "      dsn_file: empty")
	_, err := config.Parse(filepath.Join(dir, "f.yaml"), []byte(text), env())
	checkComplaints(t, "an empty file", err, `17:7: sinks[0].postgres.dsn_file: "empty" is empty`)
}

// FuzzParse holds that no text makes Parse panic, and that an environment
// variable's value never appears in what it complains about.
func FuzzParse(f *testing.F) {
	f.Add(valid)
	f.Add(minimal + "---\n" + valid)
	f.Add("a: &x [*x, {<<: *x}]\n? - b\n: !!str ${SECRET}\n...\n%YAML 1.2\n--- |\n ${SECRET}\n")
	for _, line := range []string{"pipeline", "source", "amp", "query", "min_block", "embedded", "url", "max_bytes", "replay", "dsn", "dsn_file", "table", "mode", "key", "types", "name"} {
		f.Add("pipeline: ${SECRET}\nsource: { " + line + ": \"${SECRET}x\" }\nsinks: [ { name: ${SECRET}, postgres: { " + line + ": [ ${SECRET} ] } } ]\n")
	}
	const secret = "s3kr1t-v4lu3"
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "_file") || strings.Contains(text, secret) {
			return // would read files of the machine
		}
		got, err := config.Parse("f.yaml", []byte(text), env("SECRET", secret))
		if err != nil {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%q shows the secret: %v", text, err)
			}
			return
		}
		if len(got) == 0 {
			t.Errorf("%q gives neither a pipeline nor an error", text)
		}
	})
}
