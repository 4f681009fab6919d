package redis_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	driver "github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/redis"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// other returns a server or module that scripts/redis-others installs.
func other(t testing.TB, kind string) string {
	t.Helper()
	if os.Getenv("AMPIPE_TEST_REDIS") == "" {
		t.Skip("AMPIPE_TEST_REDIS is not set; run scripts/redis run go test ./pkg/sink/redis/")
	}
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		t.Skip("scripts/redis-others has servers for Linux on x86_64 only")
	}
	out, err := exec.CommandContext(t.Context(), "../../../scripts/redis-others", kind).Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Logf("%s", exit.Stderr)
		}
		t.Fatalf("scripts/redis-others %s: %v", kind, err)
	}
	return strings.TrimSpace(string(out))
}

// process is a server that the test has started.
type process struct {
	dir  string
	kill func() // as in a crash; waits for its end
}

// socket is the URL of its socket.
func (p process) socket() string { return "unix://" + filepath.Join(p.dir, "sock") }

// launch starts a server with a socket, and with a port only if args say so. It
// ends with the test. Of a sentinel the first argument is its file. Nothing waits for it to be ready; see ready.
func launch(t testing.TB, bin string, args ...string) process {
	t.Helper()
	dir, err := os.MkdirTemp("", "ampipe") // short: the path of a socket is limited
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	base := []string{"--port", "0", "--bind", "127.0.0.1", "--dir", dir, "--unixsocket", filepath.Join(dir, "sock"), "--logfile", filepath.Join(dir, "log")}
	if slices.Contains(args, "--sentinel") {
		base = append([]string{args[0]}, base...)
		args = args[1:]
	} else {
		base = append(base, "--save", "")
	}
	cmd := exec.Command(bin, append(base, args...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	p := process{dir: dir, kill: func() {
		if !ended {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		ended = true
	}}
	t.Cleanup(func() {
		p.kill()
		if log, err := os.ReadFile(filepath.Join(dir, "log")); err == nil && t.Failed() {
			t.Logf("%s says\n%s", bin, log[max(0, len(log)-4000):])
		}
	})
	return p
}

// ready waits until something is so of the server at a URL.
func ready(t testing.TB, url string, so func(context.Context, *driver.Client) error) {
	t.Helper()
	client := connected(t, url)
	wait := fault.Backoff{Attempts: 600, Min: 10 * time.Millisecond, Max: 50 * time.Millisecond}
	if err := fault.Retry(t.Context(), wait, func(ctx context.Context) error { return so(ctx, client) }, nil); err != nil {
		t.Fatalf("a private server does not get ready: %v", err)
	}
}

// answers is for ready.
func answers(ctx context.Context, c *driver.Client) error { return c.Ping(ctx).Err() }

// redisServer is the path of the server that the tests run on.
func redisServer(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"redis-server", "valkey-server"} {
		if bin, err := exec.LookPath(name); err == nil {
			return bin
		}
	}
	t.Skip("no redis-server is installed here; scripts/redis installs one")
	return ""
}

// The suite runs with Valkey as it does with Redis.
func TestValkey(t *testing.T) {
	t.Parallel()
	url := launch(t, other(t, "valkey")).socket()
	ready(t, url, answers)
	k := structures{config.Stream, config.Hash, config.String}
	sinktest.Run(t, func(t testing.TB, s sinktest.Setup) sinktest.Destination { return k.on(serverAt(t, url), s) })
}

// withJSON starts a server with the module RedisJSON.
func withJSON(t testing.TB) string {
	t.Helper()
	url := launch(t, redisServer(t), "--loadmodule", other(t, "json")).socket()
	ready(t, url, answers)
	return url
}

// The suite runs with the documents of RedisJSON. Those cannot be in one key, so
// rows without a key are in a list.
func TestRedisJSON(t *testing.T) {
	t.Parallel()
	url := withJSON(t)
	k := structures{config.List, config.JSON, config.JSON}
	sinktest.Run(t, func(t testing.TB, s sinktest.Setup) sinktest.Destination { return k.on(serverAt(t, url), s) })
}

func TestOldServersAreRefused(t *testing.T) {
	t.Parallel()
	url := launch(t, other(t, "old")).socket()
	ready(t, url, answers)
	s := serverAt(t, url)
	err := redis.New(s.config(config.Hash, "{table}:{block_num}:{address}")).Open(t.Context(), balanceTable(s))
	if fault.Of(err) != fault.ClassPermanent || !strings.Contains(err.Error(), `Redis "6.2.14", and ampipe needs Redis 7 or later`) {
		t.Errorf("an old server is answered with %v", err)
	}
	if n := s.DBSize(context.Background()).Val(); n != 0 {
		t.Errorf("%d keys were written", n)
	}
}

// RedisJSON keeps what a document says, not its text: numbers and escapes come back
// written in other ways. That is not a difference to verify.
func TestRedisJSONDocumentsVerify(t *testing.T) {
	t.Parallel()
	s := serverAt(t, withJSON(t))
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "block_num", Type: arrow.PrimitiveTypes.Uint64},
		{Name: "float", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
		{Name: "small", Type: arrow.PrimitiveTypes.Float32, Nullable: true},
		{Name: "unsigned", Type: arrow.PrimitiveTypes.Uint64, Nullable: true},
		{Name: "signed", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		{Name: "text\n", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "list", Type: arrow.ListOf(arrow.PrimitiveTypes.Float64), Nullable: true},
		{Name: "flag", Type: arrow.FixedWidthTypes.Boolean, Nullable: true},
	}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	floats := []float64{0, math.Copysign(0, -1), 1.5, 1e20, 1e21, 1e22, -1e300, 5e-324, 1e-7, 0.1, math.MaxFloat64, math.NaN(), math.Inf(-1), 1 << 53, 123456789012345680000, 1e19, -1e19, 1e18, 3e-5}
	texts := []string{"", "\n\t\b\f\r\x00\x1f\x7f", "\"\\/<>&", "é\u2028😀", "{}", " a ", "1e5"}
	for i, f := range floats {
		b.Field(0).(*array.Uint64Builder).Append(uint64(i))
		b.Field(1).(*array.Float64Builder).Append(f)
		b.Field(2).(*array.Float32Builder).Append(float32(f))
		b.Field(3).(*array.Uint64Builder).Append(math.MaxUint64 - uint64(i))
		b.Field(4).(*array.Int64Builder).Append(math.MinInt64 + int64(i))
		b.Field(5).(*array.StringBuilder).Append(texts[i%len(texts)])
		b.Field(6).(*array.ListBuilder).Append(true)
		b.Field(6).(*array.ListBuilder).ValueBuilder().(*array.Float64Builder).AppendValues([]float64{f, 2}, []bool{true, i%2 == 0})
		b.Field(7).(*array.BooleanBuilder).Append(i%2 == 0)
	}
	rec := b.NewRecordBatch()
	defer rec.Release()
	for _, empty := range []bool{false, true} {
		cfg := s.config(config.JSON, fmt.Sprintf("{table}%t:{block_num}", empty))
		cfg.NullEmpty = empty
		table := sink.Table{Pipeline: s.name, Sink: fmt.Sprint(empty), Schema: schema, BlockColumn: 0, Epoch: 1, Network: "n"}
		w := open(t, cfg, table)
		apply(t, w, sinktest.ChangeOf(blocks(0, 100), rec))
		sinktest.WantSameDigests(t, w, rec)

		key := fmt.Sprintf("%s%t:3", s.name, empty)
		for _, change := range [][]any{{"JSON.SET", key, "$.float", "100000000000000016384"}, {"JSON.SET", key, "$.float", "1e20"}, {"JSON.SET", key, "$.extra", "1"}} {
			if err := s.Do(context.Background(), change...).Err(); err != nil {
				t.Fatal(err)
			}
			stored, source := sink.Digests{}, w.DigestSource()
			if err := errors.Join(source.Add(rec), w.DigestStored(t.Context(), blocks(0, 100), stored)); err != nil {
				t.Fatal(err)
			}
			if same, want := stored[3] == source.Digests()[3], change[3] == "1e20"; same != want {
				t.Errorf("after %v the document is taken as equal: %t", change, same)
			}
		}
	}
}
