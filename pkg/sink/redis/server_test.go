package redis_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	driver "github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/redis"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// TestMain makes the process trust the authority of the TLS tests, before anything
// reads what it trusts.
func TestMain(m *testing.M) {
	if err := trustAuthority(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// go-redis looks once a second whether a pool is closed whose server it cannot reach.
	looking := goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial")
	goleak.VerifyTestMain(m, looking, goleak.Cleanup(func(code int) {
		_ = os.Remove(os.Getenv("SSL_CERT_FILE"))
		os.Exit(code)
	}))
}

// server is the test's own connection, and a prefix that no other test uses.
type server struct {
	driver.UniversalClient
	testing.TB
	url, name string
}

var names atomic.Int64

// newServer finds the server, and removes the test's keys at the end.
func newServer(t testing.TB) *server {
	t.Helper()
	url := os.Getenv("AMPIPE_TEST_REDIS")
	if url == "" {
		t.Skip("AMPIPE_TEST_REDIS is not set; run scripts/redis run go test ./pkg/sink/redis/")
	}
	return serverAt(t, url)
}

// serverAt is newServer for a server that the test has started.
func serverAt(t testing.TB, url string) *server {
	t.Helper()
	return serverBy(t, connected(t, url), url)
}

// connected returns a client of a server that is closed at the end of the test.
func connected(t testing.TB, url string) *driver.Client {
	t.Helper()
	o, err := driver.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	c := driver.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// newCluster is likewise for the Cluster.
func newCluster(t testing.TB) *server {
	t.Helper()
	url := os.Getenv("AMPIPE_TEST_REDIS_CLUSTER")
	if url == "" {
		t.Skip("AMPIPE_TEST_REDIS_CLUSTER is not set; run scripts/redis cluster go test ./pkg/sink/redis/")
	}
	return clusterAt(t, url)
}

func clusterAt(t testing.TB, url string) *server {
	o, err := driver.ParseClusterURL(url)
	if err != nil {
		t.Fatal(err)
	}
	return serverBy(t, driver.NewClusterClient(o), url)
}

func serverBy(t testing.TB, client driver.UniversalClient, url string) *server {
	// The last letter keeps the keys of test 4 apart from those of test 44.
	s := &server{client, t, url, fmt.Sprintf("t%d_%dx", os.Getpid(), names.Add(1))}
	t.Cleanup(func() {
		if err := s.remove(); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// nodes calls f for every server that holds keys, one after the other.
func (s *server) nodes(f func(*driver.Client) error) error {
	if c, clustered := s.UniversalClient.(*driver.ClusterClient); clustered {
		var one sync.Mutex
		return c.ForEachMaster(context.Background(), func(_ context.Context, node *driver.Client) error {
			one.Lock()
			defer one.Unlock()
			return f(node)
		})
	}
	return f(s.UniversalClient.(*driver.Client))
}

// keysOf returns the keys of a server that match a pattern.
func keysOf(node *driver.Client, pattern string) ([]string, error) {
	var keys []string
	found := node.Scan(context.Background(), 0, pattern, 10_000).Iterator()
	for found.Next(context.Background()) {
		keys = append(keys, found.Val())
	}
	return keys, found.Err()
}

// remove deletes every key whose name holds the prefix.
func (s *server) remove() error {
	return s.nodes(func(node *driver.Client) error {
		keys, err := keysOf(node, "*"+s.name+"*")
		if err != nil || len(keys) == 0 {
			return err
		}
		_, err = node.Pipelined(context.Background(), func(p driver.Pipeliner) error {
			for _, key := range keys {
				p.Unlink(context.Background(), key)
			}
			return nil
		})
		return err
	})
}

// config is a sink of hashes.
func (s *server) config(structure config.Structure, key string) config.Redis {
	_, clustered := s.UniversalClient.(*driver.ClusterClient)
	return config.Redis{URL: config.Secret(s.url), Table: s.name, Structure: structure, Key: key, Writers: 4, Cluster: clustered}
}

// open returns a Writer that is closed at the end of the test.
func open(t testing.TB, cfg config.Redis, table sink.Table) *redis.Writer {
	t.Helper()
	w := opened(t, cfg, table)
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return w
}

// opened returns a Writer that the test closes.
func opened(t testing.TB, cfg config.Redis, table sink.Table) *redis.Writer {
	t.Helper()
	w := redis.New(cfg)
	if err := w.Open(context.Background(), table); err != nil {
		t.Fatalf("open: %v", err)
	}
	return w
}

// wantDigests compares the digests of the rows of changes with those of the table.
func wantDigests(t testing.TB, w *redis.Writer, of []sink.Change) {
	t.Helper()
	var rows []arrow.RecordBatch
	for _, c := range of {
		rows = append(rows, c.Records...)
	}
	sinktest.WantSameDigests(t, w, rows...)
}
