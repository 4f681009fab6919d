package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/queue/queuetest"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
	"github.com/ampipe/ampipe/pkg/status"
)

// threeDestinations are blocks and logs of one chain, each in PostgreSQL, Delta Lake and
// Redis. The warehouse of logs puts the rows aside that its table refuses.
const threeDestinations = `
pipeline: blocks
source: { amp: $AMP, query: SELECT * FROM eth.blocks }
range: { min_block: 0, partition_size: 100, reorg_buffer: 8 }
nats: $WHERE
extract: { workers: 2, give_up_after: 1s }
log: { max_bytes: 64MiB }
sinks:
  - { name: warehouse, postgres: { dsn: "$URL", table: blocks, mode: upsert, key: [_block_num], partition_by: { column: _block_num, blocks: 1_000 }, indexes: [[hash]] } }
  - { name: lake, delta: { path: ./lake/blocks, max_commit_delay: 1s } }
  - { name: cache, redis: { url: "$CACHE", structure: hash, key: "block:{_block_num}" } }
---
pipeline: logs
source: { amp: $AMP, query: SELECT * FROM eth.logs }
range: { min_block: 0, partition_size: 100, reorg_buffer: 8 }
nats: $WHERE
extract: { workers: 2, give_up_after: 1s }
log: { max_bytes: 64MiB, dead_letter_bytes: 8MiB }
sinks:
  - { name: warehouse, postgres: { dsn: "$URL", table: logs, mode: upsert, key: [block_num, log_index], on_bad_row: dead_letter } }
  - { name: lake, delta: { path: ./lake/logs, max_commit_delay: 1s } }
  - { name: cache, redis: { url: "$CACHE", structure: hash, key: "log:{_block_num}:{log_index}" } }
`

// TestEveryCommand runs each command against two pipelines with three destinations that
// follow a chain: with the embedded NATS server, and with a cluster of three. The table of
// blocks is divided, and gets an index when the history is loaded.
func TestEveryCommand(t *testing.T) {
	t.Parallel()
	for i, where := range []string{"embedded", "three servers"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			control := freeAddress(t)
			d := &daySite{site: &site{T: t, dir: t.TempDir(), vars: map[string]string{}}, control: "http://" + control, listen: freeAddress(t)}
			d.emptyCache(11 + i)
			d.amp = ampServer(t, "--blocks", "200", "--live", "--block-time", "500ms", "--control", control)
			p := newWarehouse(d.site)
			d.vars["WHERE"] = "{ embedded: ./nats }"
			if where != "embedded" {
				d.vars["WHERE"] = fmt.Sprintf("{ url: %q, replicas: 3 }", natsCluster(t))
			}
			d.configure(threeDestinations)

			d.started()
			d.retried()
			d.putAside(p)
			d.steered()
			d.pruned(p)
			d.looked()
			d.ended()
		})
	}
}

// daySite is a site on which each command is tried.
type daySite struct {
	*site
	control string // URL of what switches the faults of the development server
	listen  string
	stopRun func()
}

// emptyCache takes a database of Redis, since pipelines and sinks are called as elsewhere.
func (d *daySite) emptyCache(database int) {
	d.Helper()
	at := os.Getenv("AMPIPE_TEST_REDIS")
	if at == "" {
		d.Skip("AMPIPE_TEST_REDIS is not set; see scripts/test")
	}
	at = replaced(d.site, at, func(u *url.URL) { u.RawQuery = fmt.Sprint("db=", database) })
	d.vars["CACHE"] = at
	o, err := redis.ParseURL(at)
	if err != nil {
		d.Fatal(err)
	}
	c := redis.NewClient(o)
	defer func() { _ = c.Close() }() // its work is done
	if err := c.FlushDB(d.Context()).Err(); err != nil {
		d.Fatal(err)
	}
}

// says runs a command and finds its exit code, and words in what it prints.
func (d *daySite) says(code int, words, line string) string {
	d.Helper()
	got, out, complaints := ampipe(d.T, d.dir, strings.Fields(line)...)
	for word := range strings.SplitSeq(words, " … ") {
		if got != code || !strings.Contains(out+complaints, word) {
			d.Errorf("ampipe %s: exit code %d, want %d and %q in\n%s%s", line, got, code, word, out, complaints)
		}
	}
	return out
}

