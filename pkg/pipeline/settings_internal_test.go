package pipeline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/config"
)

const settingsFile = `
pipeline: logs
source: { amp: grpc://h:1, query: SELECT 1 }
nats: { url: nats://h:1 }
extract: { workers: 2 }
sinks:
  - { name: warehouse, postgres: { dsn: "postgres://u:hunter2@h/d", table: logs } }
  - { name: cache, redis: { url: "redis://:hunter2@h/0", key: "{n}" } }
`

// changed returns the pipeline of settingsFile with some texts in it replaced.
func changed(t *testing.T, pairs ...string) *config.Pipeline {
	t.Helper()
	p, err := config.Parse("f.yaml", []byte(strings.NewReplacer(pairs...).Replace(settingsFile)), os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	return p[0]
}

// linesOf returns the lines of a log, each as its level, key, values and message.
func linesOf(t *testing.T, out *bytes.Buffer) []string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(out.String()) {
		var l struct {
			Level, Key, From, To, Message string
			Elsewhere                     []string `json:"of_other_processes"`
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		text := strings.Join(strings.Fields(fmt.Sprint(l.Level, " ", l.Key, " ", l.From, " ", l.To, " ", l.Message)), " ")
		if len(l.Elsewhere) > 0 {
			text += " " + fmt.Sprint(l.Elsewhere)
		}
		lines = append(lines, text)
	}
	return lines
}

// TestSettingsAreTaken by each kind of process: what it uses and may change is taken, what it
// uses and may not is named, and the rest is others'.
func TestSettingsAreTaken(t *testing.T) {
	t.Parallel()
	const start = "once this process is started again"
	is := changed(t, "workers: 2", "workers: 6, attempts: 3", "query: SELECT 1", "query: SELECT 2", "table: logs", "table: other, writers: 5",
		"{n}", "{m}", "hunter2@h/0", "other@h/0")
	for here, want := range map[string][]string{
		"planner extractor sink warehouse sink cache": {
			"info extract.workers 2 6 the changed key is taken",
			"info sinks.warehouse.postgres.writers 2 5 the changed key is taken",
			"warn source.query the changed key is taken " + start + "; ampipe plan shows what will be loaded",
			"warn extract.attempts the changed key is taken " + start,
			"warn sinks.warehouse.postgres.table the changed key names another destination: it is loaded from the beginning " + start,
			"warn sinks.cache.redis.url the changed key names another destination: it is loaded from the beginning " + start,
			"warn sinks.cache.redis.key the changed key does not suit what is loaded: ampipe check says what to do before this process is started again",
			"info the configuration was read again",
		},
		"planner": {
			"info extract.workers 2 6 the changed key is taken",
			"warn source.query the changed key is taken " + start + "; ampipe plan shows what will be loaded",
			"info the configuration was read again [extract.attempts sinks.warehouse.postgres.table sinks.warehouse.postgres.writers " +
				"sinks.cache.redis.url sinks.cache.redis.key]",
		},
		"extractor": {
			"info extract.workers 2 6 the changed key is taken",
			"warn extract.attempts the changed key is taken " + start,
			"info the configuration was read again [source.query sinks.warehouse.postgres.table sinks.warehouse.postgres.writers " +
				"sinks.cache.redis.url sinks.cache.redis.key]",
		},
		"sink cache": {
			"warn sinks.cache.redis.url the changed key names another destination: it is loaded from the beginning " + start,
			"warn sinks.cache.redis.key the changed key does not suit what is loaded: ampipe check says what to do before this process is started again",
			"info the configuration was read again [source.query extract.workers extract.attempts sinks.warehouse.postgres.table " +
				"sinks.warehouse.postgres.writers]",
		},
	} {
		s, out := newSettings(changed(t)), &bytes.Buffer{}
		stages := strings.Split(strings.ReplaceAll(here, "sink ", "sink_"), " ")
		for i := range stages {
			stages[i] = strings.ReplaceAll(stages[i], "_", " ")
		}
		s.take(is, stages, zerolog.New(out))
		if got := linesOf(t, out); strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s says\n%s\nwant\n%s", here, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if strings.Contains(out.String(), "hunter2") {
			t.Errorf("%s logs a password:\n%s", here, out)
		}
		if s.workers.N() != 6 || s.writers["warehouse"].N() != 5 || s.writers["cache"].N() != 1 {
			t.Errorf("%s: %d workers, %d and %d writers", here, s.workers.N(), s.writers["warehouse"].N(), s.writers["cache"].N())
		}
		// Taken keys are compared with those taken last, the others with those of the start.
		out.Reset()
		s.take(changed(t), stages, zerolog.New(out))
		if got := linesOf(t, out); strings.Contains(out.String(), "warn") || s.workers.N() != 2 || s.writers["warehouse"].N() != 2 {
			t.Errorf("%s, set back, says %q and has %d workers", here, got, s.workers.N())
		}
	}
}

// TestSinksComeAndGo while the pipeline runs: nothing of that is done before a restart.
func TestSinksComeAndGo(t *testing.T) {
	t.Parallel()
	s, out := newSettings(changed(t)), &bytes.Buffer{}
	s.take(changed(t, "name: cache, redis: { url: \"redis://:hunter2@h/0\", key: \"{n}\" }", "name: lake, delta: { path: /lake }",
		"postgres: { dsn: \"postgres://u:hunter2@h/d\", table: logs }", "redis: { url: redis://h/0, key: \"{n}\", writers: 9 }"),
		[]string{"planner", "extractor", "sink warehouse", "sink cache"}, zerolog.New(out))
	want := []string{
		"warn sinks.warehouse the changed key names another destination: it is loaded from the beginning once this process is started again",
		"warn sinks.cache the sink is not in the configuration any more: it stays until the planner is started again and the sink is stopped; " +
			"then ampipe forget lets go what NATS keeps of it",
		"warn sinks.lake the sink is new: it runs once the planner and the sink are started again",
		"info the configuration was read again",
	}
	if got := linesOf(t, out); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("it says\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if n := s.writers["warehouse"].N(); n != 2 {
		t.Errorf("a sink of PostgreSQL has the %d writers of one of Redis", n)
	}
}

// TestPartitionSizeIsTaken, also when it is chosen by the number of workers.
func TestWorkersAreNewWhenTheyAreCountedFirst(t *testing.T) {
	t.Parallel()
	s := newSettings(changed(t))
	for i, c := range []struct {
		workers int
		isNew   bool
	}{{0, true}, {0, false}, {8, true}, {8, false}, {0, true}} {
		if got := s.counted(c.workers); got != c.isNew {
			t.Errorf("count %d, of %d workers: new: %t", i, c.workers, got)
		}
	}
}

func TestPartitionSizeIsTaken(t *testing.T) {
	t.Parallel()
	s := newSettings(changed(t))
	s.planned(8000, 0)
	for _, c := range []struct {
		keys       string
		size, most uint64
	}{
		{"", 2000, 0}, // two for each of two workers
		{"range: { partition_size: 50 }", 50, 50},
		{"extract: { workers: 4 }", 1000, 0},
	} {
		pairs := []string{"extract: { workers: 2 }", c.keys}
		if strings.HasPrefix(c.keys, "range") {
			pairs = []string{"extract:", c.keys + "\nextract:"}
		} else if c.keys == "" {
			pairs = nil
		}
		s.take(changed(t, pairs...), []string{"planner"}, zerolog.Nop())
		if size, most := s.partitionSize(), s.mostBlocks(); size != c.size || most != c.most {
			t.Errorf("with %q a partition has %d blocks and at most %d, want %d and %d", c.keys, size, most, c.size, c.most)
		}
	}
}
