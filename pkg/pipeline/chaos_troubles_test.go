package pipeline_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// trouble is something that goes wrong for a while.
type trouble struct {
	kind  string // of two troubles at the same time each has another
	alone bool   // nothing else can be seen while it lasts
	rows  bool   // it is seen only while rows come to a destination
	what  string
	begin func()
	end   func()
	says  *regexp.Regexp // what status has to say of it; nil: it may pass unseen
	after time.Duration  // by when it has to
}

// chaosTroubles draws one of each kind of trouble; nil: it cannot be in this round.
var chaosTroubles = []func(*chaos) *trouble{
	(*chaos).killProcess, (*chaos).killProcess,
	(*chaos).stopProcess,
	(*chaos).cutFromNATS,
	(*chaos).slowLinks, (*chaos).narrowLink,
	(*chaos).refuseAmp, (*chaos).freezeAmp, (*chaos).failAmp,
	(*chaos).stopPostgres, (*chaos).crashPostgres, (*chaos).cutPostgres,
	(*chaos).stopRedis, (*chaos).crashRedis, (*chaos).cutRedis,
	(*chaos).setBack, (*chaos).setBack,
	(*chaos).refuseRows, (*chaos).destroyRows,
	(*chaos).fillDisk, (*chaos).fillDisk,
	(*chaos).killNode, (*chaos).killTwoNodes, (*chaos).partitionNode,
	(*chaos).deleteStream, (*chaos).loseStream, (*chaos).deleteMessages, (*chaos).deleteConsumer,
	(*chaos).deepReorg,
	(*chaos).pauseSink, (*chaos).forgetSink,
}

// strike has one trouble or two at the same time last for a drawn time, and runs
// commands meanwhile. visible says that they last until status has named them.
func (c *chaos) strike(visible bool) {
	c.t.Helper()
	var all []*trouble
	for len(all) == 0 || (len(all) == 1 && !all[0].alone && c.random.IntN(3) == 0) {
		t := pick(c, chaosTroubles)(c)
		switch {
		case t == nil, !c.only.MatchString(t.what):
			continue
		case visible && (t.says == nil || (c.quick && t.after > 25*time.Second)):
			continue
		case len(all) > 0 && (t.alone || t.kind == all[0].kind || (visible && (t.rows || all[0].rows))):
			continue
		}
		all = append(all, t)
	}
	if visible && !c.forgotten(all) {
		return
	}
	lasts := time.Duration(c.random.Int64N(int64(6 * time.Second)))
	var began []time.Time
	for _, t := range all {
		c.logf("%s", t.what)
		c.counts[t.kind]++
		began = append(began, time.Now())
		t.begin()
	}
	c.command()
	if visible {
		c.watch(all, began)
	}
	c.wait(lasts, nil)
	for _, t := range all {
		if t.end != nil {
			c.logf("over: %s", t.what)
			t.end()
		}
	}
	c.command()
	c.wait(time.Duration(c.random.Int64N(int64(5*time.Second))), nil)
}

// forgotten waits until status says nothing any more of earlier troubles of the same kind.
func (c *chaos) forgotten(all []*trouble) bool {
	c.t.Helper()
	so := c.wait(time.Minute, func() bool {
		o, _ := c.status()
		return !slices.ContainsFunc(all, func(t *trouble) bool { return statusSays(o, t.says) != "" })
	})
	if !so {
		c.logf("still named, so that %s would not be seen: %s", all[0].what, c.lastWords)
	}
	return so
}

// busy is how much longer everything may take where other tests run beside this one.
const busy = 20 * time.Second

// watch waits until status has named each of the troubles.
func (c *chaos) watch(all []*trouble, began []time.Time) {
	c.t.Helper()
	named := make([]bool, len(all))
	longest := time.Duration(0)
	for _, t := range all {
		longest = max(longest, t.after)
	}
	c.wait(longest+busy, func() bool {
		o, code := c.status()
		for i, t := range all {
			if text := statusSays(o, t.says); !named[i] && text != "" {
				named[i] = true
				took := time.Since(began[i])
				c.logf("named after %.1f s (exit code %d): %.200s", took.Seconds(), code, text)
				if code == 0 {
					c.t.Errorf("the exit code is 0 while this lasts: %s", t.what)
				}
			}
		}
		return !slices.Contains(named, false)
	})
	for i, t := range all {
		if !named[i] {
			c.t.Errorf("status does not name this within %v: %s; it says\n%s", t.after+busy, t.what, c.lastWords)
		}
	}
}

