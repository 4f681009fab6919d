package pipeline_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestOldestNATS runs tests whose NATS is a process of its own with the oldest version that is
// promised; all others have the one of go.mod.
func TestOldestNATS(t *testing.T) {
	t.Parallel()
	if os.Getenv("AMPIPE_TEST_POSTGRES") == "" {
		t.Skip("AMPIPE_TEST_POSTGRES is not set: no PostgreSQL for end-to-end tests (scripts/test starts one)")
	}
	install := exec.CommandContext(t.Context(), "../../scripts/nats-others", "2.12.0")
	install.Stderr = os.Stderr
	folder, err := install.Output()
	if err != nil {
		t.Fatal(err)
	}
	bin, own := t.TempDir(), commands(t)
	for name, dir := range map[string]string{"nats-server": strings.TrimSpace(string(folder)), "ampipe": own, "devserver": own,
		"planner": own, "extractor": own, "sink-postgres": own, "sink-redis": own, "sink-delta": own} {
		if err := os.Symlink(filepath.Join(dir, name), filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	names := []string{"TestThreeDestinations", "TestSinkDownForAWhileWhileLive"}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run=^("+strings.Join(names, "|")+")$")
	cmd.Env = append(os.Environ(), "AMPIPE_BIN="+bin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range names {
		if !strings.Contains(string(out), "\n--- PASS: "+name+" ") {
			t.Errorf("%s has not passed\n%s", name, out)
		}
	}
}
