package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/status"
)

// twoPipelines are blocks and logs of one chain, which they follow.
const twoPipelines = `
pipeline: blocks
source: { amp: $AMP, query: SELECT * FROM eth.blocks }
range: { min_block: 0, reorg_buffer: 20 }
nats: $WHERE
extract: { workers: 2 }
log: { max_bytes: 64MiB }
sinks: [ { name: lake, delta: { path: ./lake/blocks, max_commit_delay: 1s } }, { name: copy, delta: { path: ./copy/blocks, max_commit_delay: 1s } } ]
---
pipeline: logs
source: { amp: $AMP, query: SELECT * FROM eth.logs }
range: { min_block: 0, reorg_buffer: 20 }
nats: $WHERE
extract: { workers: 2 }
log: { max_bytes: 64MiB }
sinks: [ { name: lake, delta: { path: ./lake/logs, max_commit_delay: 1s } } ]
`

// start starts ampipe in the folder of the site, and kills it at the end of the test.
func (s *site) start(args ...string) *exec.Cmd {
	s.Helper()
	c := exec.Command(executable(s.T), args...)
	c.Dir, c.Env = s.dir, append(append(os.Environ(), runsCommand+"=1"), s.env...)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		_ = c.Process.Kill() // it may have ended
		_ = c.Wait()
		if s.Failed() {
			s.Logf("ampipe %q printed\n%s", args, out.String())
		}
	})
	return c
}

// overview asks ampipe status until it is as wanted.
func (s *site) overview(what string, wanted func(o status.Overview) bool) status.Overview {
	s.Helper()
	codes := map[status.Level]int{status.Healthy: ops.ExitDone, status.Degraded: ops.ExitIncomplete, status.Failed: ops.ExitFailed}
	for deadline := time.Now().Add(firstMinute); ; time.Sleep(200 * time.Millisecond) {
		code, out, complaints := ampipe(s.T, s.dir, "status", "--json")
		var o status.Overview
		if err := json.Unmarshal([]byte(out), &o); err != nil || complaints != "" {
			s.Fatalf("status prints\n%s\n%s", out, complaints)
		}
		if code != codes[o.Level] {
			s.Errorf("exit code %d of a pipeline that is %s", code, o.Level)
		}
		if wanted(o) {
			return o
		}
		if time.Now().After(deadline) {
			s.Fatalf("%s: it is not so within %v: %s\n%s", what, firstMinute, o.Sentence, out)
		}
	}
}

// onEachNATS runs a test of twoPipelines on an embedded NATS server and on one of its own.
func onEachNATS(t *testing.T, test func(t *testing.T, s *site)) {
	for name, where := range map[string]string{"embedded": "{ embedded: ./nats }", "a server of its own": "{ url: \"nats://$NATS\" }"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &site{T: t, dir: t.TempDir(), amp: ampServer(t, "--live", "--block-time", "500ms"), vars: map[string]string{}}
			if strings.Contains(where, "url") {
				s.nats("jetstream { store_dir: \"$STORE\" }")
			}
			s.configure(strings.ReplaceAll(twoPipelines, "$WHERE", strings.ReplaceAll(where, "$NATS", s.vars["NATS"])))
			test(t, s)
		})
	}
}

