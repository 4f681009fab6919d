package pipeline_test

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ampipe/ampipe/pkg/health"
)

// obstacle is what stands in the way of a running pipeline, and how it has to be told.
type obstacle struct {
	name       string
	begin, end func(*obstructed)
	part       string   // of the pipeline that has to be named
	says       []string // what its reason has to contain, one of them
}

// obstructed is a pipeline that follows the chain into every kind of destination.
// Everything that it speaks to is reached through proxies.
type obstructed struct {
	*redisEnv
	t                           *testing.T
	amp, nats, postgres, server *proxy // server is Redis
	process                     *process
	port                        int
	unlock                      func()
}

var obstacles = []obstacle{
	{"Amp refuses connections", func(o *obstructed) { o.amp.refuse() }, func(o *obstructed) { o.amp.allow() }, "live", []string{"is Amp running", "look whether it runs"}},
	{"Amp is frozen", func(o *obstructed) { o.amp.freeze() }, func(o *obstructed) { o.amp.thaw() }, "live", []string{"Amp"}},
	{"NATS refuses connections", func(o *obstructed) { o.nats.refuse() }, func(o *obstructed) { o.nats.allow() }, "", []string{"NATS"}},
	{"NATS is frozen", func(o *obstructed) { o.nats.freeze() }, func(o *obstructed) { o.nats.thaw() }, "", []string{"NATS"}},
	{"PostgreSQL refuses connections", func(o *obstructed) { o.postgres.refuse() }, func(o *obstructed) { o.postgres.allow() }, "sink warehouse", []string{"connect", "connection", "EOF"}},
	{"PostgreSQL is frozen", func(o *obstructed) { o.postgres.freeze() }, func(o *obstructed) { o.postgres.thaw() }, "sink warehouse", []string{""}},
	{"the table is locked", (*obstructed).lock, func(o *obstructed) { o.unlock() }, "sink warehouse", []string{"lock"}},
	{"Redis refuses connections", func(o *obstructed) { o.server.refuse() }, func(o *obstructed) { o.server.allow() }, "sink cache", []string{"connect", "connection", "EOF"}},
	{"Redis is frozen", func(o *obstructed) { o.server.freeze() }, func(o *obstructed) { o.server.thaw() }, "sink cache", []string{""}},
}

// TestNeverSilent: while something is in the way of a pipeline that follows the chain,
// its health names the part that it is in the way of, within half a minute, and says
// nothing of it ten seconds after it has gone.
func TestNeverSilent(t *testing.T) {
	t.Parallel()
	newRedisEnv(t) // skips without its servers
	server, _ := newCommandEnv(t).devserver("--chain", "eth_rpc", "--blocks", "300", "--logs-per-block", "3", "--live", "--block-time", "200ms")
	var all sync.WaitGroup
	for _, one := range obstacles {
		all.Go(func() {
			t.Run(one.name, func(t *testing.T) { newObstructed(t, server).meets(one) })
		})
	}
	all.Wait()
}

func newObstructed(t *testing.T, server string) *obstructed {
	o := &obstructed{redisEnv: newRedisEnv(t), t: t}
	store := o.start("nats-server", "-a", "127.0.0.1", "-p", "-1", "-js", "-sd", filepath.Join(o.dir, "nats"))
	natsAddress := store.out.waitFor(t, store, regexp.MustCompile(`Listening for client connections on (\S+)`))
	dsn, err := url.Parse(o.dsn)
	if err != nil {
		t.Fatal(err)
	}
	o.amp = newProxy(t, strings.TrimPrefix(server, "grpc://"))
	o.nats = newProxy(t, natsAddress)
	o.postgres = newProxy(t, dsn.Host)
	o.server = newProxy(t, o.client.Options().Addr)
	for _, p := range []*proxy{o.amp, o.nats, o.postgres, o.server} {
		t.Cleanup(p.cut)
	}
	dsn.Host = o.postgres.address
	file := o.file("pipeline.yaml", fmt.Sprintf(`pipeline: %[1]s
source: { amp: "grpc://%[2]s", query: SELECT * FROM eth_rpc.logs, keep_alive: 10s }
nats: { url: "nats://%[3]s" }
log: { max_bytes: 256MiB } # the default may be more than the disk has to spare
sinks:
  - name: warehouse
    postgres: { dsn: "%[4]s", schema: %[5]s, table: rows }
  - name: cache
    redis: { url: "redis://%[6]s", table: %[5]s, key: [block_num, log_index] }
  - name: lake
    delta: { path: ./lake, max_commit_delay: 1s }
`, o.name, o.amp.address, o.nats.address, dsn, o.schema, o.server.address))
	o.process = o.start("ampipe", "run", "-c", file, "--listen", "127.0.0.1:0")
	o.port = o.process.listens(t)
	return o
}

// meets lets an obstacle come and go.
func (o *obstructed) meets(one obstacle) {
	o.t.Helper()
	o.until(time.Minute, "it follows the chain", func(stuck map[string]string) bool {
		metrics := ""
		if len(stuck) == 0 {
			metrics = get(o.t, fmt.Sprintf("http://127.0.0.1:%d/metrics", o.port))
		}
		return strings.Count(metrics, "ampipe_sink_live_block{") == 3
	})
	begun := time.Now()
	one.begin(o)
	reason := ""
	o.until(35*time.Second, "the obstacle is told", func(stuck map[string]string) bool {
		for part, text := range stuck {
			for _, says := range one.says {
				if strings.Contains(part, one.part) && strings.Contains(text, says) {
					reason = part + ": " + text
					return true
				}
			}
		}
		return false
	})
	told := time.Since(begun)
	ended := time.Now()
	one.end(o)
	o.until(10*time.Second, "it is not told any more", func(stuck map[string]string) bool { return len(stuck) == 0 })
	o.t.Logf("told after %.1f s, not any more %.1f s after its end: %.200s", told.Seconds(), time.Since(ended).Seconds(), reason)
	if code := o.process.interrupt(o.t); code != 130 {
		o.t.Errorf("exit code %d\n%s", code, o.process.out)
	}
}

// until waits until what the process says of its health is as wanted.
func (o *obstructed) until(limit time.Duration, what string, so func(stuck map[string]string) bool) {
	o.t.Helper()
	deadline := time.Now().Add(limit)
	for {
		ok, stuck := askHealth(o.t, health.Healthz, o.port)
		if so(stuck) {
			return
		}
		select {
		case <-o.process.exited:
			o.t.Fatalf("the process ended before this: %s\n%s", what, o.process.out)
		default:
		}
		if time.Now().After(deadline) {
			o.t.Fatalf("not within %v: %s; health says %v %q\n%s", limit, what, ok, stuck, o.process.out)
		}
		<-time.After(50 * time.Millisecond)
	}
}

// lock holds the table as an analyst's session does.
func (o *obstructed) lock() {
	c, err := pgx.Connect(o.t.Context(), o.dsn)
	if err != nil {
		o.t.Fatal(err)
	}
	ctx := context.Background()
	o.unlock = sync.OnceFunc(func() { _ = c.Close(ctx) }) // that ends the transaction
	o.t.Cleanup(o.unlock)
	for _, sql := range []string{"BEGIN", "LOCK TABLE " + o.schema + ".rows IN ACCESS EXCLUSIVE MODE"} {
		if _, err := c.Exec(ctx, sql); err != nil {
			o.t.Fatal(err)
		}
	}
}
