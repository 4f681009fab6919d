package pipeline_test

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"testing"
	"time"
)

const (
	// backup returns every key of a pipeline with what it holds.
	backup = `local all = {}
		for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
			all[#all + 1] = key
			all[#all + 1] = redis.call('DUMP', key)
		end
		return all`
	// restore puts them back, and nothing else.
	restore = `for _, key in ipairs(redis.call('KEYS', ARGV[1])) do redis.call('UNLINK', key) end
		for i = 2, #ARGV, 2 do redis.call('RESTORE', ARGV[i], 0, ARGV[i + 1]) end`
)

// TestRedisIsSetBackWhileLive takes the destination back to an earlier moment under
// the running pipeline, as the promotion of a replica that was behind does. What it had
// acknowledged meanwhile comes again.
func TestRedisIsSetBackWhileLive(t *testing.T) {
	t.Parallel()
	l := newRedisEnv(t)
	g := l.grow("--blocks", "200", "--logs-per-block", "3", "--live", "--block-time", "50ms", "--reorg-every", "15", "--reorg-depth", "1-20/4")
	file := l.file("pipeline.yaml", fmt.Sprintf(`pipeline: %s
source: { amp: "%s", query: %s }
nats: { embedded: ./nats }
sinks:
  - name: cache
    redis: { url: "%s", table: %s, key: [block_num, log_index] }
`, l.name, g.amp, "SELECT * FROM eth_rpc.logs", l.url, l.name))
	p := l.start("ampipe", "run", "-c", file)
	cursor := func() (n uint64, hash string) {
		state := l.client.HMGet(t.Context(), "ampipe:{"+l.name+"}:cache:state", "cursor_block", "cursor_hash").Val()
		if len(state) < 2 || state[0] == nil || state[1] == nil {
			return 0, ""
		}
		n, _ = strconv.ParseUint(state[0].(string), 10, 64)
		return n, state[1].(string)
	}
	until := func(what string, so func() bool) {
		t.Helper()
		for limit := time.Now().Add(2 * time.Minute); !so(); <-time.After(20 * time.Millisecond) {
			select {
			case <-p.exited:
				t.Fatalf("the run ended before %s\n%s", what, p.out)
			default:
			}
			if n, _ := cursor(); time.Now().After(limit) {
				t.Fatalf("%s has not happened, the cursor is at %d\n%s", what, n, p.out)
			}
		}
	}
	until("it was live", func() bool { n, _ := cursor(); return n > 220 })
	pattern := "*" + l.name + "*"
	saved, err := l.client.Eval(t.Context(), backup, nil, pattern).Slice()
	if err != nil {
		t.Fatal(err)
	}
	then, _ := cursor()
	until("it had gone on", func() bool { n, _ := cursor(); return n > then+40 })
	if err := l.client.Eval(t.Context(), restore+" return 1", nil, append([]any{pattern}, saved...)...).Err(); err != nil {
		t.Fatal(err)
	}
	h := g.tell("pause", "")
	until("it was at the head of the chain", func() bool {
		n, hash := cursor()
		return n == uint64(h.Number) && hash == hex.EncodeToString(h.Hash[:])
	})
	until("the history was whole", func() bool {
		ranges := l.client.ZRange(t.Context(), "ampipe:{"+l.name+"}:cache:coverage", 0, -1).Val()
		return len(ranges) == 1 && ranges[0] == fmt.Sprintf("%016x%016x", 0, uint64(h.Number)+1)
	})
	g.verify(file)
}
