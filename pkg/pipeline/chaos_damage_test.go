package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ampipe/ampipe/pkg/queue"
)

// fillDisk fills a file system until nothing goes into it.
func (c *chaos) fillDisk() *trouble {
	says := map[string]*regexp.Regexp{
		"lake":  lakeSays,
		"redis": regexp.MustCompile(`^sink cache: .*(MISCONF|No space left|disk)`),
		"nats":  regexp.MustCompile(`^NATS: .*the disk of folder .* is full`),
	}
	for i := range c.nodes {
		says[fmt.Sprintf("nats-%d", i)] = regexp.MustCompile(fmt.Sprintf(`^NATS: .*nats-%d`, i))
	}
	var names []string
	for _, name := range []string{"lake", "redis", "nats", "nats-0", "nats-1", "nats-2"} {
		if c.disks[name] != "" {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	name := pick(c, names)
	kind := map[string]string{"lake": "Delta", "redis": "Redis", "nats": "NATS"}[strings.SplitN(name, "-", 2)[0]]
	file := filepath.Join(c.disks[name], "fills-the-disk")
	return &trouble{
		kind: kind, what: "the disk of " + name + " is full", says: says[name], after: 30 * time.Second, rows: kind != "NATS",
		begin: func() {
			f, err := os.Create(file)
			if err == nil {
				_, _ = io.Copy(f, zeros{}) // until there is no space
				err = f.Close()
			}
			if err != nil && !strings.Contains(err.Error(), "no space") {
				c.t.Error(err)
			}
		},
		end: func() {
			if err := os.Remove(file); err != nil {
				c.t.Error(err)
			}
			for _, n := range c.nodes { // a server whose disk was full works again when it is started again
				if name == n.name {
					n.kill()
					c.startNode(n)
				}
			}
		},
	}
}

// zeros has no end.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

// setBack takes a destination back to an earlier moment, as the restoring of a backup
// does: PostgreSQL and Redis while the sink writes, a Delta table while it does not.
func (c *chaos) setBack() *trouble {
	i := c.random.IntN(len(c.tables))
	d, pipeline := c.tables[i], chaosPipelines[i/len(chaosSinks)]
	sink := []string{"warehouse", "cache", "lake"}[i%len(chaosSinks)]
	kind := map[string]string{"warehouse": "PostgreSQL", "cache": "Redis", "lake": "Delta"}[sink]
	if c.random.IntN(3) == 0 {
		return &trouble{kind: kind, what: fmt.Sprintf("back %s of %s up", sink, pipeline), begin: func() {
			restore, err := d.backup(c.t.Context())
			if err != nil {
				c.logf("it is not backed up: %v", err)
				return
			}
			c.backups[i] = append(c.backups[i], restore)
		}}
	}
	restore := pick(c, c.backups[i])
	t := &trouble{kind: kind, what: fmt.Sprintf("set %s of %s back", sink, pipeline), begin: func() {
		ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
		defer cancel()
		if err := restore(ctx); err != nil {
			c.t.Errorf("set %s of %s back: %v", sink, pipeline, err)
		}
	}}
	if sink != "lake" {
		return t
	}
	back := t.begin
	t.begin = func() {
		for _, p := range c.processes {
			if p.isSinkOf(sink, pipeline) {
				p.kill() // it is started again in a second
			}
		}
		back()
	}
	return t
}

func (c *chaos) killNode() *trouble {
	if len(c.nodes) == 0 {
		return nil
	}
	i := c.random.IntN(len(c.nodes))
	return &trouble{
		kind: "NATS", what: fmt.Sprintf("kill -9 nats-%d", i), says: regexp.MustCompile(fmt.Sprintf("nats-%d", i)), after: 30 * time.Second,
		begin: func() { c.nodes[i].kill() },
		end:   func() { c.startNode(c.nodes[i]) },
	}
}

func (c *chaos) killTwoNodes() *trouble {
	if len(c.nodes) == 0 {
		return nil
	}
	alive := c.random.IntN(len(c.nodes))
	return &trouble{
		kind: "NATS", alone: true, what: fmt.Sprintf("kill -9 every node but nats-%d", alive), says: regexp.MustCompile("NATS"), after: 30 * time.Second,
		begin: func() {
			for i, n := range c.nodes {
				if i != alive {
					n.kill()
				}
			}
		},
		end: func() {
			for i, n := range c.nodes {
				if i != alive {
					c.startNode(n)
				}
			}
		},
	}
}

// partitionNode separates a node from the two others. Clients reach all of them.
func (c *chaos) partitionNode() *trouble {
	if len(c.nodes) == 0 {
		return nil
	}
	i := c.random.IntN(len(c.nodes))
	var links []*proxy
	for ends, link := range c.routes {
		if ends[0] == i || ends[1] == i {
			links = append(links, link)
		}
	}
	t := &trouble{kind: "NATS", says: regexp.MustCompile("NATS|nats-"), after: 60 * time.Second}
	var how string
	how, t.begin, t.end = c.interrupt(links)
	t.what = fmt.Sprintf("%s every link between nats-%d and the others", how, i)
	return t
}

// jetstream uses a connection of the test's own to what is stored in NATS, if that can be
// reached.
func (c *chaos) jetstream(do func(context.Context, jetstream.JetStream) error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer cancel()
	var url string
	var options []nats.Option
	for _, n := range c.nodes {
		url += ",nats://" + n.address
	}
	url = strings.TrimPrefix(url, ",")
	var err error
	if len(c.nodes) == 0 {
		var key string
		var option nats.Option
		if url, key, err = queue.RunningServer(filepath.Join(c.dir, "nats")); err == nil {
			if option, err = nats.NkeyOptionFromSeed(key); err == nil {
				options = append(options, option)
			}
		}
	}
	var nc *nats.Conn
	if err == nil {
		nc, err = nats.Connect(url, options...)
	}
	if err == nil {
		defer nc.Close()
		var js jetstream.JetStream
		if js, err = jetstream.New(nc); err == nil {
			err = do(ctx, js)
		}
	}
	if err != nil {
		c.logf("nothing was damaged: %v", err)
	}
}

func (c *chaos) deleteStream() *trouble {
	name := pick(c, []string{"AMPIPE_LOG_blocks", "AMPIPE_LOG_logs", "AMPIPE_TASKS", "KV_AMPIPE_STATE"})
	return &trouble{kind: "NATS", what: "delete stream " + name, begin: func() {
		c.jetstream(func(ctx context.Context, js jetstream.JetStream) error { return js.DeleteStream(ctx, name) })
	}}
}

// loseStream deletes a stream while no planner runs that could make it anew.
func (c *chaos) loseStream() *trouble {
	if len(c.nodes) == 0 {
		return nil // the process that has the planner has NATS, too
	}
	pipeline := pick(c, chaosPipelines)
	lost := []struct{ stream, says string }{
		{"AMPIPE_LOG_" + pipeline, "the log"}, {"AMPIPE_TASKS", "the queue of tasks"}, {"KV_AMPIPE_STATE", "the state"},
	}
	one := pick(c, lost)
	planners := func(do func(*chaosProcess)) {
		for _, p := range c.processes {
			if p.command[0] == "planner" {
				do(p)
			}
		}
	}
	return &trouble{
		kind: "NATS", alone: true, what: "delete stream " + one.stream + " while no planner runs", after: 20 * time.Second,
		says: regexp.MustCompile("^NATS: " + one.says + " of the pipeline is gone"),
		begin: func() {
			planners(func(p *chaosProcess) {
				p.down = true
				p.kill()
			})
			c.jetstream(func(ctx context.Context, js jetstream.JetStream) error { return js.DeleteStream(ctx, one.stream) })
		},
		end: func() { planners(func(p *chaosProcess) { p.down = false }) },
	}
}

func (c *chaos) deleteMessages() *trouble {
	name := pick(c, chaosPipelines)
	return &trouble{kind: "NATS", what: "delete messages of the log of " + name, begin: func() {
		c.jetstream(func(ctx context.Context, js jetstream.JetStream) error {
			stream, err := js.Stream(ctx, "AMPIPE_LOG_"+name)
			if err != nil {
				return err
			}
			state := stream.CachedInfo().State
			for range min(state.Msgs, 1+c.random.Uint64N(5)) {
				err := stream.DeleteMsg(ctx, state.LastSeq-c.random.Uint64N(min(state.Msgs, 60)))
				if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) && !strings.Contains(err.Error(), "no message found") {
					return err
				}
			}
			return nil
		})
	}}
}

func (c *chaos) deleteConsumer() *trouble {
	name := pick(c, chaosPipelines)
	return &trouble{kind: "NATS", what: "delete a consumer of the log of " + name, begin: func() {
		c.jetstream(func(ctx context.Context, js jetstream.JetStream) error {
			consumer := pick(c, []string{"history-", "live-"}) + pick(c, []string{"warehouse", "cache", "lake"})
			return js.DeleteConsumer(ctx, "AMPIPE_LOG_"+name, consumer)
		})
	}}
}
