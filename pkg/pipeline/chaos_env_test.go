package pipeline_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	driver "github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// chaos is one round: two pipelines of one chain that reorgs, each into three
// destinations, as processes of the product's commands, each of which reaches everything
// else through links of its own.
type chaos struct {
	*growing
	t      *testing.T
	random *rand.Rand     // of the one goroutine that runs the round
	only   *regexp.Regexp // CHAOS_ONLY: which troubles are drawn
	quick  bool           // only troubles that are named soon are waited for
	began  time.Time
	file   string

	nodes     []*chaosNode // of the NATS cluster; empty: ampipe run has the server in it
	routes    map[[2]int]*proxy
	processes []*chaosProcess
	direct    []string // variables of commands that people give: they reach everything directly

	db        *pgxpool.Pool
	cache     *driver.Client
	redisDir  string
	tables    []destination // what can be set back
	backups   [][]func(context.Context) error
	onBadRow  config.OnBadRow   // of each warehouse
	letters   bool              // there may be dead letters
	forgot    time.Time         // when a sink was last, and its processes were started again
	byHand    bool              // rows are not what they were, and `verify --repair` has to find them
	disks     map[string]string // by name, folders that are file systems of their own
	counts    map[string]int    // by what was done
	asked     time.Time         // for the last status
	lastWords string            // the troubles of the last status
}

// chaosPipelines are the pipelines; of each there is a sink of each kind.
var (
	chaosPipelines = []string{"blocks", "logs"}
	chaosSinks     = map[string]string{"warehouse": "sink-postgres", "cache": "sink-redis", "lake": "sink-delta"}
)

// chaosProcess is a process that is started again a second after it has ended, as a
// process manager does.
type chaosProcess struct {
	name     string // such as "sink-redis logs"
	command  []string
	env      []string
	links    map[string]*proxy // to nats-0, nats-1, nats-2, amp, warehouse, cache
	said     string            // by those before
	down     bool              // it is to stay down
	ended    time.Time         // when that was noticed; zero: it runs
	*process                   // the last one
}

// chaosNode is a node of the NATS cluster.
type chaosNode struct {
	name    string
	conf    string
	address string // of clients
	said    string // before it was started again
	*process
}

func newChaos(t *testing.T, seed uint64, clustered bool) *chaos {
	t.Helper()
	e := newCommandEnv(t)
	if testRedis() == "" {
		t.Skip("AMPIPE_TEST_REDIS is not set: no Redis for the chaos (scripts/test starts one)")
	}
	c := &chaos{
		t: t, random: rand.New(rand.NewPCG(seed, 0)), only: regexp.MustCompile(os.Getenv("CHAOS_ONLY")), began: time.Now(), routes: map[[2]int]*proxy{},
		disks: map[string]string{}, counts: map[string]int{},
	}
	e.ownPostgres()
	c.growing = e.grow("--seed", fmt.Sprint(seed), "--blocks", fmt.Sprint(300+c.random.IntN(300)), "--logs-per-block", "4", "--txs", "2",
		"--live", "--block-time", "400ms", "--reorg-every", "12", "--reorg-depth", "1-30/4")
	c.disk("lake", 128)
	if !clustered {
		c.disk("nats", 640)
	}
	c.onBadRow = pick(c, []config.OnBadRow{config.StopAtBadRow, config.DeadLetter, config.DeadLetter})
	c.startRedis()
	c.startDestinations()
	nats := "{ embedded: ./nats }"
	if clustered {
		nats = `{ url: "${NATS_URL}", replicas: 3 }`
		c.startCluster()
	}
	c.configure(nats)
	c.direct = c.variables(nil)
	if clustered {
		for _, name := range chaosPipelines {
			c.add("planner", name)
			c.add("extractor", name)
			for _, command := range []string{"sink-postgres", "sink-redis", "sink-delta"} {
				c.add(command, name)
			}
		}
		c.add("extractor", "logs")
	} else {
		c.add("ampipe", "run")
	}
	return c
}

// disk makes a folder that is a small file system of its own, if this user may do that.
func (c *chaos) disk(name string, megabytes int) string {
	c.t.Helper()
	dir := filepath.Join(c.dir, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		c.t.Fatal(err)
	}
	if err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm", megabytes), "tmpfs", dir).Run(); err == nil {
		c.disks[name] = dir
		c.t.Cleanup(func() { _ = exec.Command("umount", "--lazy", dir).Run() }) // the folder is removed next
	}
	return dir
}