// post asks the control API of the development server for something.
func (d *daySite) post(method, path, body string) {
	d.Helper()
	r, err := http.NewRequestWithContext(d.Context(), method, d.control+path, strings.NewReader(body))
	if err != nil {
		d.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		d.Fatal(err)
	}
	if err := answer.Body.Close(); err != nil || answer.StatusCode >= 300 {
		d.Fatalf("%s %s: %s, %v", method, path, answer.Status, err)
	}
}

// started checks, plans and starts, on a server that fails while the history is read.
func (d *daySite) started() {
	d.Helper()
	d.says(ops.ExitDone, "Everything is in order. Next: ampipe plan logs", "check")
	d.says(ops.ExitDone, "pipeline  blocks … pipeline  logs … blocks each", "plan")
	d.post(http.MethodPost, "/faults", `{"bandwidth": 5000}`)
	run := d.start("run", "--listen", d.listen)
	d.stopRun = func() {
		if err := run.Process.Signal(os.Interrupt); err != nil {
			d.Fatal(err)
		}
		_ = run.Wait() // its exit code is not asked for
	}
	running := func(o status.Overview) bool {
		for _, p := range o.Pipelines {
			if p.Partitions.Running == 0 {
				return false
			}
		}
		return len(o.Pipelines) == 2
	}
	d.overview("the history is read", running)
	d.post(http.MethodPost, "/faults", `{"status": {"at": "doget", "code": "INTERNAL", "text": "the storage is away", "times": 0}}`)
	d.post(http.MethodPost, "/streams/cut", "")
	d.overview("blocks have failed", func(o status.Overview) bool {
		return !slices.ContainsFunc(o.Pipelines, func(p status.Pipeline) bool {
			// Workers that are idle split a partition, so how many there are is not known.
			return p.Partitions.Failed == 0 || p.Partitions.Failed+p.Partitions.Done != p.Partitions.Total()
		})
	})
	d.post(http.MethodDelete, "/faults", "")
}

// retried loads what has failed.
func (d *daySite) retried() {
	d.Helper()
	d.says(ops.ExitIncomplete, "could not be read … next: `ampipe failed` shows why", "status")
	d.says(ops.ExitIncomplete, " of … the storage is away … ampipe retry logs --all", "failed")
	d.says(ops.ExitDone, "failed  gave up after … the storage is away", "results --failed")
	d.says(ops.ExitDone, "none of these blocks has failed", "retry logs 1M")
	d.says(ops.ExitDone, "blocks: blocks [ … logs: blocks [ … are queued again; they are loaded now", "retry --all")
	d.live("everything is loaded")
	d.says(ops.ExitDone, "blocks: no block has failed … logs: no block has failed", "failed")
}

func (d *daySite) live(what string) {
	d.Helper()
	d.overview(what, func(o status.Overview) bool {
		return o.Level == status.Healthy && strings.HasPrefix(o.Sentence, "all 2 pipelines are live; everything loaded; ")
	})
}

// putAside has the warehouse refuse a row of the history, and loads it when it is taken.
func (d *daySite) putAside(p *warehouseSite) {
	d.Helper()
	p.run("ALTER TABLE logs ADD CONSTRAINT odd CHECK (block_num <> 17 OR log_index <> 1) NOT VALID")
	d.says(ops.ExitDone, "1 block of sink warehouse is removed and loaded again", "replay logs warehouse 17 --dry-run")
	d.says(ops.ExitDone, "the sink does it now", "replay logs warehouse 17")
	d.overview("a row is put aside", func(o status.Overview) bool {
		return o.Level == status.Degraded && strings.Contains(o.Sentence, "warehouse has put 1 row aside")
	})
	d.says(ops.ExitIncomplete, "blocks: no dead letters … logs      warehouse  1     1          17     17 … violates check constraint", "dlq list")
	d.says(ops.ExitDone, `logs: sink warehouse, block 17, row … "log_index":1,`, "dlq show 17 logs")
	d.says(ops.ExitDone, "warehouse: 1 row of 1 block is a dead letter, and not in the destination", "verify logs")
	p.run("ALTER TABLE logs DROP CONSTRAINT odd")
	d.says(ops.ExitDone, "sink warehouse has 1 dead letter", "dlq replay logs --all --dry-run")
	d.says(ops.ExitDone, "the sink does it now", "dlq replay logs --all")
	d.until("dlq list logs") // 0: there are none
	d.says(ops.ExitDone, "logs: no dead letters", "dlq drop logs --all")
	d.says(ops.ExitDone, "are equal in source and destination", "verify")
}

