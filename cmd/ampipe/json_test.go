package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/ops"
)

// wantJSON demands that each line is a JSON object with a level and a message, and
// returns the messages.
func wantJSON(t *testing.T, stderr string) (messages []string) {
	t.Helper()
	for line := range strings.Lines(stderr) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil || fields["level"] == nil || fields["message"] == nil {
			t.Errorf("not a line of a JSON log: %q (%v)", line, err)
			continue
		}
		messages = append(messages, fields["message"].(string))
	}
	return messages
}

// TestEveryLineIsJSON runs every command with --log-format json, as it should be and not.
func TestEveryLineIsJSON(t *testing.T) {
	t.Parallel()
	amp := ampServer(t)
	good := strings.ReplaceAll(lake, "$AMP", amp)
	bad := strings.ReplaceAll(good, "delta: { path: ./lake }", "delta: { path: ./pipeline.yaml/lake }")
	away := strings.ReplaceAll(good, amp, "grpc://127.0.0.1:1")
	for name, c := range map[string]struct {
		config string
		args   []string
		exit   int
		says   string // in the last message; empty: anything
	}{
		"run":                   {good, []string{"run"}, 0, ""},
		"check":                 {good, []string{"check"}, 0, ""},
		"check that refuses":    {bad, []string{"check"}, ops.ExitConfig, "1 finding; exit code"},
		"check, Amp away":       {away, []string{"check"}, ops.ExitFailed, "1 finding; exit code 1"},
		"run that is refused":   {bad, []string{"run"}, ops.ExitConfig, "lake"},
		"plan":                  {good, []string{"plan"}, 0, ""},
		"verify without rows":   {good, []string{"verify"}, ops.ExitFailed, "has the pipeline been run"},
		"adopt":                 {good, []string{"adopt"}, ops.ExitConfig, "no blocks to compare"},
		"show":                  {good, []string{"show"}, ops.ExitConfig, ""},
		"compact":               {good, []string{"compact"}, ops.ExitConfig, ""},
		"vacuum":                {good, []string{"vacuum"}, ops.ExitConfig, ""},
		"health":                {good, []string{"health", "--address", "127.0.0.1:1"}, ops.ExitFailed, "127.0.0.1:1"},
		"version":               {good, []string{"version"}, 0, ""},
		"a command":             {good, []string{"verfy"}, ops.ExitConfig, `did you mean "verify"?`},
		"a flag":                {good, []string{"run", "--retry"}, ops.ExitConfig, `did you mean "--retry-failed"?`},
		"a flag before":         {good, []string{"--bogus", "run"}, ops.ExitConfig, "unknown flag: --bogus"},
		"an argument":           {good, []string{"version", "1"}, ops.ExitConfig, "takes no argument"},
		"an argument of health": {good, []string{"health", "livz"}, ops.ExitConfig, `did you mean "livez"?`},
		"a pipeline":            {good, []string{"run", "lgos"}, ops.ExitConfig, `did you mean "logs"?`},
		"a level":               {good, []string{"run", "--log-level", "loud"}, ops.ExitConfig, "is not one of"},
		"a file":                {good, []string{"run", "-c", "none.yaml"}, ops.ExitConfig, "none.yaml"},
		"a configuration twice": {"pipeline: x\nsorce: {}\n", []string{"check"}, ops.ExitConfig, "findings; exit code 2"},
		"a configuration":       {"pipeline: x\nsorce: {}\n", []string{"plan"}, ops.ExitConfig, "sorce"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "pipeline.yaml"), []byte(c.config), 0o600); err != nil {
				t.Fatal(err)
			}
			code, stdout, stderr := ampipe(t, dir, append(c.args, "--log-format", "json")...)
			messages := wantJSON(t, stderr)
			if code != c.exit {
				t.Errorf("exit code %d, want %d\n%s\n%s", code, c.exit, stdout, stderr)
			}
			if c.says != "" && (len(messages) == 0 || !strings.Contains(messages[len(messages)-1], c.says)) {
				t.Errorf("%q is not in the last line of\n%s", c.says, stderr)
			}
			if strings.ContainsRune(stdout+stderr, '\x1b') {
				t.Errorf("control characters without a terminal:\n%q", stdout+stderr)
			}
		})
	}
}

