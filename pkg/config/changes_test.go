package config_test

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/config"
)

// What a changed key of a pipeline that has loaded something does.
const (
	takesOver = "takes over" // what is loaded stays, the rest is loaded as it says now
	nothing   = "nothing"    // it says how, where to read, or how fast; no row depends on it
	refused   = "refused"    // with the reason, before anything is written
	another   = "another"    // it names another destination, which is loaded from the beginning
)

// changes decides each key of a source, a range and a sink. A key that is new has to be
// decided here, and in the table of docs/configuration.md.
var changes = map[string]map[string]string{
	"source": {
		"query": takesOver, "block_column": refused,
		"amp": nothing, "token": nothing, "token_file": nothing, "bearer_file": nothing, "tls": nothing, "table": nothing,
		"keep_alive": nothing, "max_message": nothing, "answer_timeout": nothing, "first_rows_timeout": nothing, "next_rows_timeout": nothing,
	},
	"range": {
		"min_block": takesOver, "max_block": takesOver,
		"reorg_buffer": nothing, "reorg_buffers": nothing, "partition_size": nothing,
	},
	"postgres": {
		"dsn": another, "dsn_file": another, "schema": another, "table": another,
		"mode": refused, "key": refused, "types": refused,
		"on_bad_row": takesOver, "finality": takesOver, "schema_evolution": nothing, "overwrite": nothing, "writers": nothing,
	},
	"delta": {
		"path": another, "url": another, "endpoint": another, "partition_by": refused,
		"target_file_size": takesOver, "compression": takesOver, "dictionary": takesOver,
		"region": nothing, "max_commit_delay": nothing, "checkpoint_every": nothing, "spool": nothing, "overwrite": nothing, "on_bad_row": takesOver,
	},
	"redis": {
		"url": another, "url_file": another, "sentinel": nothing,
		"cluster": refused, "table": refused, "structure": refused, "key": refused, "columns": refused, "score": refused, "null": refused, "ttl": refused,
		"finality": takesOver, "writers": nothing, "on_bad_row": takesOver,
	},
	"custom": {"kind": another, "writers": nothing, "max_commit_delay": nothing, "on_bad_row": takesOver},
}

// TestEveryKeySaysWhatItsChangeDoes goes through the fields of the configuration and the
// tables of its documentation.
func TestEveryKeySaysWhatItsChangeDoes(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	guide := string(text)
	fields := map[string]reflect.Type{
		"source": reflect.TypeFor[config.Source](), "range": reflect.TypeFor[config.Range](), "postgres": reflect.TypeFor[config.Postgres](),
		"delta": reflect.TypeFor[config.Delta](), "redis": reflect.TypeFor[config.Redis](), "custom": reflect.TypeFor[config.Custom](),
	}
	unlike := map[string]string{"nullempty": "null", "beside": ""} // fields that are named otherwise than their key, or have none
	for section, keys := range changes {
		for f := range fields[section].Fields() {
			name := strings.ToLower(f.Name)
			if !f.IsExported() {
				continue // it is of no key, or carries a tag of the section
			}
			key, named := unlike[name]
			found := named && (key == "" || keys[key] != "")
			for key := range keys {
				found = found || strings.ReplaceAll(key, "_", "") == name
			}
			if !found {
				t.Errorf("%s: nothing is decided of the field %s", section, f.Name)
			}
		}
		for key := range keysInGuide(guide, section) {
			if keys[key] == "" {
				t.Errorf("%s: nothing is decided of the key %q", section, key)
			}
		}
	}
	row := regexp.MustCompile("(?m)^\\| `(\\w+)` \\| ([^|]+) \\| (.+) \\|$")
	_, table, found := strings.Cut(guide, "## Changing a running pipeline\n")
	if !found {
		t.Fatal("the guide does not say what changes do")
	}
	said := map[string]map[string]string{}
	for _, r := range row.FindAllStringSubmatch(table, -1) {
		if said[r[1]] == nil {
			said[r[1]] = map[string]string{}
		}
		for key := range strings.SplitSeq(r[3], "`, `") {
			key = strings.Trim(key, "` ")
			said[r[1]][key] = r[2]
		}
	}
	if !reflect.DeepEqual(said, changes) {
		t.Errorf("the guide says\n%v\nwant\n%v", said, changes)
	}
}

// keysInGuide returns the keys in the table of a section of the guide.
func keysInGuide(guide, section string) map[string]bool {
	_, rest, found := strings.Cut(guide, "\n### `"+section+"`\n")
	if !found {
		_, rest, _ = strings.Cut(guide, "\n`"+section+"`")
	}
	_, rest, _ = strings.Cut(rest, "\n| key | meaning |")
	rest, _, _ = strings.Cut(rest, "\n\n")
	keys := map[string]bool{}
	for line := range strings.Lines(rest) {
		cell, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " |")
		for _, key := range regexp.MustCompile("`([a-z_.]+)`").FindAllStringSubmatch(cell, -1) {
			key, _, _ := strings.Cut(key[1], ".")
			keys[key] = true
		}
	}
	return keys
}
