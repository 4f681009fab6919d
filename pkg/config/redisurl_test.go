package config_test

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/config"
)

func redisFile(address, keys string) []byte {
	return []byte("pipeline: p\nsource: { amp: \"grpc://h\", query: SELECT 1 }\nsinks:\n  - name: r\n    redis:\n      url: " +
		strconv.Quote(address) + "\n      key: [a]\n      table: t\n" + keys)
}

// TestRedisURLs has the forms that providers and other programs hand out.
func TestRedisURLs(t *testing.T) {
	t.Parallel()
	const sentinel, cluster = "      sentinel: chain\n", "      cluster: true\n"
	for _, c := range []struct{ text, keys, want string }{
		{"redis://h", "", "redis://h"},
		{"redis://h:6379/2", "", "redis://h:6379?db=2"},
		{"redis://h:6379/0\n", "", "redis://h:6379?db=0"},
		{"redis://h:6379?db=2", "", "redis://h:6379?db=2"},
		{"redis://h/2?db=2", "", "redis://h?db=2"},
		{"redis://h?database=3", "", "redis://h?db=3"},
		{"redis://:p%40ss@h", "", "redis://:p%40ss@h"},
		{"rediss://default:p@h:6380", "", "rediss://default:p@h:6380"},
		{"rediss://h?skip_verify=true", "", "rediss://h?skip_verify=true"},
		{"redis://h?protocol=3&pool_size=5&dial_timeout=5s&decode_responses=true", "", "redis://h"},
		{"redis://h?client_name=me&conn_max_lifetime=5m", "", "redis://h?client_name=me&conn_max_lifetime=5m"},
		{"redis://[::1]:6379/1", "", "redis://[::1]:6379?db=1"},
		{"valkey://h/1", "", "redis://h?db=1"},
		{"valkeys://h", "", "rediss://h"},
		{"REDIS://h", "", "redis://h"},
		{"unix:///run/redis.sock", "", "unix:///run/redis.sock"},
		{"unix://u:p@/run/redis.sock?db=1", "", "unix://u:p@/run/redis.sock?db=1"},
		{"redis+socket:///run/redis.sock?virtual=", "", ""},
		{"redis-socket:///run/redis.sock", "", "unix:///run/redis.sock"},
		{"redis://s1:26379/1?addr=s2:26379&username=u&password=p", sentinel, "redis://s1:26379?addr=s2%3A26379&db=1&password=p&username=u"},
		{"rediss://u:p@n1?addr=n2:6379&addr=n3:6379&skip_verify=1", cluster, "rediss://u:p@n1?addr=n2%3A6379&addr=n3%3A6379&skip_verify=true"},
		{"redis://n1/0", cluster, "redis://n1"},
	} {
		pipelines, err := config.Parse("f.yaml", redisFile(c.text, c.keys), os.Getenv)
		if c.want == "" {
			if err == nil || !strings.Contains(err.Error(), "unknown: virtual") {
				t.Errorf("%q: %v", c.text, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		if got := string(pipelines[0].Sinks[0].Redis.URL); got != c.want {
			t.Errorf("%q is read as %q, want %q", c.text, got, c.want)
		}
	}
}

// TestRedisURLsThatAreRefused says all that is wrong, and no secret.
func TestRedisURLsThatAreRefused(t *testing.T) {
	t.Parallel()
	const sentinel, cluster = "      sentinel: chain\n", "      cluster: true\n"
	for _, c := range []struct {
		text, keys string
		wants      []string
	}{
		{"localhost:6379", "", []string{"must begin with redis:// (plain), rediss:// (TLS) or unix:// (a socket)"}},
		{"http://h", "", []string{"must begin with redis://"}},
		{"https://eu1.upstash.io", "", []string{"the web address of a provider is another one"}},
		{"cache.windows.net:6380,password=hunter2,ssl=True", "", []string{"is a connection string of StackExchange.Redis"}},
		{"redis://", "", []string{"names no host"}},
		{"redis://h:99999", "", []string{"names a port that cannot be"}},
		{"redis://h\nx", "", []string{"line feed"}},
		{"redis://hunter2@h", "", []string{"names a user and no password"}},
		{"redis://u:@h", "", []string{"names a user and no password"}},
		{"redis://:hunter2#x@h", "", []string{"is not a URL"}},
		{"redis://:hunter2/x@h", "", []string{"is not a URL"}},
		{"redis://:hunter2?x@h", "", []string{"is not a URL"}},
		{"redis://u:12/hunter2@h", "", []string{"is not a URL"}},
		{"redis://:hunter2%zz@h", "", []string{"is not a URL"}},
		{"redis://h/zero", "", []string{"names a database that is not a number"}},
		{"redis://h/1?db=2", "", []string{"names two databases"}},
		{"redis://h/-1", "", []string{"names a database that is not a number"}},
		{"redis://h/1", cluster, []string{"a Redis Cluster has no other"}},
		{"redis://a:1,b:2", "", []string{"names several hosts; write redis://host:port?addr=host2:port&addr=host3:port"}},
		{"redis://:hunter2@a:1,b:2", sentinel, []string{"names several hosts"}},
		{"redis-sentinel://:hunter2@h:26379/chain", "", []string{"is of a Sentinel; write redis://host:26379"}},
		{"redis+cluster://h", "", []string{"is of a Redis Cluster; write"}},
		{"redis://h?addr=i:1", "", []string{"has the parameter addr, of further sentinels or nodes"}},
		{"redis://h?addr=i", cluster, []string{"must be host:port"}},
		{"redis://h?master_name=chain", sentinel, []string{"write the name of the master as sentinel"}},
		{"redis://h?username=u&password=hunter2", "", []string{"has the parameter password: write redis://user:password@host", "has the parameter username"}},
		{"redis://h?skip_verify=true", "", []string{"which is for rediss://"}},
		{"rediss://h?skip_verify=maybe", "", []string{"must be true or false"}},
		{"redis://h?ssl=true&ssl_ca_certs=/ca&color=hunter2&size=2&virtual_host=x", "", []string{"has the parameter ssl: write rediss://",
			"SSL_CERT_FILE", "has parameters that are unknown: color, size, virtual_host; take them out"}},
		{"redis://h?conn_max_lifetime=x", "", []string{"must be a length of time"}},
		{"unix://redis.sock", "", []string{"names no socket; write unix:///path/to/redis.sock"}},
		{"unix://./redis.sock", "", []string{"names no socket"}},
		{"unix:///s", cluster, []string{"names a socket, and a Sentinel or a Cluster has none"}},
	} {
		_, err := config.Parse("f.yaml", redisFile(c.text, c.keys), os.Getenv)
		var wrong *config.Error
		if !errors.As(err, &wrong) || len(wrong.Complaints) != len(c.wants) {
			t.Errorf("%q is answered with %v, want %q", c.text, err, c.wants)
			continue
		}
		for _, want := range c.wants {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q is answered with %v, want %q", c.text, err, want)
			}
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("a secret is in %v", err)
		}
	}
}
