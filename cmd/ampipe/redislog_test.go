package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/ops"
)

// TestWhatTheRedisDriverPrints is in the log, in its format, and nowhere else.
func TestWhatTheRedisDriverPrints(t *testing.T) {
	t.Parallel()
	config := strings.ReplaceAll(strings.ReplaceAll(lake, "$AMP", ampServer(t)), "delta: { path: ./lake }",
		`redis: { url: "redis://127.0.0.1:1", structure: hash, table: logs, key: "{table}:{block_num}:{log_index}" }`)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "pipeline.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := ampipe(t, dir, "check", "--log-format", "json", "--log-level", "debug")
	wantJSON(t, stderr)
	if code != ops.ExitFailed || !strings.Contains(stderr, `"part":"redis"`) {
		t.Errorf("exit code %d\n%s\n%s", code, stdout, stderr)
	}
}
