package redis

import (
	"fmt"
	"strconv"
	"time"

	"github.com/ampipe/ampipe/pkg/sink"
)

// What is called far and slow.
const (
	farAway  = 5 * time.Millisecond // of a round trip
	longFork = time.Second
)

// number returns a number that the server says about itself; 0: it does not.
func (c condition) number(name string) uint64 {
	n, _ := strconv.ParseUint(c.info[name], 10, 64)
	return n
}

// safety returns what endangers rows, or the server. What [serverWarnings] says is not
// said again.
func (c condition) safety() (all []sink.Finding) {
	found := func(text, fix string) { all = append(all, sink.Finding{Kind: sink.Safety, Text: text, Fix: fix}) }
	if c.info["maxmemory"] == "0" {
		found("the server has no maxmemory: when the memory of its machine is full the system ends it, in place of refusing writes",
			"run on the server: CONFIG SET maxmemory 8gb, or what the machine can spare; CONFIG SET maxmemory-policy noeviction")
	}
	if n := c.number("evicted_keys"); n > 0 {
		found(fmt.Sprintf("the server has evicted %d keys since it was started: rows may be missing, and the sink's own state", n),
			"run on the server: CONFIG SET maxmemory-policy noeviction; then run ampipe verify")
	}
	if c.info["rdb_last_bgsave_status"] == "err" {
		found("the last snapshot of the server has failed", "look into its log: mostly its disk is full, or it may not fork")
	}
	if c.info["aof_last_write_status"] == "err" || c.info["aof_last_bgrewrite_status"] == "err" {
		found("the server could not write its append-only file the last time", "look into its log: mostly its disk is full")
	}
	switch {
	case c.info["aof_enabled"] != "1": // [serverWarnings] says it
	case c.appendSync == "":
		all = append(all, sink.Finding{
			Kind: sink.Unseen,
			Text: "how often the server syncs its append-only file was not seen: this user may not ask for appendfsync",
			Fix:  "run on the server: CONFIG GET appendfsync; it is to be everysec",
		})
	case c.appendSync == "no":
		found("the server leaves it to the system when its append-only file is synced (appendfsync no): a crash of its machine takes back "+
			"about half a minute, which is loaded again", "run on the server: CONFIG SET appendfsync everysec")
	}
	return all
}

// speed returns what makes loading slower.
func (c condition) speed() (all []sink.Finding) {
	found := func(text, fix string) { all = append(all, sink.Finding{Kind: sink.Speed, Text: text, Fix: fix}) }
	if c.roundTrip > farAway {
		found(fmt.Sprintf("a round trip to the server takes %v, and each commit needs several", c.roundTrip.Round(time.Millisecond)),
			"run the sink on a machine that is nearer to the server")
	}
	if c.info["aof_enabled"] == "1" && c.appendSync == "always" {
		found("the server syncs its append-only file after every command (appendfsync always), "+
			"and what a crash takes back is loaded again anyway",
			"run on the server: CONFIG SET appendfsync everysec")
	}
	if fork := time.Duration(c.number("latest_fork_usec")) * time.Microsecond; fork > longFork {
		found(fmt.Sprintf("the server answered nobody for %v while it forked for its last snapshot", fork.Round(time.Millisecond)),
			"turn transparent huge pages off on its machine, or take snapshots on a replica alone")
	}
	return all
}