func (c *chaos) startRedis() {
	c.t.Helper()
	c.redisDir = c.disk("redis", 64)
	c.redis("start")
	c.cache = driver.NewClient(&driver.Options{Network: "unix", Addr: filepath.Join(c.redisDir, "redis.sock")})
	c.t.Cleanup(func() {
		_ = c.cache.Close() // the test is over
		c.redis("stop", "kill")
	})
}

func (c *chaos) redis(verb string, mode ...string) {
	c.t.Helper()
	if out, err := exec.Command("../../scripts/redis", append([]string{verb, c.redisDir}, mode...)...).CombinedOutput(); err != nil {
		c.t.Fatalf("%s Redis: %v\n%s", verb, err, out)
	}
}

// startDestinations prepares what is set back.
func (c *chaos) startDestinations() {
	c.t.Helper()
	var err error
	if c.db, err = pgxpool.New(c.t.Context(), c.dsn); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(c.db.Close)
	for _, name := range chaosPipelines {
		c.tables = append(c.tables,
			&postgresModel{t: c.t, db: c.db, mark: c.schema, config: config.Postgres{Schema: c.schema, Table: name}},
			&redisModel{client: c.cache, config: config.Redis{Table: name}},
			&deltaModel{config: config.Delta{Path: filepath.Join(c.dir, "lake", name)}})
	}
	c.backups = make([][]func(context.Context) error, len(c.tables))
}

func (c *chaos) configure(nats string) {
	text := ""
	for _, name := range chaosPipelines {
		text += fmt.Sprintf(`---
pipeline: %[1]s
page: { listen: "127.0.0.1:0", token: %[7]s }
source: { amp: "${AMP_URL}", query: SELECT * FROM eth_rpc.%[1]s }
range: { min_block: 0, reorg_buffer: 40, partition_size: 60 }
nats: %[2]s
extract: { workers: 2 }
log: { max_bytes: 64MiB, dead_letter_bytes: 4MiB, replay: %[3]s }
sinks:
  - name: warehouse
    postgres: { dsn: "${POSTGRES_URL}", schema: %[4]s, table: %[1]s, %[5]s, on_bad_row: %[8]s }
  - name: cache
    redis: { url: "${REDIS_URL}", table: %[1]s, key: [%[6]s] }
  - name: lake
    delta: { path: ./lake/%[1]s, max_commit_delay: 1s, checkpoint_every: 10 }
`, name, nats, pick(c, []string{"0s", "10s", "1h"}), c.schema,
			pick(c, []string{"mode: append", "mode: upsert, key: [" + chaosKeys[name] + "]"}), chaosKeys[name],
			chaosToken, c.onBadRow)
	}
	c.file = c.growing.file("pipeline.yaml", text)
}

var chaosKeys = map[string]string{"blocks": "block_num", "logs": "block_num, log_index"}

// variables returns how a process reaches everything: through links, or directly.
func (c *chaos) variables(links map[string]*proxy) []string {
	c.t.Helper()
	through := func(name, address string) string {
		if links == nil {
			return address
		}
		links[name] = newProxy(c.t, address)
		c.t.Cleanup(links[name].cut)
		return links[name].address
	}
	dsn, err := url.Parse(c.dsn)
	if err != nil {
		c.t.Fatal(err)
	}
	dsn.Host = through("warehouse", dsn.Host)
	dsn.RawQuery += "&application_name=" + c.schema
	var nodes []string
	for i, n := range c.nodes {
		nodes = append(nodes, "nats://"+through(fmt.Sprintf("nats-%d", i), n.address))
	}
	cache := "unix://" + c.cache.Options().Addr
	if links != nil {
		cache = "redis://" + through("cache", c.cache.Options().Addr)
	}
	return []string{
		"NATS_URL=" + strings.Join(nodes, ","), "AMP_URL=grpc://" + through("amp", strings.TrimPrefix(c.amp, "grpc://")),
		"POSTGRES_URL=" + dsn.String(), "REDIS_URL=" + cache,
	}
}

// add adds a process, which is started with the others.
func (c *chaos) add(command, argument string) {
	c.t.Helper()
	p := &chaosProcess{name: command + " " + argument, command: []string{command, argument, "-c", c.file}, links: map[string]*proxy{}}
	p.env = c.variables(p.links)
	for link := range p.links { // to what it does not use
		used := command == "ampipe" || strings.HasPrefix(link, "nats-") || chaosSinks[link] == command ||
			(link == "amp" && (command == "planner" || command == "extractor"))
		if !used {
			delete(p.links, link)
		}
	}
	c.processes = append(c.processes, p)
}

