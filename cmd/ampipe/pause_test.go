package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/state"
	"github.com/ampipe/ampipe/pkg/status"
)

// positionOf returns the last live block that a sink of the first pipeline has.
func positionOf(o status.Overview, sink string) block.Number {
	if at := sinkOf(o, sink).Position; at != nil {
		return *at
	}
	return 0
}

// sinkOf returns how a sink of the first pipeline is.
func sinkOf(o status.Overview, name string) (found status.Sink) {
	for _, s := range o.Pipelines[0].Sinks {
		if s.Name == name {
			found = s
		}
	}
	return found
}

// TestPause has one of two sinks stand still, over a kill and a start, while the other
// follows the chain, and lets it continue.
func TestPause(t *testing.T) {
	t.Parallel()
	onEachNATS(t, func(t *testing.T, s *site) {
		says := func(code int, want string, args ...string) {
			t.Helper()
			got, out, complaints := ampipe(t, s.dir, args...)
			if got != code || !strings.Contains(out+complaints, want) {
				t.Errorf("ampipe %q: exit code %d, want %d and %q in\n%s%s", args, got, code, want, out, complaints)
			}
		}
		run := s.start("run")
		s.overview("live", func(o status.Overview) bool {
			return strings.Contains(o.Sentence, "everything loaded; ") && positionOf(o, "copy") > 0
		})

		says(ops.ExitConfig, `pipeline.yaml has no sink "lak"; it has copy, lake; did you mean "lake"?`, "pause", "lak")
		says(ops.ExitConfig, `pipeline logs has no sink "copy"; it has lake`, "pause", "copy", "logs")
		says(ops.ExitDone, "blocks: sink copy is not paused by ampipe pause", "resume", "copy")
		says(ops.ExitDone, "blocks: sink copy is paused; ampipe resume copy lets it continue", "pause", "copy")
		says(ops.ExitDone, "blocks: sink copy was paused already, since ", "pause", "copy", "blocks")
		still := sinkOf(s.overview("paused", func(status.Overview) bool { return true }), "copy")
		paused := func(o status.Overview) bool {
			one := sinkOf(o, "copy")
			return o.Sentence == "blocks: copy is "+still.Reason && o.Next == "ampipe resume copy" && o.Level == status.Degraded &&
				one.ByRequest && one.State == status.SinkPaused && positionOf(o, "copy") == *still.Position &&
				positionOf(o, "lake") > *still.Position+3
		}
		o := s.overview("the other sink continues", paused)
		if !strings.HasPrefix(still.Reason, "paused by ampipe pause since 20") ||
			!strings.HasSuffix(still.Reason, " UTC; run ampipe resume copy") {
			t.Errorf("the reason is %q", still.Reason)
		}
		s.overview("its process says so, too", func(o status.Overview) bool {
			return slices.ContainsFunc(o.Pipelines[0].Processes[0].Waits, func(w state.Wait) bool {
				return w.Part == "sink copy" && w.State == "expected" && w.Reason == still.Reason
			})
		})

		if err := run.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = run.Wait()
		run = s.start("run")
		before := positionOf(o, "lake")
		s.overview("it is still paused", func(o status.Overview) bool { return paused(o) && positionOf(o, "lake") > before })

		says(ops.ExitDone, "blocks: sink copy continues", "resume", "copy")
		s.overview("live again", func(o status.Overview) bool {
			return o.Level == status.Healthy && strings.Contains(o.Sentence, "everything loaded; ") && positionOf(o, "copy") > before
		})
		if err := run.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		_ = run.Wait()
		if s.vars["NATS"] == "" { // on a server of its own the process that was killed counts as running for a while
			says(ops.ExitDone, "blocks: sink copy is paused; it does not run", "pause", "copy")
			says(ops.ExitDone, "blocks: sink copy is not paused any more; it does not run", "resume", "copy")
		}
		says(ops.ExitDone, "are equal in source and destination", "verify", "blocks")
	})
}
