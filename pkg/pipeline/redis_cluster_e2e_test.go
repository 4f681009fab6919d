package pipeline_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// A chain that forks is followed into a Redis Cluster whose nodes all have rows. The
// process is killed on the way, and in the end source and destination are equal.
func TestRunFollowsIntoARedisCluster(t *testing.T) {
	t.Parallel()
	url := os.Getenv("AMPIPE_TEST_REDIS_CLUSTER")
	if url == "" {
		t.Skip("AMPIPE_TEST_REDIS_CLUSTER is not set: no Redis Cluster for end-to-end tests (scripts/test starts one)")
	}
	o, err := redis.ParseClusterURL(url)
	if err != nil {
		t.Fatal(err)
	}
	e, client := newCommandEnv(t), redis.NewClusterClient(o)
	var one sync.Mutex
	nodes := func(f func(*redis.Client) error) error {
		return client.ForEachMaster(context.Background(), func(_ context.Context, node *redis.Client) error {
			one.Lock()
			defer one.Unlock()
			return f(node)
		})
	}
	t.Cleanup(func() {
		_ = nodes(func(node *redis.Client) error { // the servers are the test's own
			keys := node.Scan(context.Background(), 0, "*"+e.schema+"*", 10_000).Iterator()
			for keys.Next(context.Background()) {
				node.Unlink(context.Background(), keys.Val())
			}
			return keys.Err()
		})
		_ = client.Close()
	})
	g := e.grow("--blocks", "300", "--logs-per-block", "10", "--live", "--block-time", "60ms", "--reorg-every", "12", "--reorg-depth", "1-8/3")
	file := e.file("pipeline.yaml", fmt.Sprintf(`pipeline: %[1]s
source: { amp: %[2]s, query: SELECT * FROM eth_rpc.logs }
nats: { embedded: ./nats }
sinks:
  - name: cache
    redis: { url: "%[3]s", cluster: true, table: %[1]s, key: [block_num, log_index] }
`, e.schema, g.amp, url))

	state := func() map[string]string {
		return client.HGetAll(t.Context(), "ampipe:{"+e.schema+"}:cache:state").Val()
	}
	reach := func(p *process, h chainHead, exactly bool) {
		t.Helper()
		for limit := time.Now().Add(90 * time.Second); ; <-time.After(30 * time.Millisecond) {
			s := state()
			n, err := strconv.ParseUint(s["cursor_block"], 10, 64)
			if err == nil && n >= uint64(h.Number) && (!exactly || s["cursor_hash"] == hex.EncodeToString(h.Hash[:])) {
				return
			}
			if time.Now().After(limit) {
				t.Fatalf("the sink has not come to block %d: %v\n%s", h.Number, s, p.out)
			}
		}
	}
	p := e.start("ampipe", "run", "-c", file)
	reach(p, chainHead{Number: 299}, false) // a reorg before that takes nothing back
	reach(p, g.tell("reorg", `{"depth": 5, "blocks": 7}`), false)
	p.kill()
	g.tell("reorg", `{"depth": 20, "blocks": 25}`)
	p = e.start("ampipe", "run", "-c", file)
	reach(p, g.tell("reorg", `{"depth": 3, "blocks": 5}`), false)
	reach(p, g.tell("pause", ""), true)
	e.must("ampipe", "verify", "-c", file)
	if err := nodes(func(node *redis.Client) error {
		rows, keys := 0, node.Scan(t.Context(), 0, e.schema+":*", 10_000).Iterator()
		for keys.Next(t.Context()) {
			rows++
		}
		if rows < 500 {
			t.Errorf("%v has %d rows", node, rows)
		}
		return keys.Err()
	}); err != nil {
		t.Fatal(err)
	}
	if fence := state()["fence"]; fence < fmt.Sprintf("%016x", 3) {
		t.Errorf("after three reorgs and more the fence is %s", fence)
	}
	if code := p.interrupt(t); code != 130 {
		t.Errorf("told to stop, it ends with exit code %d\n%s", code, p.out)
	}
}
