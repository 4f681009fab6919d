package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/status"
)

// TestARunThatHangs accepts connections and answers nothing. Commands say that of the process,
// and not that it is to be started.
func TestARunThatHangs(t *testing.T) {
	t.Parallel()
	s := &site{T: t, dir: t.TempDir(), amp: ampServer(t), vars: map[string]string{}}
	s.configure(strings.ReplaceAll(twoPipelines, "$WHERE", "{ embedded: ./nats }"))
	run := s.start("run")
	loaded := func(o status.Overview) bool {
		return o.Level == status.Healthy && len(o.Pipelines) == 2 && o.Pipelines[0].Planned
	}
	s.overview("it runs", loaded)
	if err := run.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	pid := run.Process.Pid
	want := fmt.Sprintf("process %d runs in the folder nats and does not answer: it hangs, or somebody has stopped it; "+
		"let it continue (kill -CONT %d), or end it (kill -9 %d) and start it again", pid, pid, pid)
	answers := make(chan string)
	for _, command := range [][]string{{"status", "--json"}, {"pause", "lake", "blocks"}, {"replay", "blocks", "lake", ":10"}} {
		go func() {
			code, out, complaints := ampipe(t, s.dir, command...)
			if code != ops.ExitFailed || strings.Contains(out+complaints, "nats.url") {
				t.Errorf("%v: exit code %d\n%s%s", command, code, out, complaints)
			}
			answers <- out + complaints
		}()
	}
	for range 3 {
		if out := <-answers; !strings.Contains(strings.Join(strings.Fields(out), " "), want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	if err := run.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	s.overview("it continues", loaded)
}
