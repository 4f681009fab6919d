package pipeline_test

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// chaosCommands are given at any moment.
var chaosCommands = [][]string{
	nil, nil, {"button"}, {"button"}, {"status"}, {"results"}, {"failed"}, {"retry", "--all"}, {"retry", ":1k"}, {"results", "--failed", "--json"},
	{"dlq", "list"}, {"dlq", "show"}, {"dlq", "replay", "--all"}, {"replay", "blocks", "cache", ":100"}, {"replay", "logs", "warehouse", "50:+40"}, {"replay", "blocks", "lake", "--all"},
	{"replay", "logs", "lake", "100:+20", "--dry-run"}, {"replay", "blocks", "warehouse", "--all"}, {"replay", "logs", "cache", "--all"},
}

// chaosRefusals are what a command may be refused with: the state has just been deleted, or
// an earlier replay is not done.
var chaosRefusals = regexp.MustCompile("was not planned yet|are being replayed already|has just asked for a replay")

// unknownSink is what else it may be refused with until the planner, which was started again,
// counts on a sink that was forgotten.
var unknownSink = regexp.MustCompile(`has no sink "\w+"`)

// command returns a command of those that change nothing that has to be, or none.
func (c *chaos) command() {
	c.t.Helper()
	args := pick(c, chaosCommands)
	if args == nil {
		return
	}
	if args[0] == "button" {
		c.button()
		return
	}
	c.counts["ampipe "+args[0]]++
	code, out := c.ampipe(args...)
	said := ""
	if code != 0 {
		said = ": " + lastLine(out)
	}
	c.logf("ampipe %v: exit code %d%s", args, code, said)
	refused := chaosRefusals.MatchString(out) || (unknownSink.MatchString(out) && time.Since(c.forgot) < settled)
	if code < 0 || (code == 2 && !refused) || code > 3 || regexp.MustCompile(`panic|goroutine \d`).MatchString(out) {
		c.t.Errorf("ampipe %v: exit code %d\n%s", args, code, out)
	}
}

func (c *chaos) pauseSink() *trouble {
	sink, pipeline := pick(c, []string{"warehouse", "cache", "lake"}), pick(c, chaosPipelines)
	byPage := c.random.IntN(2) == 0
	give := func(verb string) bool {
		if byPage {
			said, err := c.press(verb, pipeline, url.Values{"sink": {sink}})
			c.logf("button %s %s of %s: %s %v", verb, sink, pipeline, said, err)
			return err == nil && !strings.Contains(said, "not done")
		}
		code, out := c.ampipe(verb, sink, pipeline)
		c.logf("ampipe %s %s %s: exit code %d: %s", verb, sink, pipeline, code, lastLine(out))
		return code == 0
	}
	return &trouble{
		kind: "pause", what: fmt.Sprintf("pause %s of %s", sink, pipeline),
		says: regexp.MustCompile("^sink " + sink + ": .*paused by ampipe pause"), after: 25 * time.Second,
		begin: func() { c.wait(20*time.Second, func() bool { return give("pause") }) },
		end: func() { // a person tries again until it works
			if !c.wait(time.Minute, func() bool { return give("resume") }) {
				c.t.Errorf("resume %s of %s does not work", sink, pipeline)
			}
		},
	}
}

// forgetSink stops the processes of a sink, has it forgotten, and starts them and the
// planner again, which then counts on it anew.
func (c *chaos) forgetSink() *trouble {
	if len(c.nodes) == 0 {
		return nil // no process may run the sink, and one process runs all
	}
	sink, pipeline := pick(c, []string{"warehouse", "cache", "lake"}), pick(c, chaosPipelines)
	var stopped []*chaosProcess
	return &trouble{
		kind: "process", what: fmt.Sprintf("forget %s of %s", sink, pipeline),
		begin: func() {
			for _, p := range c.processes {
				if p.isSinkOf(sink, pipeline) {
					p.down = true
					stopped = append(stopped, p)
					c.signal(p.process, syscall.SIGTERM)
				}
			}
			for _, p := range stopped {
				if !c.wait(30*time.Second, func() bool { return exited(p.process) }) {
					c.t.Errorf("%s does not end when it is told to", p.name)
				}
			}
			code, out := c.ampipe("forget", sink, pipeline)
			c.logf("ampipe forget %s %s: exit code %d: %s", sink, pipeline, code, lastLine(out))
		},
		end: func() {
			for _, p := range c.processes {
				if p.name == "planner "+pipeline {
					c.signal(p.process, syscall.SIGTERM)
				}
			}
			for _, p := range stopped {
				p.down = false
			}
			c.forgot = time.Now()
		},
	}
}

func exited(p *process) bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}
