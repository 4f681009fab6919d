package pipeline_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/amp/amptest"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/pipeline"
)

// leastRights is a PostgreSQL database and a Redis to which docs/security.md was applied.
type leastRights struct {
	*testing.T
	suffix   string // of everything that the servers share with other tests
	postgres string // URL of the database, as the administrator
	redis    string // URL, as the administrator
	client   *redis.Client
}

// forgetRedis removes every key of this test.
func (l *leastRights) forgetRedis() {
	ctx := context.Background()
	for _, pattern := range []string{"log-" + l.suffix + ":*", "ampipe:{eth-" + l.suffix + "}:*"} {
		for keys := l.client.Scan(ctx, 0, pattern, 10_000).Iterator(); keys.Next(ctx); {
			l.client.Unlink(ctx, keys.Val())
		}
	}
}

// snippet returns the box of docs/security.md below a mark, with the names of this test.
func (l *leastRights) snippet(mark string) string {
	l.Helper()
	page, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		l.Fatal(err)
	}
	m := regexp.MustCompile("(?s)<!-- tested: " + mark + " -->\n```[a-z]*\n(.*?)```").FindSubmatch(page)
	if m == nil {
		l.Fatalf("docs/security.md has no box %q", mark)
	}
	return strings.NewReplacer(
		"DATABASE eth", "DATABASE eth_"+l.suffix, "ampipe_warehouse", "ampipe_warehouse_"+l.suffix, "ampipe_verify", "ampipe_verify_"+l.suffix,
		"ampipe-cache", "ampipe-cache-"+l.suffix, "~log:*", "~log-"+l.suffix+":*", "eth-logs", "eth-"+l.suffix,
	).Replace(string(m[1]))
}

