package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink/redis/format"
)

// inspectServer checks one server and returns what may become trouble.
func inspectServer(ctx context.Context, g *format.Table, client redis.UniversalClient) ([]string, error) {
	info, err := serverInfo(ctx, client)
	if err == nil {
		err = checkServer(g, info)
	}
	if err == nil && g.Structure == config.JSON {
		err = checkModule(ctx, client)
	}
	if redis.HasErrorPrefix(err, "NOPERM") {
		return nil, cmp.Or(tryRights(ctx, g, client), err)
	}
	if err != nil {
		return nil, err
	}
	return serverWarnings(g, info), tryRights(ctx, g, client)
}

// checkModule refuses a server without RedisJSON.
func checkModule(ctx context.Context, client redis.UniversalClient) error {
	found, err := client.Do(ctx, "COMMAND", "INFO", "JSON.SET").Slice()
	if err == nil && (len(found) == 0 || found[0] == nil) {
		return fault.Permanent(errors.New("the server does not have the module RedisJSON, which structure: json needs; " +
			"load it, or use structure: string, which holds the same documents"))
	}
	return err
}

// serverInfo returns what a server says about itself.
func serverInfo(ctx context.Context, client redis.UniversalClient) (map[string]string, error) {
	text, err := client.Info(ctx).Result()
	if err != nil {
		return nil, err
	}
	info := make(map[string]string)
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	return info, nil
}

// checkServer refuses a server of the wrong kind.
func checkServer(g *format.Table, info map[string]string) error {
	version := info["redis_version"]
	if major, err := strconv.Atoi(strings.SplitN(version, ".", 2)[0]); err != nil || major < oldest {
		return fault.Permanent(fmt.Errorf("the server is Redis %q, and ampipe needs Redis 7 or later, or Valkey", version))
	}
	switch {
	case info["redis_mode"] == "sentinel":
		return fault.Permanent(errors.New("the server is a Sentinel; name its master under sentinel"))
	case info["cluster_enabled"] == "1" && !g.Cluster:
		return fault.Permanent(errors.New("the server belongs to a Redis Cluster; set cluster: true"))
	case g.Cluster && info["cluster_enabled"] != "1":
		return fault.Permanent(errors.New("the server is not a Redis Cluster; remove cluster: true"))
	case info["role"] == "slave" && !g.Cluster:
		return fault.Later(fmt.Errorf("the server is a replica and takes no writes until it is promoted; its master is %s:%s",
			cmp.Or(info["master_host"], "unknown"), info["master_port"]), 0)
	}
	return nil
}

// fullFrom is how much of maxmemory may be in use before it is warned about, in percent.
const fullFrom = 90

// serverWarnings are what may become trouble later.
func serverWarnings(g *format.Table, info map[string]string) (warnings []string) {
	most, _ := strconv.ParseUint(info["maxmemory"], 10, 64)
	used, _ := strconv.ParseUint(info["used_memory"], 10, 64)
	policy := info["maxmemory_policy"]
	const mend = "without anybody noticing; run on the server: CONFIG SET maxmemory-policy noeviction"
	switch {
	case strings.HasPrefix(policy, "allkeys-"):
		warnings = append(warnings, fmt.Sprintf("the server's maxmemory-policy is %s: "+
			"when it is full it removes rows, and the sink's own state, %s", policy, mend))
	case strings.HasPrefix(policy, "volatile-") && g.TTL > 0:
		warnings = append(warnings, fmt.Sprintf("the server's maxmemory-policy is %s: "+
			"when it is full it removes rows before their ttl is over, %s", policy, mend))
	}
	if most > 0 && used >= most/100*fullFrom {
		warnings = append(warnings, fmt.Sprintf("the server uses %d of the %d MiB that its maxmemory allows, "+
			"and takes no writes when it is full; raise maxmemory, or set ttl", used>>20, most>>20))
	}
	if info["aof_enabled"] == "0" {
		warnings = append(warnings, "the server has no append-only file: what it loses in a crash, "+
			"since its last snapshot, is loaded again; run on the server: CONFIG SET appendonly yes")
	}
	// A server tells of good replicas only if it wants some before it takes writes.
	replicated := info["connected_slaves"] != "" && info["connected_slaves"] != "0"
	if _, wants := info["min_slaves_good_slaves"]; !wants && (g.Sentinel != "" || replicated) {
		warnings = append(warnings, "the server has replicas and takes writes without them (min-replicas-to-write is 0): "+
			"a failover may take back what was written for longer than a moment; it is loaded again, but set min-replicas-to-write to 1")
	}
	return warnings
}