// TestStatus asks how two pipelines are that were never started, run, were killed and were
// stopped, on an embedded NATS server and on one of its own.
func TestStatus(t *testing.T) {
	t.Parallel()
	onEachNATS(t, func(t *testing.T, s *site) {
		never := s.overview("never started", func(status.Overview) bool { return true })
		if never.Level != status.Failed || !strings.HasSuffix(never.Sentence, "nothing was started yet") {
			t.Errorf("before the start: %s", never.Sentence)
		}

		run := s.start("run")
		o := s.overview("live", func(o status.Overview) bool {
			// A sink may be a moment behind the history before it has reported a live block.
			return strings.HasPrefix(o.Sentence, "all 2 pipelines are live; everything loaded; ") && o.Pipelines[0].Sinks[1].Position != nil
		})
		blocks := o.Pipelines[0]
		if blocks.Name != "blocks" || len(blocks.Sinks) != 2 || blocks.Sinks[1].State != status.SinkLive ||
			blocks.Live == nil || blocks.Live.Watermark == nil || blocks.Log.Bytes == 0 || blocks.Log.Oldest.IsZero() ||
			blocks.Partitions.Done == 0 || blocks.Partitions.Done != blocks.Partitions.Total() || blocks.History.Rows == 0 {
			t.Errorf("%+v", blocks)
		}
		if p := blocks.Processes; len(p) != 1 || p[0].PID != run.Process.Pid || p[0].State != status.Running || len(p[0].Stages) != 4 {
			t.Errorf("the processes are %+v", p)
		}
		code, text, _ := ampipe(t, s.dir, "status", "logs")
		if code != ops.ExitDone || !strings.HasPrefix(text, "live; everything loaded; ") || !strings.Contains(text, "lake  live") {
			t.Errorf("exit code %d\n%s", code, text)
		}
		s.results()
		for _, command := range []string{"check", "plan"} {
			if code, out := s.command(firstMinute, "", command, "logs"); code != ops.ExitDone || strings.Contains(out, "warning") {
				t.Errorf("%s of a pipeline that runs: exit code %d\n%s", command, code, out)
			}
		}
		if code, text := s.command(firstMinute, "everything loaded", "status", "--watch"); code != ops.ExitInterrupted {
			t.Errorf("watched: exit code %d\n%s", code, text)
		}

		if err := run.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = run.Wait()
		o = s.overview("lost", func(o status.Overview) bool { // the other pipeline may have been heard of earlier
			return strings.HasPrefix(o.Sentence, "blocks: nothing runs: ampipe run on ") && strings.Contains(o.Sentence, "was lost")
		})
		if o.Level != status.Failed || o.Next != "start ampipe run again" {
			t.Errorf("killed: %s\n%s", o.Sentence, o.Next)
		}

		run = s.start("run")
		s.overview("live again", func(o status.Overview) bool {
			return o.Level == status.Healthy && strings.Contains(o.Sentence, "everything loaded")
		})
		if err := run.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		_ = run.Wait()
		o = s.overview("stopped", func(status.Overview) bool { return true })
		if o.Level != status.Failed || !strings.Contains(o.Sentence, " was stopped ") || len(o.Pipelines[1].Processes) == 0 {
			t.Errorf("stopped: %s", o.Sentence)
		}
	})
}