// startCluster starts three nodes. Each reaches each other one through a link.
func (c *chaos) startCluster() {
	c.t.Helper()
	const size = 3
	var clients, routes [size]int
	for i := range size {
		clients[i], routes[i] = sinktest.FreePort(c.t), sinktest.FreePort(c.t)
	}
	for i := range size {
		var others []string
		for j := range size {
			if i != j {
				link := newProxy(c.t, fmt.Sprintf("127.0.0.1:%d", routes[j]))
				c.t.Cleanup(link.cut)
				c.routes[[2]int{i, j}] = link
				others = append(others, fmt.Sprintf("%q", "nats://"+link.address))
			}
		}
		name := fmt.Sprintf("nats-%d", i)
		// What nodes tell each other of their addresses leads nowhere: only links do.
		conf := c.growing.file(name+".conf", fmt.Sprintf(`server_name: %s
listen: "127.0.0.1:%d"
jetstream { store_dir: %q, max_file_store: 64GB, sync_interval: always }
cluster { name: chaos, listen: "127.0.0.1:%d", advertise: "127.0.0.1:1", no_advertise: true, routes: [%s] }
`, name, clients[i], c.disk(name, 160), routes[i], strings.Join(others, ", ")))
		c.nodes = append(c.nodes, &chaosNode{name: name, conf: conf, address: fmt.Sprintf("127.0.0.1:%d", clients[i])})
	}
	for _, n := range c.nodes {
		c.startNode(n)
	}
}

// startNode starts a node, or starts one again that was killed.
func (c *chaos) startNode(n *chaosNode) {
	c.t.Helper()
	if n.process != nil {
		n.said += n.out.String()
	}
	n.process = c.start("nats-server", "-c", n.conf)
}

// checkNodes ends the round when a node has ended that nobody has killed.
func (c *chaos) checkNodes() {
	c.t.Helper()
	for _, n := range c.nodes {
		if exited(n.process) && n.cmd.ProcessState.ExitCode() >= 0 {
			c.t.Fatalf("%s ended by itself (%v):\n%s", n.name, n.cmd.ProcessState, tail(n.out.String(), 12))
		}
	}
}

// logf writes what happens, with the time since the round began.
func (c *chaos) logf(format string, values ...any) {
	c.t.Helper()
	c.t.Logf("%6.1fs  %s", time.Since(c.began).Seconds(), fmt.Sprintf(format, values...))
}

// revive starts processes again a second after they have ended.
func (c *chaos) revive() {
	c.t.Helper()
	c.checkNodes()
	for _, p := range c.processes {
		if p.process == nil {
			p.process = c.startWith(p.env, p.command[0], p.command[1:]...)
			continue
		}
		if !exited(p.process) {
			continue
		}
		switch {
		case p.down:
		case p.ended.IsZero():
			p.ended = time.Now()
			if code := p.cmd.ProcessState.ExitCode(); code >= 0 && code != 130 { // else it was killed or told to stop
				c.endedByItself(p, code)
			}
		case time.Since(p.ended) > time.Second:
			p.said += p.out.String()
			p.process, p.ended = c.startWith(p.env, p.command[0], p.command[1:]...), time.Time{}
		}
	}
}

// endedByItself judges the end of a process. One that its process manager starts again is
// no trouble, one that somebody has to look at is.
func (c *chaos) endedByItself(p *chaosProcess, code int) {
	c.t.Helper()
	c.counts["ended by itself"]++
	c.logf("%s ended by itself with exit code %d: %s", p.name, code, lastLine(p.out.String()))
	if code != 1 && c.counts["refused "+p.name] == 0 {
		c.counts["refused "+p.name]++
		c.t.Errorf("%s ended with exit code %d, after which nothing starts it again\n%s", p.name, code, tail(p.out.String(), 20))
	}
}

// wait waits until a time has passed or something is so.
func (c *chaos) wait(d time.Duration, so func() bool) bool {
	c.t.Helper()
	for limit := time.Now().Add(d); ; <-time.After(100 * time.Millisecond) {
		c.revive()
		if so != nil && so() {
			return true
		}
		if time.Now().After(limit) {
			return so == nil
		}
	}
}

// ampipe runs a command as a person does, and returns its exit code and its output.
func (c *chaos) ampipe(args ...string) (int, string) {
	c.t.Helper()
	limit := 2 * time.Minute
	if args[0] == "verify" {
		limit = 5 * time.Minute // it may wait for a repair
	}
	p := c.startWith(c.direct, "ampipe", append(args, "-c", c.file)...)
	select {
	case <-p.exited:
	case <-time.After(limit):
		p.kill()
		c.t.Errorf("ampipe %v did not end within %v\n%s", args, limit, p.out)
	}
	return p.cmd.ProcessState.ExitCode(), p.out.String()
}