// replayed waits until a replay is done.
func (d *daySite) replayed(what string) {
	d.Helper()
	d.until("replay " + what + " --dry-run")
}

// until waits until a command ends with the exit code 0.
func (d *daySite) until(line string) {
	d.Helper()
	for deadline := time.Now().Add(firstMinute); ; time.Sleep(100 * time.Millisecond) {
		code, out, complaints := ampipe(d.T, d.dir, strings.Fields(line)...)
		if code == ops.ExitDone {
			return
		}
		if time.Now().After(deadline) {
			d.Fatalf("ampipe %s: exit code %d\n%s%s", line, code, out, complaints)
		}
	}
}

// steered pauses, resumes and replays.
func (d *daySite) steered() {
	d.Helper()
	d.says(ops.ExitDone, "blocks: sink cache is paused … logs: sink cache is paused", "pause cache")
	d.says(ops.ExitIncomplete, "cache is paused by ampipe pause since … next: ampipe resume cache", "status")
	d.says(ops.ExitDone, "blocks: sink cache continues … logs: sink cache continues", "resume cache")
	for _, sink := range []string{"lake", "cache"} {
		what := "blocks " + sink + " 50:60"
		d.says(ops.ExitDone, "10 blocks of sink "+sink+" are removed and loaded again", "replay "+what)
		d.replayed(what)
	}
	d.live("what was steered is live")
}

// pruned drops the rows of old blocks from the warehouse of blocks, whose index is there.
func (d *daySite) pruned(p *warehouseSite) {
	d.Helper()
	d.serves(d.listen, `ampipe_sink_unbuilt_indexes{pipeline="blocks",sink="warehouse"} 0`)
	if n := p.numbers("SELECT count(*) FROM pg_index i WHERE i.indisvalid AND i.indrelid IN ('blocks'::regclass, 'blocks_p0'::regclass) AND NOT i.indisprimary " +
		"AND pg_get_indexdef(i.indexrelid) LIKE '% USING btree (hash)'"); n[0] != 2 {
		d.Errorf("the table and its partition have %d indexes", n[0])
	}
	const what = "what sink warehouse has of blocks below 40 "
	d.says(ops.ExitDone, what+"would be pruned: 0 partitions dropped … and 40 rows deleted", "prune blocks warehouse --before 40 --dry-run")
	d.says(ops.ExitDone, what+"is pruned: 0 partitions dropped … and 40 rows deleted", "prune blocks warehouse --before 40")
	if n := p.numbers("SELECT min(_block_num) FROM blocks"); n[0] != 40 {
		d.Errorf("the first block is %d", n[0])
	}
	d.overview("pruned", func(o status.Overview) bool { return o.Pipelines[0].Sinks[0].Pruned == 40 })
	d.says(ops.ExitDone, "pruned     warehouse below block 40", "status blocks")
	d.serves(d.listen, `ampipe_sink_pruned_block{pipeline="blocks",sink="warehouse"} 40`)
	d.says(ops.ExitDone, "warehouse: blocks below 40 were pruned, and are not compared … are equal", "verify blocks")
	d.says(ops.ExitDone, "holds none of these blocks (those below block 40 were pruned)", "replay blocks warehouse :30")
	d.live("what was pruned is live")
}

