package main

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/ops"
)

// TestInit writes a configuration for two tables, and loads them with it.
func TestInit(t *testing.T) {
	t.Parallel()
	s := &site{T: t, dir: t.TempDir(), amp: ampServer(t), vars: map[string]string{}}
	s.env = []string{"DATABASE_URL=", "REDIS_URL="}
	code, out := s.command(firstMinute, "", "init", s.amp, "--table", "eth.logs", "--table", `"_/eth@latest".blocks`)
	if code != ops.ExitDone || !strings.HasPrefix(out, "wrote pipeline.yaml\n") || strings.Count(out, "Everything is in order") != 2 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	text := s.read("pipeline.yaml")
	want, err := os.ReadFile("testdata/init.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.ReplaceAll(text, s.amp, "grpc://localhost:1602"); got != string(want) {
		t.Errorf("it wrote\n%s\nwant\n%s", got, want)
	}
	s.load(text)

	code, out = s.command(firstMinute, "", "init", s.amp, "--table", "eth.logs")
	if code != ops.ExitConfig || lineWith(out, "ampipe: pipeline.yaml is there already and is not overwritten") == "" {
		t.Errorf("exit code %d with a file that is there\n%s", code, out)
	}
	code, out = s.command(firstMinute, "", "init", s.amp, "--table", "eth.logs", "--table", "eth.logs", "-c", "other.yaml")
	if code != ops.ExitDone || strings.Count(s.read("other.yaml"), "pipeline: ") != 1 {
		t.Errorf("exit code %d with another file\n%s", code, out)
	}
}

// TestInitForDatabases takes the destinations that the environment knows, with their keys
// and types, of all tables of the chain.
func TestInitForDatabases(t *testing.T) {
	t.Parallel()
	database, err := url.Parse(os.Getenv("AMPIPE_TEST_POSTGRES"))
	redis := os.Getenv("AMPIPE_TEST_REDIS")
	if err != nil || database.Host == "" || redis == "" {
		t.Skip("AMPIPE_TEST_POSTGRES or AMPIPE_TEST_REDIS is not set (scripts/test starts both)")
	}
	s := &site{T: t, dir: t.TempDir(), amp: ampServer(t), vars: map[string]string{}}
	s.sql("CREATE DATABASE init_test")
	database.Path = "/init_test"
	s.env = []string{"DATABASE_URL=" + database.String(), "REDIS_URL=" + redis}
	code, out := s.command(firstMinute, "", "init", s.amp, "--table", "eth.logs", "--table", "eth.blocks", "--table", "eth.transactions")
	if code != ops.ExitDone {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	text := s.read("pipeline.yaml")
	for _, want := range []string{
		"\n      key: [_block_num, log_index]\n", "\n      key: [_block_num]\n", "\n      key: [_block_num, tx_index]\n",
		"\n      key: \"{table}:{_block_num}:{log_index}\"\n", "gas_used: bigint", "\n#  - name: lake\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it wrote\n%s\nwant %q in it", text, want)
		}
	}
	s.load(text)
}

// load loads what a configuration asks for, up to a block, and compares it.
func (s *site) load(text string) {
	s.Helper()
	s.write("pipeline.yaml", strings.ReplaceAll(text, "max_block: null", "max_block: 40  "))
	for _, command := range []string{"run", "verify"} {
		if code, out := s.command(firstMinute, "", command); code != ops.ExitDone {
			s.Errorf("%s: exit code %d\n%s", command, code, out)
		}
	}
}

func (s *site) read(name string) string {
	s.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		s.Fatal(err)
	}
	return string(text)
}

// TestInitRefuses what cannot be right, and leaves no file behind.
func TestInitRefuses(t *testing.T) {
	t.Parallel()
	amp := ampServer(t)
	for name, c := range map[string]struct {
		args []string
		env  string
		says string
	}{
		"no address":         {nil, "", "accepts 1 arg(s), received 0"},
		"no table":           {[]string{amp}, "", "name the tables to load with --table"},
		"no name of a table": {[]string{amp, "--table", "a.b.c"}, "", "--table a.b.c: table a.b.c: write it as dataset.table"},
		"an unknown table":   {[]string{amp, "--table", "eth.none"}, "", "--table eth.none: "},
		"no URL":             {[]string{"localhost", "--table", "eth.logs"}, "", "--table eth.logs: source.amp"},
		"a variable":         {[]string{"grpc://${NONE}", "--table", "eth.logs"}, "", "--table eth.logs: "},
		"an address of something else": {
			[]string{amp, "--table", "eth.logs"}, "DATABASE_URL=http://h", "the configuration would not be right: pipeline.yaml:",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &site{T: t, dir: t.TempDir(), env: []string{"DATABASE_URL=", "REDIS_URL=", c.env}}
			code, out := s.command(firstMinute, "", append([]string{"init"}, c.args...)...)
			if code == ops.ExitDone || lineWith(out, c.says) == "" {
				t.Errorf("exit code %d, want %q in\n%s", code, c.says, out)
			}
			if name != "an unknown table" && code != ops.ExitConfig {
				t.Errorf("exit code %d", code)
			}
			left, err := os.ReadDir(s.dir)
			if err != nil || len(left) > 0 {
				t.Errorf("it has left %v, %v", left, err)
			}
		})
	}
}
