package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/ops"
)

// TestCheckFindsEverything: what is refused does not hide the rest.
func TestCheckFindsEverything(t *testing.T) {
	t.Parallel()
	const (
		badQuery = `"SELECT block_num, adress FROM eth.logs"`
		query    = `"SELECT * FROM eth.logs"`
		inOrder  = "{ name: good, delta: { path: ./lake } }"
		noFolder = "{ name: lake, delta: { path: ./pipeline.yaml/lake } }"
		noServer = "{ name: pg, postgres: { dsn: \"postgres://u@127.0.0.1:1/d\", table: logs, mode: append } }"
		noRedis  = "{ name: cache, redis: { url: \"redis://127.0.0.1:1\", structure: list, key: \"l:{block_num}\" } }"
		embedded = "{ embedded: ./nats }"
		noNATS   = "{ url: \"nats://127.0.0.1:1\" }"
	)
	amp := ampServer(t)
	for name, c := range map[string]struct {
		query, nats string
		sinks       []string
		found       []string // the beginnings of the lines of standard error
		says        string   // in standard output
		exit        int
	}{
		"the source, NATS and three of four sinks": {
			badQuery, noNATS, []string{inOrder, noFolder, noServer, noRedis},
			[]string{"ask ", "connect to NATS at 127.0.0.1:1", `sink "lake": `, `sink "pg": `, `sink "cache": `, "5 findings; exit code 1"},
			"sink      good: connected; its table was not checked, since the columns of the query are not known", ops.ExitFailed,
		},
		"two sinks": {
			query, embedded, []string{noFolder, inOrder, noServer},
			[]string{`sink "lake": `, `sink "pg": `, "2 findings; exit code 1"},
			"sink      good: connected, and may do what it needs", ops.ExitFailed,
		},
		"the source alone": {
			badQuery, embedded, []string{inOrder},
			[]string{"ask ", "1 finding; exit code 2"}, "nats      embedded", ops.ExitConfig,
		},
		"nothing": {query, embedded, []string{inOrder}, nil, "Everything is in order", ops.ExitDone},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			text := "pipeline: logs\nsource: { amp: " + amp + ", query: " + c.query + " }\nrange: { max_block: 40 }\nnats: " + c.nats +
				"\nsinks: [ " + strings.Join(c.sinks, ", ") + " ]\n"
			if err := os.WriteFile(filepath.Join(dir, "pipeline.yaml"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			code, stdout, stderr := ampipe(t, dir, "check")
			lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
			if stderr == "" {
				lines = nil
			}
			if code != c.exit || len(lines) != len(c.found) || !strings.Contains(stdout, c.says) {
				t.Fatalf("exit code %d, want %d, %d lines and %q\n%s\n%s", code, c.exit, len(c.found), c.says, stdout, stderr)
			}
			for i, begin := range c.found {
				if !strings.HasPrefix(lines[i], "ampipe: "+begin) {
					t.Errorf("line %d is %q, want %q", i, lines[i], begin)
				}
			}
			if c.found != nil && strings.Contains(stdout, "Everything is in order") {
				t.Errorf("it is content:\n%s", stdout)
			}
		})
	}
}