// pick draws one of several.
func pick[T any](c *chaos, all []T) T { return all[c.random.IntN(len(all))] }

func lost(p *chaosProcess) *regexp.Regexp {
	return regexp.MustCompile(fmt.Sprintf(`\(process %d\) was lost`, p.cmd.Process.Pid))
}

func (c *chaos) killProcess() *trouble {
	p := pick(c, c.processes)
	return &trouble{
		kind: "process", alone: p.command[0] == "ampipe",
		what: fmt.Sprintf("kill -9 %s (process %d)", p.name, p.cmd.Process.Pid), says: lost(p), after: 20 * time.Second,
		begin: func() {
			p.down = true
			p.kill()
		},
		end: func() { p.down = false },
	}
}

func (c *chaos) stopProcess() *trouble {
	p := pick(c, c.processes)
	running := p.process
	says := lost(p)
	if p.command[0] == "ampipe" { // its NATS stands still with it
		says = regexp.MustCompile(fmt.Sprintf(`process %d runs in the folder .* and does not answer`, p.cmd.Process.Pid))
	}
	return &trouble{
		kind: "process", alone: p.command[0] == "ampipe",
		what: fmt.Sprintf("stop %s (process %d), as a machine does that hangs", p.name, p.cmd.Process.Pid),
		says: says, after: 20 * time.Second,
		begin: func() { c.signal(running, syscall.SIGSTOP) },
		end:   func() { c.signal(running, syscall.SIGCONT) },
	}
}

func (c *chaos) signal(p *process, s syscall.Signal) {
	c.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		c.logf("%v to process %d: %v", s, p.cmd.Process.Pid, err)
	}
}

// interrupt cuts or freezes links.
func (c *chaos) interrupt(links []*proxy) (how string, begin, end func()) {
	each := func(do func(*proxy)) func() {
		return func() {
			for _, link := range links {
				do(link)
			}
		}
	}
	if c.random.IntN(2) == 0 {
		return "cut", each((*proxy).refuse), each((*proxy).allow)
	}
	return "freeze", each((*proxy).freeze), each((*proxy).thaw)
}

func (c *chaos) cutFromNATS() *trouble {
	if len(c.nodes) == 0 {
		return nil
	}
	p := pick(c, c.processes)
	t := &trouble{kind: "process", says: lost(p), after: 20 * time.Second}
	var how string
	how, t.begin, t.end = c.interrupt([]*proxy{p.links["nats-0"], p.links["nats-1"], p.links["nats-2"]})
	t.what = fmt.Sprintf("%s every link from %s (process %d) to NATS", how, p.name, p.cmd.Process.Pid)
	return t
}

// slowLinks has one link, or all links of a process, take up to a second longer for each
// piece of data.
func (c *chaos) slowLinks() *trouble {
	p := pick(c, c.processes)
	by := time.Duration(c.random.Int64N(int64(time.Second)))
	all := func(by time.Duration) func() {
		return func() {
			for _, link := range p.links {
				link.slow(by)
			}
		}
	}
	return &trouble{kind: "slow", what: fmt.Sprintf("slow every link of %s by %v", p.name, by), begin: all(by), end: all(0)}
}

// narrowLink has the link of a sink to its destination carry less than the chain brings.
func (c *chaos) narrowLink() *trouble {
	p := pick(c, c.processes)
	for _, sink := range []string{"warehouse", "cache"} {
		link := p.links[sink]
		if link == nil {
			continue
		}
		return &trouble{
			kind: "slow", rows: true, what: fmt.Sprintf("the link of %s to the %s carries 250 bytes a second", p.name, sink),
			says: regexp.MustCompile("^sink " + sink + ": .*(behind|has been running since|" + awaySays + ")"), after: 2 * time.Minute,
			begin: func() { link.narrow(250) }, end: func() { link.narrow(0) },
		}
	}
	return nil
}

// linksTo returns the links of all processes to something.
func (c *chaos) linksTo(to string) (links []*proxy) {
	for _, p := range c.processes {
		if link := p.links[to]; link != nil {
			links = append(links, link)
		}
	}
	return links
}