// TestProgressWithoutATerminal is a line of the log, JSON or not; what a signal ends is so
// to the end.
func TestProgressWithoutATerminal(t *testing.T) {
	t.Parallel()
	line := regexp.MustCompile(`(?m) INF (.+ \| )?history \d+/\d+ blocks \d+ % .*\| live \d`) // a sentence may stand before it
	for format, read := range map[string]func(*testing.T, string) bool{
		"json": func(t *testing.T, stderr string) bool {
			told := false
			for line := range strings.Lines(stderr) {
				var fields struct {
					Pipeline string
					Progress *struct {
						State string
						Done  *uint64 `json:"history_blocks_done"`
						Sinks map[string]struct{ Rows *uint64 }
					}
				}
				if err := json.Unmarshal([]byte(line), &fields); err != nil {
					t.Errorf("not JSON: %q", line)
				}
				p := fields.Progress
				told = told || (p != nil && fields.Pipeline == "logs" && p.State == "live" && p.Done != nil && p.Sinks["lake"].Rows != nil)
			}
			return told
		},
		"console": func(_ *testing.T, stderr string) bool {
			return line.MatchString(stderr)
		},
	} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			config := strings.ReplaceAll(strings.ReplaceAll(lake, "$AMP", ampServer(t, "--live", "--block-time", "100ms")), "range: { max_block: 40 }", "range: { reorg_buffer: 5 }")
			if err := os.WriteFile(filepath.Join(dir, "pipeline.yaml"), []byte(config), 0o600); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			c := exec.CommandContext(ctx, executable(t), "run", "--log-format", format)
			c.Env, c.Dir = append(os.Environ(), runsCommand+"=1"), dir
			until := `"state":"live"`
			if format == "console" {
				until = "| live "
			}
			var once bool
			out := &watched{until: until, seen: func() {
				if !once {
					once = true
					_ = c.Process.Signal(syscall.SIGTERM) // it runs: it has just written
				}
			}}
			c.Stderr = out
			_ = c.Run() // its exit code says it
			if code := c.ProcessState.ExitCode(); code != ops.ExitInterrupted {
				t.Errorf("exit code %d", code)
			}
			if !read(t, out.String()) || strings.ContainsRune(out.String(), '\x1b') {
				t.Errorf("no progress, or control characters, in\n%s", out.String())
			}
		})
	}
}

// TestEveryLineOfAStageIsJSON runs the commands of single stages: with a command line
// that cannot be, with a configuration that they refuse, and until a signal ends them
// while they wait for NATS.
func TestEveryLineOfAStageIsJSON(t *testing.T) {
	t.Parallel()
	bin := built(t)
	const embedded = `
pipeline: logs
source: { amp: "grpc://127.0.0.1:1", query: SELECT * FROM eth.logs }
nats: { embedded: ./nats }
sinks:
  - { name: lake, delta: { path: ./lake } }
  - { name: pg, postgres: { dsn: "postgres://u@127.0.0.1:1/d", table: logs, mode: append } }
  - { name: cache, redis: { url: "redis://127.0.0.1:1", structure: list, key: "l:{block_num}" } }
`
	away := strings.ReplaceAll(embedded, "{ embedded: ./nats }", `{ url: "nats://127.0.0.1:1" }`)
	for _, stage := range []string{"planner", "extractor", "sink-delta", "sink-postgres", "sink-redis"} {
		t.Run(stage, func(t *testing.T) {
			t.Parallel()
			for _, c := range []struct {
				config, flag, says string
				signal             bool
				exit               int
			}{
				{embedded, "--confg", `did you mean "--config"?`, false, ops.ExitConfig},
				{embedded, "", "set nats.url", false, ops.ExitConfig},
				{away, "", "", true, ops.ExitInterrupted},
			} {
				dir := t.TempDir()
				if err := os.WriteFile(filepath.Join(dir, "pipeline.yaml"), []byte(c.config), 0o600); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				args := []string{"--log-format=json"}
				if c.flag != "" {
					args = append(args, c.flag)
				}
				process := exec.CommandContext(ctx, filepath.Join(bin, stage), args...)
				process.Dir = dir
				out := &watched{until: "NATS", seen: func() {
					if c.signal {
						_ = process.Process.Signal(syscall.SIGTERM) // it runs: it has just written
					}
				}}
				process.Stderr = out
				_ = process.Run() // its exit code says it
				wantJSON(t, out.String())
				if code := process.ProcessState.ExitCode(); code != c.exit || !strings.Contains(strings.ReplaceAll(out.String(), `\"`, `"`), c.says) {
					t.Errorf("%s %q: exit code %d, want %d and %q in\n%s", stage, args, code, c.exit, c.says, out.String())
				}
			}
		})
	}
}