// results reads what became of the partitions, of which none has failed.
func (s *site) results() {
	s.Helper()
	code, out, _ := ampipe(s.T, s.dir, "results", "--json", "blocks")
	var rows uint64
	for line := range strings.Lines(out) {
		var r struct {
			Partition, State string
			Start, End, Rows uint64
			Tries            int
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil || r.Partition == "" || r.State != "done" || r.Tries == 0 {
			s.Errorf("%s: %v", line, err)
		}
		rows += r.Rows
	}
	if code != ops.ExitDone || rows == 0 {
		s.Errorf("results: exit code %d\n%s", code, out)
	}
	if code, out, _ := ampipe(s.T, s.dir, "failed"); code != ops.ExitDone || out != "blocks: no block has failed\nlogs: no block has failed\n" {
		s.Errorf("failed: exit code %d\n%s", code, out)
	}
}

// TestRetry loads a block that could not be read, once with the cause as it was, on a
// pipeline that runs, and once when it is gone.
func TestRetry(t *testing.T) {
	t.Parallel()
	const text = `
pipeline: logs
source: { amp: $AMP, query: "SELECT block_num, log_index, CASE WHEN block_num = 17 THEN CAST(log_index AS TINYINT) ELSE 1 END AS v FROM eth.logs" }
range: { $RANGE partition_size: 5, reorg_buffer: 5 }
nats: { embedded: ./nats }
extract: { give_up_after: 1s }
sinks: [ { name: lake, delta: { path: ./lake, max_commit_delay: 1s } } ]
`
	s := &site{T: t, dir: t.TempDir(), amp: ampServer(t, "--logs-per-block", "500"), vars: map[string]string{}}
	s.configure(strings.ReplaceAll(text, "$RANGE", ""))
	run := s.start("run")
	degraded := func(o status.Overview) bool {
		return o.Level == status.Degraded && strings.HasPrefix(o.Sentence, "1 block of 1 partition could not be read")
	}
	s.overview("failed", degraded)
	says := func(code int, want string, args ...string) {
		t.Helper()
		got, out, complaints := ampipe(t, s.dir, args...)
		if got != code || !strings.Contains(out+complaints, want) {
			t.Errorf("ampipe %q: exit code %d, want %d and %q in\n%s%s", args, got, code, want, out, complaints)
		}
	}
	says(ops.ExitIncomplete, "logs: 1 block of 1 partition, [17, 18), ", "failed")
	says(ops.ExitIncomplete, `"partition":"17.0"`, "failed", "--json")
	says(ops.ExitDone, "none of these blocks has failed", "retry", "18:1k")
	says(ops.ExitConfig, "name either the blocks", "retry")
	says(ops.ExitConfig, "name either the blocks", "retry", "17", "--all")
	says(ops.ExitConfig, `"tx" is neither a pipeline of pipeline.yaml nor blocks`, "retry", "tx", "17")
	says(ops.ExitDone, "logs: blocks [17, 18) are queued again; they are loaded now", "retry", "logs", "1_5:+3")
	o := s.overview("failed again", func(o status.Overview) bool {
		_, out, _ := ampipe(t, s.dir, "results", "--failed")
		return degraded(o) && strings.Contains(out, "17.1")
	})
	if n := o.Pipelines[0].Partitions.Failed; n != 1 {
		t.Errorf("%d partitions have failed", n)
	}
	if err := run.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = run.Wait()

	s.amp = ampServer(t) // where the block has few rows
	s.configure(strings.ReplaceAll(text, "$RANGE", "max_block: 40,"))
	says(ops.ExitDone, "they are loaded when the planner is started", "retry", "--all")
	if code, out := s.command(firstMinute, "", "run"); code != ops.ExitDone {
		t.Errorf("exit code %d\n%s", code, out)
	}
	o = s.overview("complete", func(status.Overview) bool { return true })
	if o.Level != status.Healthy || !strings.HasPrefix(o.Sentence, "complete: everything is loaded, blocks 0 to ") {
		t.Errorf("when it was loaded: %s", o.Sentence)
	}
	says(ops.ExitDone, "logs: no block has failed", "failed")
}

// TestAStoppedSinkIsNamed, with the row that stopped it, and while others continue.
func TestAStoppedSinkIsNamed(t *testing.T) {
	t.Parallel()
	if os.Getenv("AMPIPE_TEST_POSTGRES") == "" {
		t.Skip("AMPIPE_TEST_POSTGRES is not set (scripts/test starts the server)")
	}
	s := &site{T: t, dir: t.TempDir(), amp: ampServer(t), vars: map[string]string{}}
	s.sql(`DROP TABLE IF EXISTS public.named; CREATE TABLE public.named (block_num bigint NOT NULL CHECK (block_num <> 17), log_index bigint)`)
	t.Cleanup(func() { s.sql("DROP TABLE IF EXISTS public.named") })
	s.configure(`
pipeline: logs
source: { amp: $AMP, query: "SELECT block_num, log_index FROM eth.logs" }
range: { reorg_buffer: 5 }
nats: { embedded: ./nats }
sinks:
  - { name: lake, delta: { path: ./lake, max_commit_delay: 1s } }
  - { name: warehouse, postgres: { dsn: "$DSN", table: named, schema: public } }
`)
	run := s.start("run")
	o := s.overview("stopped", func(o status.Overview) bool {
		return o.Level == status.Failed && len(o.Pipelines[0].Sinks) == 2 && o.Pipelines[0].Sinks[0].State == status.SinkLive
	})
	if !strings.HasPrefix(o.Sentence, "warehouse is stopped: ") || !strings.Contains(o.Sentence, "block 17") ||
		o.Next != "mend the cause, then stop ampipe run and start it again" || o.Pipelines[0].Sinks[1].State != status.SinkStopped {
		t.Errorf("%s\n%s", o.Sentence, o.Next)
	}
	if err := run.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = run.Wait()
	o = s.overview("ended", func(status.Overview) bool { return true })
	if !strings.HasPrefix(o.Sentence, "warehouse is stopped: ") || o.Next != "start ampipe run again, when the cause is mended" {
		t.Errorf("%s\n%s", o.Sentence, o.Next)
	}
}