// serves waits until the process at an address serves a metric as it should be.
func (s *site) serves(address, line string) {
	s.Helper()
	for deadline := time.Now().Add(firstMinute); ; time.Sleep(100 * time.Millisecond) {
		text := s.get("http://" + address + "/metrics")
		if strings.Contains(text, "\n"+line+"\n") {
			return
		}
		if time.Now().After(deadline) {
			s.Fatalf("%s is not in\n%s", line, text)
		}
	}
}

// get returns what an address serves.
func (s *site) get(at string) string {
	s.Helper()
	r, err := http.NewRequestWithContext(s.Context(), http.MethodGet, at, http.NoBody)
	if err != nil {
		s.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	if err = errors.Join(err, answer.Body.Close()); err != nil || answer.StatusCode != http.StatusOK {
		s.Fatalf("%s: %s, %v", at, answer.Status, err)
	}
	return string(text)
}

// looked runs what only looks, or keeps order.
func (d *daySite) looked() {
	d.Helper()
	d.says(ops.ExitDone, "blocks: live; everything loaded … logs: live; everything loaded … warehouse  live", "status")
	d.says(ops.ExitDone, "blocks    0.0 … failed  … done … logs  ", "results")
	d.until("health readyz --address " + d.listen) // a sink looks once in a while what its history lacks
	d.says(ops.ExitDone, "", "health livez --address "+d.listen)
	d.says(ops.ExitIncomplete, "about safety", "doctor")
	d.says(ops.ExitDone, "block_num", "show --rows 2 --columns block_num")
	d.says(ops.ExitDone, "would be", "compact --dry-run")
	d.says(ops.ExitDone, "small files of ", "compact")
	d.says(ops.ExitDone, "would be removed", "vacuum --dry-run")
	d.says(ops.ExitDone, "removed", "vacuum")
	d.says(ops.ExitDone, "blocks: warehouse: … blocks: lake: … logs: cache: … are equal in source and destination", "verify")
}

// ended stops the pipelines and lets go what NATS has of them.
func (d *daySite) ended() {
	d.Helper()
	d.says(ops.ExitConfig, "cache", "forget cache logs")
	d.says(ops.ExitConfig, "blocks", "drop blocks --yes")
	d.stopRun()
	d.says(ops.ExitFailed, "was stopped … next: start ampipe run again", "status")
	d.says(ops.ExitDone, "logs: sink cache is forgotten", "forget cache logs")
	d.says(ops.ExitConfig, "blocks: the log, … nothing was removed: give --yes", "drop blocks")
	d.says(ops.ExitDone, "blocks: removed", "drop blocks --yes")
	var o status.Overview
	_, out, _ := ampipe(d.T, d.dir, "status", "--json", "blocks")
	if err := json.Unmarshal([]byte(out), &o); err != nil || !strings.HasSuffix(o.Sentence, "nothing was started yet") {
		d.Errorf("status of what was dropped: %v\n%s", err, out)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", sinktest.FreePort(t))
}

// natsCluster starts three NATS servers, of which each stream may have three replicas, and
// returns their URLs.
func natsCluster(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	var routes []*url.URL
	for range 3 {
		routes = append(routes, &url.URL{Scheme: "nats", Host: freeAddress(t)})
	}
	var nodes []*server.Server
	var urls []string
	for i, route := range routes {
		at, err := net.ResolveTCPAddr("tcp", route.Host)
		if err != nil {
			t.Fatal(err)
		}
		node := queuetest.Start(t, &server.Options{
			ServerName: fmt.Sprint("node", i), Host: "127.0.0.1", Port: server.RANDOM_PORT, MaxPayload: 8 << 20,
			JetStream: true, JetStreamMaxStore: 2 << 30, StoreDir: filepath.Join(dir, fmt.Sprint(i)),
			Cluster: server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: at.Port}, Routes: routes,
		})
		nodes, urls = append(nodes, node), append(urls, node.ClientURL())
	}
	for deadline := time.Now().Add(firstMinute); ; time.Sleep(20 * time.Millisecond) {
		for _, n := range nodes {
			if n.JetStreamIsLeader() && len(n.JetStreamClusterPeers()) == len(nodes) {
				return strings.Join(urls, ",")
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("the NATS servers have no leader")
		}
	}
}
