package main

import (
	"os"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/status"
)

// TestForgetAndDrop lets a sink go that has kept the log, and then the pipeline, and loads it
// again beside what the destination holds.
func TestForgetAndDrop(t *testing.T) {
	t.Parallel()
	const text = `
pipeline: logs
source: { amp: $AMP, query: SELECT * FROM eth.logs }
range: { min_block: 0, $RANGE reorg_buffer: 5 }
nats: { embedded: ./nats }
sinks:
  - { name: lake, delta: { path: ./lake, max_commit_delay: 1s } }
  $COPY
`
	const withCopy = "- { name: copy, delta: { path: ./copy, max_commit_delay: 1s } }"
	s := &site{T: t, dir: t.TempDir(), amp: ampServer(t), vars: map[string]string{}}
	configure := func(limit, more string) {
		s.configure(strings.NewReplacer("$RANGE", limit, "$COPY", more).Replace(text))
	}
	says := func(code int, want string, args ...string) {
		t.Helper()
		got, out, complaints := ampipe(t, s.dir, args...)
		if got != code || !strings.Contains(out+complaints, want) {
			t.Errorf("ampipe %q: exit code %d, want %d and %q in\n%s%s", args, got, code, want, out, complaints)
		}
	}
	configure("", withCopy)
	says(ops.ExitConfig, "nothing was started with this configuration yet", "forget", "copy")
	run := s.start("run")
	s.overview("loaded", func(o status.Overview) bool {
		return o.Level == status.Healthy && strings.Contains(o.Sentence, "everything loaded")
	})
	says(ops.ExitConfig, "sink copy runs in ampipe run on ", "forget", "copy")
	says(ops.ExitConfig, `pipeline "logs" runs in ampipe run on `, "drop", "logs", "--yes")
	says(ops.ExitDone, "is paused", "pause", "copy")
	if err := run.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = run.Wait()

	says(ops.ExitDone, "logs: take it out of the configuration", "forget", "copy")
	says(ops.ExitConfig, `pipeline "logs" has nothing of a sink "copy"; it has lake`, "forget", "copy")
	says(ops.ExitConfig, "has no other sink than lake: ampipe drop logs", "forget", "lake")
	o := s.overview("forgotten", func(status.Overview) bool { return true })
	if sinks := o.Pipelines[0].Sinks; len(sinks) != 1 || sinks[0].Name != "lake" || sinks[0].Covered != sinks[0].Wanted {
		t.Errorf("when a sink is forgotten: %+v", sinks)
	}
	configure("max_block: 40,", withCopy) // it comes back, is not paused any more, and skips what it holds
	says(ops.ExitDone, "", "run")
	says(ops.ExitDone, "copy: ", "verify")

	configure("max_block: 40,", "")
	says(ops.ExitConfig, "nothing was removed: give --yes to remove this from NATS", "drop", "logs")
	says(ops.ExitDone, "logs: removed", "drop", "logs", "--yes")
	o = s.overview("dropped", func(status.Overview) bool { return true })
	if !strings.HasPrefix(o.Sentence, "nothing was started yet") || o.Pipelines[0].Planned || len(o.Pipelines[0].Processes) > 0 {
		t.Errorf("when it is dropped: %s, %+v", o.Sentence, o.Pipelines[0])
	}
	says(ops.ExitConfig, "was not planned yet", "drop", "logs", "--yes")
	says(ops.ExitDone, "every sink holds these blocks of the history already", "run")
	says(ops.ExitDone, "are equal in source and destination", "verify")
}

// TestForgetAndDropWithDeadLetters: they are said, and go only when that is wanted.
func TestForgetAndDropWithDeadLetters(t *testing.T) {
	t.Parallel()
	const text = `
pipeline: logs
source: { amp: $AMP, query: "SELECT *, CASE WHEN block_num = 7 THEN '' ELSE 'x' END AS part FROM eth.logs" }
range: { min_block: 0, max_block: 20, reorg_buffer: 5 }
nats: { embedded: ./nats }
sinks:
  - { name: lake, delta: { path: ./lake, partition_by: [part], on_bad_row: dead_letter } }
  $COPY
`
	s := &site{T: t, dir: t.TempDir(), amp: ampServer(t), vars: map[string]string{}}
	configure := func(more string) { s.configure(strings.Replace(text, "$COPY", more, 1)) }
	says := func(code int, want string, args ...string) {
		t.Helper()
		got, out, complaints := ampipe(t, s.dir, args...)
		if got != code || !strings.Contains(out+complaints, want) {
			t.Errorf("ampipe %q: exit code %d, want %d and %q in\n%s%s", args, got, code, want, out, complaints)
		}
	}
	configure("- { name: copy, delta: { path: ./copy, partition_by: [part], on_bad_row: dead_letter } }")
	says(ops.ExitDone, "", "run")
	says(ops.ExitConfig, `pipeline "logs": sink copy has 4 dead letters, rows that are not in its destination`, "forget", "copy")
	says(ops.ExitIncomplete, "copy  4 ", "dlq", "list", "--sink", "copy")
	says(ops.ExitDone, "logs: 4 dead letters of sink copy removed", "forget", "copy", "--dead-letters")
	says(ops.ExitDone, "logs: no dead letters", "dlq", "list", "--sink", "copy")

	configure("")
	says(ops.ExitConfig, "logs: 4 dead letters of sink lake, rows that are not in its destination", "drop", "logs")
	says(ops.ExitIncomplete, "lake  4 ", "dlq", "list")
	says(ops.ExitDone, "logs: removed", "drop", "logs", "--yes")
	says(ops.ExitDone, "", "run") // the stream is made again, and empty
	says(ops.ExitDone, "logs: no dead letters", "dlq", "list")
}
