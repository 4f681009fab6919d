package pipeline_test

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/progress"
)

// redisEnv is a commandEnv with a sink in Redis instead of a table.
type redisEnv struct {
	*commandEnv
	client *redis.Client
	url    string
	name   string
}

func newRedisEnv(t *testing.T) *redisEnv {
	t.Helper()
	url := testRedis()
	if url == "" {
		t.Skip("AMPIPE_TEST_REDIS is not set: no Redis for end-to-end tests (scripts/test starts one)")
	}
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	l := &redisEnv{commandEnv: newCommandEnv(t), client: redis.NewClient(o), url: url}
	l.name = l.schema
	t.Cleanup(func() {
		ctx := context.Background()
		keys := l.client.Scan(ctx, 0, "*"+l.name+"*", 10_000).Iterator()
		for keys.Next(ctx) {
			l.client.Unlink(ctx, keys.Val())
		}
		_ = l.client.Close()
	})
	return l
}

func (l *redisEnv) pipeline(amp string, blocks int, options string) string {
	return l.file("pipeline.yaml", fmt.Sprintf(`pipeline: %s
source: { amp: "%s", query: %s }
range: { min_block: 0, max_block: %d }
nats: { embedded: ./nats }
sinks:
  - name: cache
    redis: { url: "%s", table: %s, %s }
`, l.name, amp, logs, blocks, l.url, l.name, options))
}

func TestRunLoadsRedisAndVerifies(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]string{
		"hash":       "key: [block_num, log_index]",
		"string":     "structure: string, key: [block_num, log_index]",
		"stream":     "structure: stream",
		"sorted_set": "structure: sorted_set",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newRedisEnv(t)
			amp, _ := l.devserver("--chain", "eth_rpc", "--blocks", "200")
			file := l.pipeline(amp, 200, options)
			if out := l.must("ampipe", "check", "-c", file); !strings.Contains(out, "block_num  decimal digits") {
				t.Errorf("check does not show the fields\n%s", out)
			}
			if keys := l.client.Keys(t.Context(), "*"+l.name+"*").Val(); len(keys) != 0 {
				t.Errorf("check made the keys %q", keys)
			}
			out := l.must("ampipe", "run", "-c", file)
			rows := regexp.MustCompile(`([\d,]+) rows written`).FindStringSubmatch(out)
			if rows == nil || rows[1] == "0" {
				t.Fatalf("run prints\n%s", out)
			}
			if out := l.must("ampipe", "verify", "-c", file); !strings.Contains(out, rows[1]+" rows") {
				t.Errorf("%s rows were written, but verify prints\n%s", rows[1], out)
			}
			if out := l.must("ampipe", "run", "-c", file); !strings.Contains(out, " 0 rows written") {
				t.Errorf("the second run prints\n%s", out)
			}
			if out := l.must("ampipe", "verify", "--deep", "-c", file); !strings.Contains(out, rows[1]+" rows are there, and each is of a block") {
				t.Errorf("%s rows were written, but verify --deep prints\n%s", rows[1], out)
			}
			if name == "stream" {
				l.client.XAdd(t.Context(), &redis.XAddArgs{Stream: l.name, Values: []string{"log_index", "1"}})
				if out := l.must("ampipe", "verify", "-c", file); !strings.Contains(out, "were not looked for") {
					t.Errorf("verify does not say what it has not looked at\n%s", out)
				}
				if code, out := l.run("ampipe", "verify", "--deep", "-c", file); code != 3 || !strings.Contains(out, fmt.Sprintf("cache: key %q: 1 row of no block", l.name)) {
					t.Errorf("an extra row: exit code %d\n%s", code, out)
				}
			}
			if name != "hash" {
				return
			}
			key := l.client.Keys(t.Context(), l.name+":7:*").Val()
			if len(key) == 0 {
				t.Fatal("block 7 has no rows")
			}
			l.client.HSet(t.Context(), key[0], "data", "0x00")
			if code, out := l.run("ampipe", "verify", "-c", file); code != 3 || !strings.Contains(out, "cache: block 7:") {
				t.Errorf("a changed row: exit code %d\n%s", code, out)
			}
		})
	}
}

// Killed again and again while it loads, it ends with every row once.
func TestRedisSinkIsKilled(t *testing.T) {
	t.Parallel()
	l := newRedisEnv(t)
	amp, _ := l.devserver("--chain", "eth_rpc", "--blocks", "600")
	file := l.pipeline(amp, 600, "structure: stream")
	for i := range 4 {
		p := l.start("ampipe", "run", "-c", file)
		before := l.client.XLen(t.Context(), l.name).Val()
		for deadline := time.Now().Add(time.Minute); l.client.XLen(t.Context(), l.name).Val() <= before; {
			select {
			case <-p.exited:
				t.Logf("run %d ended by itself", i)
			case <-time.After(time.Millisecond):
			}
			if p.cmd.ProcessState != nil || time.Now().After(deadline) {
				break
			}
		}
		p.kill()
	}
	l.must("ampipe", "run", "-c", file)
	out := l.must("ampipe", "verify", "-c", file)
	if want := progress.Counted(l.client.XLen(t.Context(), l.name).Val(), "row"); !strings.Contains(out, want) {
		t.Errorf("the stream has %s, verify prints %s", want, out)
	}
}
