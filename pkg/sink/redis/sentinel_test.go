package redis_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	driver "github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/redis"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// guarded is a master and its replica, watched by a sentinel that is quick to act.
type guarded struct {
	*server // the test's connection to the replica, which is the master later
	master  process
	first   *driver.Client // to the master
	url     string         // of the sentinel
	table   sink.Table
	w       *redis.Writer
	redone  int
}

func newGuarded(t *testing.T) *guarded {
	t.Helper()
	bin, ports := redisServer(t), []string{strconv.Itoa(sinktest.FreePort(t)), strconv.Itoa(sinktest.FreePort(t)), strconv.Itoa(sinktest.FreePort(t))}
	at := func(i int) string { return "redis://127.0.0.1:" + ports[i] }
	g := &guarded{url: at(2)}
	g.master = launch(t, bin, "--port", ports[0], "--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1")
	ready(t, at(0), answers)
	replica := launch(t, bin, "--port", ports[1], "--replicaof", "127.0.0.1 "+ports[0], "--repl-diskless-sync-delay", "0")
	ready(t, at(1), func(ctx context.Context, c *driver.Client) error {
		return says(ctx, c, "replication", "master_link_status:up")
	})
	file := filepath.Join(t.TempDir(), "sentinel.conf")
	rules := fmt.Sprintf("sentinel monitor chain 127.0.0.1 %s 1\nsentinel down-after-milliseconds chain 300\nsentinel failover-timeout chain 3000\n", ports[0])
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	launch(t, bin, file, "--sentinel", "--port", ports[2])
	ready(t, at(2), func(ctx context.Context, c *driver.Client) error {
		return says(ctx, c, "sentinel", "slaves=1")
	})
	g.first = connected(t, at(0))
	// The servers go with the test, and with them its keys.
	g.server = &server{connected(t, replica.socket()), t, replica.socket(), fmt.Sprintf("t%d", names.Add(1))}
	g.table = balanceTable(g.server)
	cfg := g.config(config.Hash, "{table}:{block_num}:{address}")
	cfg.URL, cfg.Sentinel = config.Secret(g.url), "chain"
	g.w = open(t, cfg, g.table)
	// A replica that is new is sent nothing until it has asked for it.
	if n, err := g.first.Wait(t.Context(), 1, 10*time.Second).Result(); err != nil || n != 1 {
		t.Fatalf("%d replicas have the state, %v", n, err)
	}
	return g
}

// says tells, by an error, whether a section of INFO holds a text.
func says(ctx context.Context, c *driver.Client, section, text string) error {
	info, err := c.Info(ctx, section).Result()
	if err == nil && !strings.Contains(info, text) {
		err = errors.New(section + ": " + info)
	}
	return err
}

