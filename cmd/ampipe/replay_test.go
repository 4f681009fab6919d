package main

import (
	"strings"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/status"
)

// TestReplay asks for replays before, while and after two pipelines run.
func TestReplay(t *testing.T) {
	t.Parallel()
	s := &site{T: t, dir: t.TempDir(), amp: ampServer(t, "--live", "--block-time", "500ms"), vars: map[string]string{}}
	s.configure(strings.ReplaceAll(twoPipelines, "$WHERE", "{ embedded: ./nats }"))
	refused := func(says string, args ...string) {
		t.Helper()
		code, out, complaints := ampipe(t, s.dir, append([]string{"replay"}, args...)...)
		if code != ops.ExitConfig || !strings.Contains(complaints, says) {
			t.Errorf("replay %q: exit code %d, want %d and %s\n%s%s", args, code, ops.ExitConfig, says, out, complaints)
		}
	}
	refused("name one of them before the sink", "lake", "--all")
	refused("name a sink and either the blocks to load again", "blocks", "lake")
	refused("name a sink and either the blocks to load again", "blocks", "lake", ":10", "--all")
	refused("nothing was started with this configuration yet", "blocks", "lake", "--all")

	s.start("run")
	live := func(o status.Overview) bool {
		return o.Level == status.Healthy && strings.HasPrefix(o.Sentence, "all 2 pipelines are live; everything loaded; ")
	}
	s.overview("live", live)
	refused(`has no sink "cellar"; it has`, "blocks", "cellar", "--all")
	refused("may still be replaced by a reorg", "blocks", "lake", "0:1B", "--dry-run")
	replay := func(says string, args ...string) {
		t.Helper()
		code, out, complaints := ampipe(t, s.dir, append([]string{"replay", "blocks"}, args...)...)
		if code != ops.ExitDone || !strings.Contains(out, says) {
			t.Fatalf("replay %q: exit code %d, want %s\n%s%s", args, code, says, out, complaints)
		}
	}
	replay("blocks of sink lake are removed and loaded again", "lake", "--all", "--dry-run")
	replay("10 blocks of sink lake are removed and loaded again, 10 from the log and 0 from Amp: [5, 15)", "lake", "5:15", "--dry-run")
	replay("the sink does it now", "lake", "--all")
	for deadline := time.Now().Add(firstMinute); ; time.Sleep(200 * time.Millisecond) {
		code, out, complaints := ampipe(t, s.dir, "replay", "blocks", "lake", "--all", "--dry-run")
		if code == ops.ExitDone {
			break
		}
		if !strings.Contains(complaints, "are being replayed already") || time.Now().After(deadline) {
			t.Fatalf("exit code %d\n%s%s", code, out, complaints)
		}
	}
	s.overview("live again", live)
	code, out := s.command(firstMinute, "", "verify", "blocks")
	if code != ops.ExitDone {
		t.Errorf("verify after a replay: exit code %d\n%s", code, out)
	}
}
