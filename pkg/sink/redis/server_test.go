package redis_test

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	driver "github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/redis"
)

// TestMain makes the process trust the authority of the TLS tests, before anything
// reads what it trusts.
func TestMain(m *testing.M) {
	if err := trustAuthority(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.Remove(os.Getenv("SSL_CERT_FILE"))
		os.Exit(code)
	}))
}

// server is the test's own connection, and a prefix that no other test uses.
type server struct {
	*driver.Client
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
	o, err := driver.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{driver.NewClient(o), t, url, fmt.Sprintf("t%d_%d", os.Getpid(), names.Add(1))}
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

// remove deletes every key whose name holds the prefix.
func (s *server) remove() error {
	ctx := context.Background()
	keys := s.Scan(ctx, 0, "*"+s.name+"*", 10_000).Iterator()
	for keys.Next(ctx) {
		if err := s.Unlink(ctx, keys.Val()).Err(); err != nil {
			return err
		}
	}
	return keys.Err()
}

// config is a sink of hashes.
func (s *server) config(structure config.Structure, key string) config.Redis {
	return config.Redis{URL: config.Secret(s.url), Table: s.name, Structure: structure, Key: key, Writers: 4}
}

// open gives a Writer that is closed at the end of the test.
func open(t testing.TB, cfg config.Redis, table sink.Table) *redis.Writer {
	t.Helper()
	w := redis.New(cfg)
	if err := w.Open(context.Background(), table); err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return w
}
