package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/ops"
)

// refuses returns an address of which nothing listens: what is to be there was not
// started, or is at another place.
func refuses(s *site) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = l.Close() }() // nobody has connected
	return l.Addr().String()
}

// silent returns the address of something that takes connections and says nothing, as
// a firewall or a proxy without its server does.
func silent(s *site) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.Fatal(err)
	}
	go func() {
		var open []net.Conn
		for {
			c, err := l.Accept()
			if err != nil {
				for _, c := range open {
					_ = c.Close() // the test is over
				}
				return
			}
			open = append(open, c)
		}
	}()
	s.Cleanup(func() { _ = l.Close() }) // it is all that it does
	return l.Addr().String()
}

// pipelineOf returns a configuration that loads 40 blocks.
func pipelineOf(amp, nats, sink string) string {
	return fmt.Sprintf(`
pipeline: logs
source: { amp: "%s", query: SELECT * FROM eth.logs }
range: { max_block: 40 }
log: { max_bytes: 256MiB }
nats: { %s }
sinks: [ { name: first, %s } ]
`, amp, nats, sink)
}

const (
	ownNATS  = "embedded: ./nats"
	deltaDir = "delta: { path: ./lake }"
)

// TestEnvironmentsThatAreWaitedFor: each of them may be there any moment, so run waits
// for it without end, and says for what; check says the same and does not wait.
func TestEnvironmentsThatAreWaitedFor(t *testing.T) {
	t.Parallel()
	at := func(address func(*site) string) func(*site) {
		return func(s *site) {
			s.vars["ADDRESS"] = address(s)
			s.env = append(s.env, "AWS_ACCESS_KEY_ID=key", "AWS_SECRET_ACCESS_KEY=secret")
		}
	}
	wait := func(name, config string, address func(*site) string, says, mended string) environment {
		return environment{name: name, config: config, breaks: at(address), says: says, exit: ops.ExitFailed, waits: true, mended: mended}
	}
	table := strings.ReplaceAll(strings.ToLower(t.Name()), "/", "_")
	postgres := pipelineOf("$AMP", ownNATS, `postgres: { dsn: "$DSN", table: `+table+` }`)
	postgresAt := pipelineOf("$AMP", ownNATS, `postgres: { dsn: "postgres://ampipe@$ADDRESS/postgres?sslmode=disable&connect_timeout=2", table: rows }`)
	redis := pipelineOf("$AMP", ownNATS, `redis: { url: "$REDIS", structure: hash, key: "`+table+`:{_block_num}:{log_index}" }`)
	redisAt := pipelineOf("$AMP", ownNATS, `redis: { url: "redis://$ADDRESS", structure: hash, key: "log:{_block_num}:{log_index}" }`)
	all := []environment{
		wait("Amp is not running", pipelineOf("grpc://$ADDRESS", ownNATS, deltaDir), refuses,
			"is Amp running at grpc://127.0.0.1:", lake),
		wait("NATS is not running", pipelineOf("$AMP", `url: "nats://$ADDRESS"`, deltaDir), refuses,
			"connect to NATS at 127.0.0.1:", lake),
		wait("NATS says nothing", pipelineOf("$AMP", `url: "nats://$ADDRESS"`, deltaDir), silent,
			"connect to NATS at 127.0.0.1:", lake),
		wait("a bucket's server is not running", pipelineOf("$AMP", ownNATS, `delta: { url: "s3://lake/rows", endpoint: "http://$ADDRESS", region: us-east-1 }`), refuses,
			"connection refused", lake),
	}
	if os.Getenv("AMPIPE_TEST_POSTGRES") != "" {
		all = append(all,
			wait("PostgreSQL is not running", postgresAt, refuses, "the server cannot be reached", postgres),
			wait("PostgreSQL says nothing", postgresAt, silent, "the server cannot be reached", postgres),
		)
	}
	if os.Getenv("AMPIPE_TEST_REDIS") != "" {
		all = append(all, wait("Redis is not running", redisAt, refuses, "connection refused", redis))
	}
	try(t, all)
}
