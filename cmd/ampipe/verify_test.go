package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/ops"
)

func TestVerifyComparesTheOtherSinks(t *testing.T) {
	t.Parallel()
	s := &site{T: t, dir: t.TempDir(), amp: ampServer(t), vars: map[string]string{}}
	s.configure(strings.Replace(lake, "sinks: [ ", "sinks: [ { name: gone, delta: { path: ./gone } }, ", 1))
	if code, out := s.command(firstMinute, "", "run"); code != ops.ExitDone {
		t.Fatalf("run: exit code %d\n%s", code, out)
	}
	if err := os.RemoveAll(filepath.Join(s.dir, "gone")); err != nil {
		t.Fatal(err)
	}
	code, out := s.command(firstMinute, "", "verify")
	if code != ops.ExitFailed || lineWith(out, "gone: not compared: ") == "" || lineWith(out, "lake: 160 rows in 40 blocks") == "" {
		t.Errorf("exit code %d\n%s", code, out)
	}
}