func (l *leastRights) connect(address string) *pgx.Conn {
	l.Helper()
	conn, err := pgx.Connect(context.Background(), address)
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// as returns the URL of the database for one of its roles.
func (l *leastRights) as(role string) string {
	u, err := url.Parse(l.postgres)
	if err != nil {
		l.Fatal(err)
	}
	u.User = url.UserPassword(role+"_"+l.suffix, "secret")
	return u.String()
}

func (l *leastRights) asCache() string {
	u, err := url.Parse(l.redis)
	if err != nil {
		l.Fatal(err)
	}
	u.User = url.UserPassword("ampipe-cache-"+l.suffix, "secret")
	return u.String()
}

func newLeastRights(t *testing.T) *leastRights {
	t.Helper()
	admin := os.Getenv("AMPIPE_TEST_POSTGRES")
	l := &leastRights{T: t, suffix: strings.ToLower(rand.Text()[:10]), redis: os.Getenv("AMPIPE_TEST_REDIS")}
	if admin == "" || l.redis == "" {
		t.Skip("AMPIPE_TEST_POSTGRES and AMPIPE_TEST_REDIS are not both set (scripts/test starts the servers)")
	}
	root := l.connect(admin)
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(root.Exec(t.Context(), "CREATE DATABASE eth_"+l.suffix))
	t.Cleanup(func() {
		for _, sql := range []string{"DROP DATABASE IF EXISTS eth_%s WITH (FORCE)", "DROP ROLE IF EXISTS ampipe_warehouse_%s", "DROP ROLE IF EXISTS ampipe_verify_%s"} {
			if _, err := root.Exec(context.Background(), fmt.Sprintf(sql, l.suffix)); err != nil {
				t.Error(err)
			}
		}
	})
	u, err := url.Parse(admin)
	must(nil, err)
	u.Path = "/eth_" + l.suffix
	l.postgres = u.String()
	must(l.connect(l.postgres).Exec(t.Context(), l.snippet("PostgreSQL, administrator")))

	o, err := redis.ParseURL(l.redis)
	must(nil, err)
	client := redis.NewClient(o)
	l.client = client
	t.Cleanup(func() {
		l.forgetRedis()
		client.Do(context.Background(), "ACL", "DELUSER", "ampipe-cache-"+l.suffix)
		_ = client.Close()
	})
	var words []any
	for _, word := range strings.Fields(l.snippet("Redis")) {
		words = append(words, word)
	}
	must(client.Do(t.Context(), words...).Result())
	return l
}

// TestLeastRights loads, follows, undoes and verifies with the rights that
// docs/security.md lists, and no others, in every mode and structure.
func TestLeastRights(t *testing.T) {
	t.Parallel()
	l := newLeastRights(t)
	chain := &modelChain{Chain: amptest.NewChain(amptest.Network, modelSchema), random: mathrand.New(mathrand.NewPCG(5, 1))}
	chain.extend(chain.build(0, 301))
	server := amptest.Start(t, func(q amptest.Query) amptest.Answer {
		if q.Stream() {
			return chain.Answer(q)
		}
		return batch(chain.Chain, q.SQL)
	})
	for name, structures := range map[string][]string{
		"PostgreSQL": nil,
		"Redis":      {"hash", "string", "set", "sorted_set", "list", "stream"},
	} {
		if structures == nil {
			l.load(name, server.URL(), chain,
				fmt.Sprintf("{ name: added, postgres: { dsn: %q, schema: chain, table: added } }", l.as("ampipe_warehouse")),
				fmt.Sprintf("{ name: keyed, postgres: { dsn: %q, schema: chain, table: keyed, mode: upsert, key: [_block_num, idx] } }", l.as("ampipe_warehouse")))
		}
		for _, structure := range structures {
			l.forgetRedis()
			key := "log-" + l.suffix + ":" + structure
			if structure == "hash" || structure == "string" {
				key += ":{_block_num}:{idx}"
			}
			l.load(name+" "+structure, server.URL(), chain,
				fmt.Sprintf("{ name: cache, redis: { url: %q, structure: %s, key: %q } }", l.asCache(), structure, key))
		}
	}
	l.forbidden()
}

// load runs a pipeline until its destinations have the chain and one reorg of it.
func (l *leastRights) load(name, amp string, chain *modelChain, sinks ...string) {
	l.Run(name, func(t *testing.T) {
		dir := t.TempDir()
		parse := func(sinks ...string) *config.Pipeline {
			text := fmt.Sprintf("pipeline: eth-%s\nsource: { amp: %q, query: SELECT * FROM model.rows }\nrange: { reorg_buffer: 20 }\nsinks:\n  - %s\n",
				l.suffix, amp, strings.Join(sinks, "\n  - "))
			all, err := config.Parse(filepath.Join(dir, "pipeline.yaml"), []byte(text), func(string) string { return "" })
			if err != nil {
				t.Fatal(err)
			}
			return all[0]
		}
		p := parse(sinks...)
		ctx, stop := context.WithCancelCause(t.Context())
		var journal journal
		ended := make(chan error, 1)
		go func() {
			ended <- pipeline.Run(ctx, []*config.Pipeline{p}, pipeline.Options{Destinations: allDestinations(), Logger: zerolog.New(&journal), Out: io.Discard})
		}()
		for step := range 2 {
			l.atHead(t, p, chain, ended)
			if step == 0 {
				chain.reorg(7)
			}
		}
		stop(ops.ErrInterrupted)
		if err := <-ended; !errors.Is(err, ops.ErrInterrupted) {
			t.Fatalf("%v\n%s", err, journal.tail(50))
		}
		var out strings.Builder
		if strings.HasPrefix(name, "PostgreSQL") { // by the role that only reads
			for i := range sinks {
				sinks[i] = strings.ReplaceAll(sinks[i], "ampipe_warehouse_", "ampipe_verify_")
			}
			p = parse(sinks...)
		}
		if err := pipeline.Verify(t.Context(), p, pipeline.Options{Destinations: allDestinations(), Out: &out, Deep: true}); err != nil {
			t.Fatalf("%v\n%s", err, out.String())
		}
	})
}

// atHead waits until the destinations are at the head of the chain, which verify says.
func (l *leastRights) atHead(t *testing.T, p *config.Pipeline, chain *modelChain, ended <-chan error) {
	t.Helper()
	want := fmt.Sprintf(" blocks of [0, %d) are equal", chain.head()+1)
	for limit := time.Now().Add(time.Minute); ; <-time.After(100 * time.Millisecond) {
		var out strings.Builder
		err := pipeline.Verify(t.Context(), p, pipeline.Options{Destinations: allDestinations(), Out: &out})
		if err == nil && strings.Count(out.String(), want) == len(p.Sinks) {
			return
		}
		select {
		case err := <-ended:
			t.Fatalf("the pipeline ended: %v", err)
		default:
		}
		if time.Now().After(limit) {
			t.Fatalf("it never came to the head: %v\n%s", err, out.String())
		}
	}
}

// forbidden tries what the rights must not allow.
func (l *leastRights) forbidden() {
	if _, err := l.connect(l.postgres).Exec(l.Context(), l.snippet("PostgreSQL, afterwards")+`; CREATE TABLE chain.other (x int); CREATE TABLE public.other (x int)`); err != nil {
		l.Fatal(err)
	}
	for role, statements := range map[string][]string{
		"ampipe_warehouse": {
			"CREATE TABLE chain.more (x int)", "CREATE TABLE public.more (x int)", "SELECT * FROM chain.other", "DROP TABLE chain.other", "INSERT INTO public.other VALUES (1)",
			"CREATE SCHEMA more", "CREATE ROLE more", "COPY chain.added TO PROGRAM 'true'", "SELECT pg_read_file('PG_VERSION')", "ALTER SYSTEM SET work_mem = '1MB'",
		},
		"ampipe_verify": {
			"DELETE FROM chain.added", "INSERT INTO ampipe.migrations VALUES (99)", "TRUNCATE ampipe.coverage", "DROP TABLE chain.keyed", "CREATE TABLE chain.more (x int)",
			"CREATE TEMPORARY TABLE more (x int)",
		},
	} {
		conn := l.connect(l.as(role))
		for _, sql := range statements {
			if _, err := conn.Exec(l.Context(), sql); err == nil || !strings.Contains(err.Error(), "42501") {
				l.Errorf("%s: %s: %v", role, sql, err)
			}
		}
	}
	o, err := redis.ParseURL(l.asCache())
	if err != nil {
		l.Fatal(err)
	}
	client := redis.NewClient(o)
	defer func() { _ = client.Close() }()
	for _, command := range []string{
		"FLUSHALL", "FLUSHDB", "CONFIG GET *", "KEYS *", "ACL LIST", "CLIENT LIST", "SHUTDOWN", "SCRIPT FLUSH", "FUNCTION LIST", "MONITOR",
		"GET other", "SET other x", "HGETALL ampipe:{other}:cache:state", "HSET ampipe:{eth-" + l.suffix + "}:lake:state x y",
		"EVAL return(redis.call('get','other')) 0", "EVAL return(redis.call('flushall')) 0",
	} {
		var words []any
		for _, word := range strings.Fields(command) {
			words = append(words, word)
		}
		if err := client.Do(l.Context(), words...).Err(); err == nil || (!strings.Contains(err.Error(), "NOPERM") && !strings.Contains(err.Error(), "The user executing the script can't")) {
			l.Errorf("%s: %v", command, err)
		}
	}
}
