package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// cache is a configuration that loads all blocks into the Redis of the site.
const cache = `
pipeline: logs
source: { amp: $AMP, query: "SELECT block_num, log_index, address, data FROM eth.logs" }
range: { max_block: 40 }
nats: { embedded: ./nats }
sinks: [ { name: cache, redis: { url: "$URL", table: log, key: [block_num, log_index] } } ]
`

// redisServer starts a Redis of the site's own, which ends with the test, at $URL, and
// returns a client. args are added to its command line.
func (s *site) redisServer(args ...string) *redis.Client {
	s.Helper()
	if os.Getenv("AMPIPE_TEST_REDIS") == "" {
		s.Skip("AMPIPE_TEST_REDIS is not set; run scripts/redis run go test ./cmd/ampipe/")
	}
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		if bin, err = exec.LookPath("valkey-server"); err != nil {
			s.Fatal(err)
		}
	}
	dir, err := os.MkdirTemp("", "ampipe") // short: the path of a socket is limited
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "sock")
	server := exec.Command(bin, append([]string{"--port", "0", "--save", "", "--dir", dir, "--unixsocket", socket}, args...)...)
	if err := server.Start(); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		_ = server.Process.Kill() // it has nothing to save
		_ = server.Wait()
	})
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: socket})
	s.Cleanup(func() { _ = client.Close() })
	ctx, cancel := context.WithTimeout(s.Context(), 30*time.Second)
	defer cancel()
	for client.Ping(ctx).Err() != nil {
		select {
		case <-ctx.Done():
			s.Fatal("a private Redis does not get ready")
		case <-time.After(10 * time.Millisecond):
		}
	}
	s.vars["URL"] = "unix://" + socket
	return client
}

// redisDo runs a command of Redis, as a person types it.
func (s *site) redisDo(client *redis.Client, line string) {
	s.Helper()
	var words []any
	for _, word := range strings.Fields(line) {
		words = append(words, word)
	}
	if err := client.Do(context.Background(), words...).Err(); err != nil {
		s.Fatalf("%s: %v", line, err)
	}
}

// withRedis returns an environment whose Redis is started with args, and in which commands
// break something and others mend it. They may hold what check has advised, as ADVICE.
func withRedis(e environment, args []string, breaks, mends string) environment {
	var client *redis.Client
	e.config = cache
	e.breaks = func(s *site) {
		client = s.redisServer(args...)
		for line := range strings.Lines(breaks) {
			s.redisDo(client, line)
		}
		if strings.Contains(breaks, "ACL SETUSER app") {
			s.vars["URL"] = strings.Replace(s.vars["URL"], "unix://", "unix://app:geheim@", 1)
		}
	}
	if mends != "" {
		e.mends = func(s *site) {
			_, advice, _ := strings.Cut(s.say, "run on the server: ")
			for line := range strings.Lines(strings.ReplaceAll(mends, "ADVICE", advice)) {
				s.redisDo(client, line)
			}
		}
	}
	return e
}

func TestEnvironmentsOfRedis(t *testing.T) {
	t.Parallel()
	try(t, []environment{
		{
			name:   "a command that was taken away",
			config: cache,
			breaks: func(s *site) { s.redisServer("--rename-command", "UNLINK", "") },
			says:   "the server has no command unlink; take it out of rename-command in the server's configuration",
			mends:  func(s *site) { s.redisServer() },
			mended: cache,
		},
		withRedis(environment{
			name: "a user who may not write",
			says: `the user "app" may not run hset, hdel, hincrby, hsetnx, zadd, zrem, zremrangebylex, restore, unlink; run on the server: ACL SETUSER app +hset`,
		}, nil, "ACL SETUSER app on >geheim ~* +@read +@scripting +info", "ADVICE"),
		withRedis(environment{
			name: "a user of other keys",
			says: `the user "app" may not use the keys log:*:*; run on the server: ACL SETUSER app ~log:*:*`,
		}, nil, "ACL SETUSER app on >geheim ~logs:* ~ampipe:* +@all", "ADVICE"),
		withRedis(environment{
			name: "a user who may run no script",
			says: `the user "app" may not ask what else it may do`,
		}, nil, "ACL SETUSER app on >geheim ~* +@all -@scripting", "ADVICE"),
		withRedis(environment{
			name: "a replica", exit: 1, waits: true,
			says: "the server is a replica and takes no writes until it is promoted; its master is 127.0.0.1:1",
		}, nil, "REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
		withRedis(environment{
			name: "too few replicas", exit: 1, waits: true,
			says: "the server has too few replicas to take writes; bring them back, or lower its min-replicas-to-write",
		}, nil, "CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0"),
		withRedis(environment{
			name: "a full server", exit: 1, waits: true,
			says: "the server is full; raise its maxmemory, or set ttl",
		}, nil, "CONFIG SET maxmemory 1000", "CONFIG SET maxmemory 100mb"),
		{
			name: "a user without a password",
			breaks: func(s *site) {
				client := s.redisServer()
				s.redisDo(client, "ACL SETUSER app on >geheim ~* +@all")
				s.vars["GOOD"] = strings.Replace(s.vars["URL"], "unix://", "unix://app:geheim@", 1)
				s.vars["URL"] = strings.Replace(s.vars["URL"], "unix://", "unix://app@", 1)
			},
			config: cache,
			says:   "names a user and no password; write redis://user:password@host",
			mended: strings.Replace(cache, "$URL", "$GOOD", 1),
		},
	})
}