// deliver applies a change as a sink does: again, until it is committed.
func (g *guarded) deliver(t *testing.T, c sink.Change) {
	t.Helper()
	wait := fault.Backoff{Attempts: 1000, Min: 5 * time.Millisecond, Max: 50 * time.Millisecond}
	err := fault.Retry(t.Context(), wait, func(ctx context.Context) error {
		_, err := g.w.Apply(ctx, []sink.Change{c})
		if err != nil {
			g.redone++
		}
		return err
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
}

// The master dies in the middle of a load. The sink continues with the replica, and
// what that lacks is in its state: delivered again, everything is there once.
func TestSentinelPromotesTheReplica(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	var all []sink.Change
	var records []arrow.RecordBatch
	for n := block.Number(0); n < 1000; n += 10 {
		c := entryOf(t, blocks(n, n+10), balance{1, n, 5}, balance{2, n, 6}, balance{1, n + 7, int64(n)})
		all, records = append(all, c), append(records, c.Records...)
	}
	killed := make(chan struct{})
	for i, c := range all {
		if i == len(all)/2 {
			go func() {
				defer close(killed)
				g.master.kill()
			}()
		}
		g.deliver(t, c)
	}
	<-killed
	if g.redone == 0 {
		t.Error("the load did not notice that the master was gone")
	}
	state, err := g.w.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	missing := state.Coverage.Missing(blocks(0, 1000))
	t.Logf("%d attempts failed; the replica lacked %v", g.redone, missing)
	for _, c := range all { // the planner has the log's entries, or new ones, delivered again
		if slices.ContainsFunc(missing, func(r block.Range) bool { return r.Has(c.Range.Start) }) {
			g.deliver(t, c)
		}
	}
	if state, err = g.w.State(t.Context()); err != nil || !slices.Equal(state.Coverage.Ranges(), []block.Range{blocks(0, 1000)}) {
		t.Errorf("the state is %+v, %v", state, err)
	}
	sinktest.WantSameDigests(t, g.w, records...)
	if keys := g.Keys(t.Context(), g.name+":*").Val(); len(keys) != 300 {
		t.Errorf("%d rows, want 300", len(keys))
	}
}

// A replica that was cut off is promoted without writes that were acknowledged. Rows
// and state have lost the same: history shows as missing, and the live lane refuses to
// go on above the hole. min-replicas-to-write prevents that.
func TestSentinelPromotesAReplicaThatWasBehind(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	l := &live{seq: 5}
	there := entryOf(t, blocks(0, 10), balance{1, 1, 5})
	began := l.next(entryOf(t, blocks(100, 101), balance{1, 100, 7}))
	g.deliver(t, there)
	g.deliver(t, began)
	if n, err := g.first.Wait(t.Context(), 1, 5*time.Second).Result(); err != nil || n != 1 {
		t.Fatalf("%d replicas have it, %v", n, err)
	}

	// Cut off: the master takes no replica any more.
	ctx := t.Context()
	for _, command := range []string{
		"ACL SETUSER default -psync -sync", "CLIENT KILL TYPE replica", "CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-max-lag 1",
	} {
		var args []any
		for word := range strings.FieldsSeq(command) {
			args = append(args, word)
		}
		if err := g.first.Do(ctx, args...).Err(); err != nil {
			t.Fatalf("%s: %v", command, err)
		}
	}
	lost := entryOf(t, blocks(10, 20), balance{1, 11, 5})
	lostLive := l.next(entryOf(t, blocks(101, 102), balance{1, 101, 8}))
	if _, err := g.w.Apply(ctx, []sink.Change{lost}); fault.Of(err) != fault.ClassLater || !strings.Contains(err.Error(), "too few replicas") {
		t.Fatalf("with min-replicas-to-write a master without a replica answers %v", err)
	}
	if err := g.first.ConfigSet(ctx, "min-replicas-to-write", "0").Err(); err != nil {
		t.Fatal(err)
	}
	g.deliver(t, lost)
	g.deliver(t, lostLive)
	g.master.kill()

	after := l.next(entryOf(t, blocks(102, 103), balance{1, 102, 9}))
	wait := fault.Backoff{Attempts: 1000, Min: 5 * time.Millisecond, Max: 50 * time.Millisecond}
	err := fault.Retry(ctx, wait, func(ctx context.Context) error {
		_, err := g.w.Apply(ctx, []sink.Change{after})
		if errors.Is(err, sink.ErrGap) {
			return fault.Permanent(err)
		}
		return err
	}, nil)
	if !errors.Is(err, sink.ErrGap) {
		t.Fatalf("an entry above one that was lost is answered with %v", err)
	}
	state, err := g.w.State(ctx)
	if err != nil || state.Live.Seq != began.Seq || !slices.Equal(state.Coverage.Ranges(), []block.Range{blocks(0, 10), blocks(100, 101)}) {
		t.Fatalf("the replica's state is %+v, %v", state, err)
	}
	if got := g.Exists(ctx, g.name+":11:0xab01", g.name+":101:0xab01").Val(); got != 0 {
		t.Errorf("%d rows are there that the state does not know", got)
	}
	for _, c := range []sink.Change{lost, lostLive, after} {
		g.deliver(t, c)
	}
	var records []arrow.RecordBatch
	for _, c := range []sink.Change{there, lost, began, lostLive, after} {
		records = append(records, c.Records...)
	}
	sinktest.WantSameDigests(t, g.w, records...)
}

// What is said at the start: a server whose replicas may be promoted without what it has acknowledged is warned
// about, and wrong names and passwords are refused.
func TestSentinelAtTheStart(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	if got := g.w.Warnings(g.table); len(got) != 2 || !strings.Contains(got[0], "append-only file") || !strings.Contains(got[1], "min-replicas-to-write") {
		t.Errorf("warnings are %q", got)
	}
	for name, value := range map[string]string{"min-replicas-to-write": "1", "appendonly": "yes"} {
		if err := g.first.ConfigSet(t.Context(), name, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	cfg := g.config(config.Hash, "{table}:{block_num}:{address}")
	cfg.URL, cfg.Sentinel = config.Secret(g.url), "chain"
	if got := open(t, cfg, g.table).Warnings(g.table); len(got) != 0 {
		t.Errorf("warnings are %q", got)
	}
	cfg.Sentinel = ""
	err := redis.New(cfg).Open(t.Context(), g.table)
	if fault.Of(err) != fault.ClassPermanent || !strings.Contains(err.Error(), "name its master under sentinel") {
		t.Errorf("the url of a sentinel alone is answered with %v", err)
	}
	cfg.Sentinel = "nobody"
	err = redis.New(cfg).Open(t.Context(), g.table)
	if fault.Of(err) != fault.ClassPermanent || !strings.Contains(err.Error(), `"nobody"`) {
		t.Errorf("a master that the sentinel does not know is answered with %v", err)
	}

	// The user of the url is the sentinels'; that of the server follows.
	if err := g.first.ACLSetUser(t.Context(), "ampipe", append([]string{"on", ">geheim", "~*"}, rights(t, "redis.md")...)...).Err(); err != nil {
		t.Fatal(err)
	}
	cfg.Sentinel, cfg.URL = "chain", config.Secret(g.url+"?username=ampipe&password=geheim")
	w := open(t, cfg, g.table)
	apply(t, w, entryOf(t, blocks(0, 10), balance{1, 1, 5}))
	cfg.URL = config.Secret(g.url + "?username=ampipe&password=falsch")
	err = redis.New(cfg).Open(t.Context(), g.table)
	if fault.Of(err) != fault.ClassPermanent || !strings.Contains(err.Error(), "check user and password") || strings.Contains(err.Error(), "falsch") {
		t.Errorf("a wrong password is answered with %v", err)
	}
}
