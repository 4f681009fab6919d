package redis

import (
	"slices"
	"strings"
	"testing"
	"time"

	driver "github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/sink"
)

func TestWhatIsSaidOfAServer(t *testing.T) {
	t.Parallel()
	set := func(name, value string) func(*condition) { return func(c *condition) { c.info[name] = value } }
	syncs := func(how string) func(*condition) { return func(c *condition) { c.appendSync = how } }
	for name, c := range map[string]struct {
		is   func(*condition)
		kind sink.FindingKind
		want string // how the only finding begins; empty: there is none
	}{
		"nothing":                 {is: func(*condition) {}},
		"no limit":                {set("maxmemory", "0"), sink.Safety, "the server has no maxmemory"},
		"evicted":                 {set("evicted_keys", "17"), sink.Safety, "the server has evicted 17 keys"},
		"no snapshot":             {set("rdb_last_bgsave_status", "err"), sink.Safety, "the last snapshot of the server has failed"},
		"no append-only file":     {set("aof_last_write_status", "err"), sink.Safety, "the server could not write its append-only file"},
		"no rewrite":              {set("aof_last_bgrewrite_status", "err"), sink.Safety, "the server could not write its append-only file"},
		"never synced":            {syncs("no"), sink.Safety, "the server leaves it to the system"},
		"always synced":           {syncs("always"), sink.Speed, "the server syncs its append-only file after every command"},
		"nobody may know":         {syncs(""), sink.Unseen, "how often the server syncs its append-only file was not seen"},
		"no append-only file yet": {is: func(c *condition) { c.info["aof_enabled"], c.appendSync = "0", "" }},
		"slow forks":              {set("latest_fork_usec", "2500000"), sink.Speed, "the server answered nobody for 2.5s"},
		"far away":                {func(c *condition) { c.roundTrip = 30 * time.Millisecond }, sink.Speed, "a round trip to the server takes 30ms"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			is := condition{roundTrip: time.Millisecond, appendSync: "everysec", info: map[string]string{
				"maxmemory": "1073741824", "evicted_keys": "0", "rdb_last_bgsave_status": "ok", "aof_enabled": "1",
				"aof_last_write_status": "ok", "aof_last_bgrewrite_status": "ok", "latest_fork_usec": "900",
			}}
			c.is(&is)
			got := slices.Concat(is.safety(), is.speed())
			switch {
			case c.want == "" && len(got) == 0:
			case len(got) != 1 || c.want == "" || got[0].Kind != c.kind || !strings.HasPrefix(got[0].Text, c.want) || got[0].Fix == "":
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestWhatIsSaidOfSlots(t *testing.T) {
	t.Parallel()
	nodes := func(addresses ...string) (all []driver.ClusterNode) {
		for _, a := range addresses {
			all = append(all, driver.ClusterNode{Addr: a})
		}
		return all
	}
	whole := []driver.ClusterSlot{{Start: 0, End: 8191, Nodes: nodes("a", "b")}, {Start: 8192, End: 16383, Nodes: nodes("c", "d")}}
	if got := slotFindings(whole); len(got) != 0 {
		t.Errorf("of a whole Cluster: %+v", got)
	}
	got := slotFindings([]driver.ClusterSlot{{Start: 0, End: 99, Nodes: nodes("c")}, {Start: 200, End: 16383, Nodes: nodes("a", "b")}, {Start: 100, End: 109, Nodes: nodes("c")}})
	if len(got) != 2 || !strings.HasPrefix(got[0].Text, "90 of the 16384 slots") || !strings.Contains(got[1].Text, `(["c"])`) {
		t.Errorf("got %+v", got)
	}
}
