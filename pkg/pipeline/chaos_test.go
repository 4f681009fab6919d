package pipeline_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/status"
)

// TestChaos has two pipelines follow a chain while everything goes wrong around them and
// people give commands. While a trouble lasts, `ampipe status` has to name it. When
// everything is let go, the pipelines have to become healthy by themselves, and `ampipe
// verify` has to find every destination equal.
//
// CHAOS_SECONDS is how long it runs, in rounds of three minutes, each with a seed of its
// own; without it two short rounds with fixed seeds are run. CHAOS_SEED repeats what a
// round draws, which the scheduling of the processes does not. CHAOS_ONLY is a regular
// expression of which troubles are drawn, by what is printed of them; then each has to be
// named.
func TestChaos(t *testing.T) {
	t.Parallel()
	seconds, _ := strconv.Atoi(os.Getenv("CHAOS_SECONDS")) // 0: short
	round := func(t *testing.T, seed uint64, clustered bool, lasts time.Duration) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			if seconds == 0 {
				t.Parallel()
			}
			c := newChaos(t, seed, clustered)
			c.quick = seconds == 0
			defer c.report(seed)
			c.run(lasts)
		})
	}
	if seconds == 0 {
		round(t, 1, true, 10*time.Second)
		round(t, 4, false, 10*time.Second)
		return
	}
	seed, err := strconv.ParseUint(os.Getenv("CHAOS_SEED"), 10, 64)
	if err != nil {
		seed = rand.Uint64N(1 << 30)
	}
	for until := time.Now().Add(time.Duration(seconds) * time.Second); time.Now().Before(until) && !t.Failed(); seed++ {
		round(t, seed, seed%4 != 0, min(3*time.Minute, time.Until(until)))
	}
}

// settled is how long it may take from the last trouble until everything is healthy.
const settled = 3 * time.Minute

// run lets everything go wrong for a while, then lets it go and compares.
func (c *chaos) run(lasts time.Duration) {
	c.t.Helper()
	if !c.settle("at the beginning", 20) {
		return
	}
	for i, d := range c.tables {
		restore, err := d.backup(c.t.Context())
		if err != nil {
			c.t.Fatalf("back up: %v", err)
		}
		c.backups[i] = append(c.backups[i], restore)
	}
	c.began = time.Now()
	every := 3 // of the troubles are to be named
	if c.quick {
		every = 2
	}
	for until, n := time.Now().Add(lasts), 1; time.Now().Before(until); n++ {
		c.strike(n%every == 0 || c.only.String() != "")
	}
	c.logf("everything is let go")
	if !c.mend() {
		return
	}
	head := c.tell("pause", "")
	c.logf("the head is block %d", head.Number)
	if !c.settle("at the end", 0) {
		return // verify would wait for what is away
	}
	code, out := c.ampipe("verify")
	equal := strings.Count(out, "are equal in source and destination")
	if code != 0 || equal != len(chaosPipelines)*len(chaosSinks) {
		c.t.Errorf("ampipe verify: exit code %d, %d destinations are equal\n%s", code, equal, out)
	}
}

// settle waits until `ampipe status` is content and every destination has the head, or
// is at most so many blocks behind it.
func (c *chaos) settle(when string, behind block.Number) bool {
	c.t.Helper()
	began := time.Now()
	var last string
	so := c.wait(settled, func() bool {
		o, code := c.status()
		last = fmt.Sprintf("exit code %d: %s\n%s", code, o.Sentence, words(o))
		head := c.head()
		for _, p := range c.processes {
			if p.process == nil || !runs(o, p.cmd.Process.Pid) {
				last += fmt.Sprintf("\n%s is not shown as running", p.name)
				code = -1
			}
		}
		for _, p := range o.Pipelines {
			for _, s := range p.Sinks {
				if s.State != status.SinkLive || s.Position == nil || *s.Position+behind < head.Number {
					last += fmt.Sprintf("\n%s: %s is %s, the head is %d", p.Name, s.Name, s.State, head.Number)
					code = -1
				}
			}
		}
		return code == 0
	})
	if !so {
		c.t.Errorf("%s it was not healthy within %v: %s", when, settled, last)
		return false
	}
	c.logf("healthy %s after %.1f s", when, time.Since(began).Seconds())
	return true
}

// runs reports whether a process is shown as running.
func runs(o status.Overview, pid int) bool {
	return slices.ContainsFunc(o.Pipelines, func(p status.Pipeline) bool {
		return slices.ContainsFunc(p.Processes, func(one status.Process) bool { return one.PID == pid && one.State == status.Running })
	})
}

// report says what was done, and of a round that has failed how to repeat it.
func (c *chaos) report(seed uint64) {
	var done []string
	for what, n := range c.counts {
		done = append(done, fmt.Sprintf("%s %d times", what, n))
	}
	slices.Sort(done)
	c.t.Logf("done: %s", strings.Join(done, ", "))
	if !c.t.Failed() {
		return
	}
	c.t.Logf("CHAOS_SEED=%d draws the same again", seed)
	c.t.Logf("the last status:\n%s", c.lastWords)
	for _, p := range c.processes {
		if p.process != nil {
			c.logTail(p.name, p.process, p.said)
		}
	}
	for _, n := range c.nodes {
		c.logTail(n.name, n.process, n.said)
	}
}

// logTail shows the last lines of a process, cut, and writes all that it and those before it
// have said into the folder that CHAOS_LOGS names.
func (c *chaos) logTail(name string, p *process, said string) {
	c.t.Helper()
	text := said + p.out.String()
	if dir := os.Getenv("CHAOS_LOGS"); dir != "" {
		file := fmt.Sprintf("%s-%s-%d.log", strings.ReplaceAll(name, " ", "-"), time.Now().Format("150405"), p.cmd.Process.Pid)
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			c.t.Error(err)
		}
	}
	lines := strings.Split(tail(text, 12), "\n")
	for i, line := range lines {
		lines[i] = line[:min(len(line), 400)]
	}
	state := "runs"
	if exited(p) {
		state = p.cmd.ProcessState.String()
	}
	c.t.Logf("the end of the log of %s (process %d, %s):\n%s", name, p.cmd.Process.Pid, state, strings.Join(lines, "\n"))
}