// ampSays is what is said of Amp: what waits for it is named, and that it is Amp.
var ampSays = regexp.MustCompile(`(?s)(live|connection to Amp|worker \d+|extractor|planner|start|Amp).*(Amp|the server|INTERNAL|Internal)`)

func (c *chaos) refuseAmp() *trouble {
	t := &trouble{kind: "Amp", says: ampSays, after: 20 * time.Second}
	var how string
	how, t.begin, t.end = c.interrupt(c.linksTo("amp"))
	t.what = how + " every link to Amp"
	return t
}

func (c *chaos) freezeAmp() *trouble {
	return &trouble{
		kind: "Amp", what: "Amp answers nothing", says: ampSays, after: 20 * time.Second,
		begin: func() { c.signal(c.server, syscall.SIGSTOP) },
		end:   func() { c.signal(c.server, syscall.SIGCONT) },
	}
}

func (c *chaos) failAmp() *trouble {
	const text = "somebody has pulled a plug"
	return &trouble{
		kind: "Amp", what: "Amp answers INTERNAL", says: regexp.MustCompile(text), after: 15 * time.Second,
		begin: func() {
			at := pick(c, []string{"info", "doget"})
			c.faults(`{"status": {"at": "` + at + `", "code": "INTERNAL", "text": "` + text + `"}}`)
			var failed any
			c.post("/streams/fail", `{"code": "INTERNAL", "text": "`+text+`"}`, &failed)
		},
		end: func() { c.faults(`{"status": null}`) },
	}
}

func (c *chaos) faults(switches string) {
	c.t.Helper()
	var set any
	c.post("/faults", switches, &set)
}

func (c *chaos) deepReorg() *trouble {
	depth := 1 + c.random.IntN(120)
	return &trouble{
		kind: "reorg", what: fmt.Sprintf("a reorg of %d blocks", depth),
		begin: func() { c.tell("reorg", fmt.Sprintf(`{"depth": %d, "blocks": 2}`, depth)) },
	}
}

// A destination that is away is named with the sink that lacks it.
const awaySays = "reached|connect|EOF|reset|answer|timeout"

var (
	warehouseSays = regexp.MustCompile("^sink warehouse: .*(shutting down|starting up|" + awaySays + ")")
	cacheSays     = regexp.MustCompile("^sink cache: .*(" + awaySays + ")")
	lakeSays      = regexp.MustCompile(`^sink lake: .*(no space left on device)`)
)

func (c *chaos) stopPostgres() *trouble {
	return &trouble{
		kind: "PostgreSQL", what: "stop PostgreSQL", says: warehouseSays, after: 20 * time.Second,
		begin: func() { c.postgres("stop") }, end: func() { c.postgres("start") },
	}
}

func (c *chaos) crashPostgres() *trouble {
	return &trouble{kind: "PostgreSQL", what: "crash PostgreSQL", begin: c.restartPostgres}
}

func (c *chaos) cutPostgres() *trouble {
	t := &trouble{kind: "PostgreSQL", says: warehouseSays, after: 40 * time.Second}
	var how string
	how, t.begin, t.end = c.interrupt(c.linksTo("warehouse"))
	t.what = how + " every link to PostgreSQL"
	return t
}

func (c *chaos) stopRedis() *trouble {
	return &trouble{
		kind: "Redis", what: "stop Redis", says: cacheSays, after: 20 * time.Second,
		begin: func() { c.redis("stop") }, end: func() { c.redis("start") },
	}
}

func (c *chaos) crashRedis() *trouble {
	return &trouble{kind: "Redis", what: "crash Redis", begin: func() { c.redis("restart") }}
}

func (c *chaos) cutRedis() *trouble {
	t := &trouble{kind: "Redis", says: cacheSays, after: 40 * time.Second}
	var how string
	how, t.begin, t.end = c.interrupt(c.linksTo("cache"))
	t.what = how + " every link to Redis"
	return t
}

// isSinkOf reports whether the process works for a sink of a pipeline.
func (p *chaosProcess) isSinkOf(sink, pipeline string) bool {
	return p.command[0] == "ampipe" || (p.command[0] == chaosSinks[sink] && strings.HasSuffix(p.name, " "+pipeline))
}
