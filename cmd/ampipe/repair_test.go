package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/pipeline"
	"github.com/ampipe/ampipe/pkg/status"
)

// followed is three, but it follows the chain.
var followed = strings.NewReplacer("range: { max_block: 40 }", "range: { reorg_buffer: 5 }",
	"path: ./lake", "path: ./lake, max_commit_delay: 500ms").Replace(three)

// ended is three, and all of it is history.
var ended = strings.Replace(three, "max_block: 40", "max_block: 40, reorg_buffer: 5", 1)

// ofThree returns a site with the three destinations of a configuration.
func ofThree(t *testing.T, config string, args ...string) (*site, *warehouseSite, *redis.Client) {
	t.Helper()
	s := &site{T: t, dir: t.TempDir(), amp: ampServer(t, args...), vars: map[string]string{}}
	pg := newWarehouse(s)
	table := s.vars["URL"]
	client := s.redisServer()
	s.vars["CACHE"], s.vars["URL"] = s.vars["URL"], table
	s.configure(config)
	return s, pg, client
}

// compared runs verify with --json and returns what it has found of each sink.
func (s *site) compared(exit int, args ...string) map[string]pipeline.Verified {
	s.Helper()
	code, out, complaints := ampipe(s.T, s.dir, append([]string{"verify", "--json"}, args...)...)
	if code != exit {
		s.Fatalf("verify %q: exit code %d, want %d\n%s%s", args, code, exit, out, complaints)
	}
	all := map[string]pipeline.Verified{}
	for line := range strings.Lines(out) {
		var one pipeline.Verified
		err := json.Unmarshal([]byte(line), &one)
		if err != nil {
			s.Fatalf("%v: %s", err, line)
		}
		all[one.Sink] = one
	}
	return all
}

// removeFile removes the file of the lake that holds the first block.
func (s *site) removeFile() {
	s.Helper()
	versions, err := filepath.Glob(filepath.Join(s.dir, "lake", "_delta_log", "*.json"))
	if err != nil {
		s.Fatal(err)
	}
	for _, version := range versions {
		text, err := os.ReadFile(version)
		if err != nil {
			s.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			var action struct {
				Add struct {
					Path string            `json:"path"`
					Tags map[string]string `json:"tags"`
				} `json:"add"`
			}
			err := json.Unmarshal([]byte(line), &action)
			if err != nil {
				s.Fatal(err)
			}
			if action.Add.Tags["ampipe.minBlock"] != "0" {
				continue
			}
			err = os.Remove(filepath.Join(s.dir, "lake", action.Add.Path))
			if err != nil {
				s.Fatal(err)
			}
			return
		}
	}
	s.Fatalf("no file of the versions %v holds the first block", versions)
}

// key returns a key of a block in the cache.
func (s *site) key(client *redis.Client, n string) string {
	s.Helper()
	keys, err := client.Keys(s.Context(), "*:"+n+":*").Result()
	if err != nil || len(keys) == 0 {
		s.Fatalf("the keys of block %s are %v: %v", n, keys, err)
	}
	slices.Sort(keys)
	return keys[0]
}

// numbers returns what a query of one column of numbers selects.
func (p *warehouseSite) numbers(query string) (all []int64) {
	p.Helper()
	rows, err := p.admin.Query(p.Context(), query)
	if err != nil {
		p.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var n int64
		err := rows.Scan(&n)
		if err != nil {
			p.Fatal(err)
		}
		all = append(all, n)
	}
	return all
}

// TestRepair spoils each of three destinations of a pipeline that runs, and has verify mend
// exactly what differs.
func TestRepair(t *testing.T) {
	t.Parallel()
	s, pg, client := ofThree(t, followed, "--live", "--block-time", "500ms")
	s.start("run")
	s.overview("live", func(o status.Overview) bool { return strings.HasPrefix(o.Sentence, "live; everything loaded; ") })
	for name, v := range s.compared(ops.ExitDone) {
		if v.Result != "equal" || v.Blocks < 50 || v.Equal != v.Blocks || v.Rows < 200 || len(v.Differences) != 0 || v.Repair != nil {
			t.Errorf("%s: %+v", name, v)
		}
	}

	pg.run(`DELETE FROM public.logs WHERE block_num = 5;
		DELETE FROM public.logs WHERE block_num = 6 AND log_index = 0;
		UPDATE public.logs SET address = '\x00' WHERE block_num = 9 AND log_index = 1;
		INSERT INTO public.logs SELECT 1000000, log_index, address FROM public.logs WHERE block_num = 3`)
	gone, changed := s.key(client, "12"), s.key(client, "13")
	s.redisDo(client, "DEL "+gone)
	s.redisDo(client, "HSET "+changed+" address changed")
	before := pg.numbers("SELECT xmin::text::bigint FROM public.logs WHERE block_num < 15 AND block_num NOT IN (5, 6, 9) ORDER BY ctid")

	found := s.compared(ops.ExitIncomplete)
	want := func(v pipeline.Verified, differing, missing, surplus uint64, blocks ...block.Number) {
		t.Helper()
		if v.Result != "different" || v.Differing != differing || v.Missing != missing || v.Surplus != surplus || v.Equal+differing+missing+surplus != v.Blocks {
			t.Errorf("%+v", v)
		}
		var named []block.Number
		for _, d := range v.Differences {
			for n := d.Start; n < d.End; n++ {
				named = append(named, n)
			}
		}
		if !slices.Equal(named, blocks) {
			t.Errorf("%s: blocks %v differ, want %v", v.Sink, named, blocks)
		}
	}
	want(found["pg"], 2, 1, 1, 5, 6, 9, 1_000_000)
	want(found["cache"], 2, 0, 0, 12, 13)
	if v := found["lake"]; v.Result != "equal" {
		t.Errorf("%+v", v)
	}
	code, out := s.command(firstMinute, "", "verify", "--repair", "--dry-run")
	if code != ops.ExitIncomplete || lineWith(out, "pg: 3 blocks of sink pg are removed and loaded again, 3 from the log and 0 from Amp: [5, 7) [9, 10)") == "" ||
		lineWith(out, "pg: rows are removed of 1 block that did not come yet: [1000000, 1000001)") == "" ||
		lineWith(out, "cache: 2 blocks of sink cache are removed and loaded again, 2 from the log and 0 from Amp: [12, 14)") == "" {
		t.Errorf("a dry run: exit code %d\n%s", code, out)
	}
	for line := range strings.Lines(out) {
		row := strings.HasPrefix(line, "SINK ") || strings.HasPrefix(line, "pg  ") || strings.HasPrefix(line, "cache  ")
		if row && len(strings.TrimSpace(line)) > 80 {
			t.Errorf("a line of the table is %q", line)
		}
	}

	found = s.compared(ops.ExitDone, "--repair")
	for name, blocks := range map[string]uint64{"pg": 4, "cache": 2, "lake": 0} {
		if v := found[name]; v.Result != "equal" || v.Repair == nil || v.Repair.Outcome != "repaired" || v.Repair.Equal != blocks || len(v.Repair.Left) != 0 {
			t.Errorf("%s: %+v, %+v", name, v, v.Repair)
		}
	}
	after := pg.numbers("SELECT xmin::text::bigint FROM public.logs WHERE block_num < 15 AND block_num NOT IN (5, 6, 9) ORDER BY ctid")
	if len(before) != 48 || !slices.Equal(before, after) {
		t.Errorf("rows of blocks that were equal were written again")
	}
	if n := pg.numbers("SELECT count(*) FROM public.logs WHERE block_num >= 1000000"); n[0] != 0 {
		t.Errorf("%d rows are where no block has come yet", n[0])
	}

	// What the destination does to the rows, no reading of them mends.
	pg.run(`CREATE FUNCTION public.alters() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.address := '\x01'; RETURN NEW; END $$;
		UPDATE public.logs SET address = '\x02' WHERE block_num = 20;
		CREATE TRIGGER alters BEFORE INSERT ON public.logs FOR EACH ROW WHEN (NEW.block_num = 20) EXECUTE FUNCTION public.alters()`)
	v := s.compared(ops.ExitIncomplete, "--repair")["pg"]
	if r := v.Repair; v.Differing != 1 || r.Outcome != "left" || len(r.Blocks) != 1 || r.Equal != 0 || len(r.Left) != 1 ||
		!strings.HasPrefix(r.Left[0].Reason, "they still differ after they were read from Amp again: ") {
		t.Errorf("%+v, %+v", v, r)
	}
	pg.run("DROP TRIGGER alters ON public.logs")

	s.removeFile()
	if v := s.compared(ops.ExitIncomplete)["lake"]; v.Unreadable == 0 || v.Equal+v.Unreadable != v.Blocks {
		t.Errorf("%+v", v)
	}
	found = s.compared(ops.ExitDone, "--repair")
	if v := found["pg"]; v.Repair.Outcome != "repaired" || v.Repair.Equal != 1 {
		t.Errorf("%+v, %+v", v, v.Repair)
	}
	if v := found["lake"]; v.Result != "equal" || v.Repair.Outcome != "repaired" || v.Repair.Equal == 0 {
		t.Errorf("%+v, %+v", v, v.Repair)
	}
	s.compared(ops.ExitDone)
}

// TestRepairAtTheHead leaves a block that a reorg may still replace, and says when it can be
// repaired; it repairs it if it may wait for that.
func TestRepairAtTheHead(t *testing.T) {
	t.Parallel()
	s := &site{T: t, dir: t.TempDir(), amp: ampServer(t, "--live", "--block-time", "300ms"), vars: map[string]string{}}
	pg := newWarehouse(s)
	s.configure(`pipeline: logs
source: { amp: $AMP, query: "SELECT block_num, log_index, address FROM eth.logs" }
range: { reorg_buffer: 60 }
nats: { embedded: ./nats }
log: { max_bytes: 64MiB }
sinks: [ { name: pg, postgres: { dsn: "$URL", table: logs } } ]
`)
	s.start("run")
	s.overview("live", func(o status.Overview) bool { return strings.HasPrefix(o.Sentence, "live; everything loaded; ") })
	pg.run(`UPDATE public.logs SET address = '\x00' WHERE block_num = (SELECT max(block_num) FROM public.logs)`)
	v := s.compared(ops.ExitIncomplete, "--repair")["pg"]
	if r := v.Repair; v.Differing != 1 || r == nil || r.Outcome != "left" || len(r.Left) != 1 || !strings.HasPrefix(r.Left[0].Reason, "a reorg may still replace blocks from ") {
		t.Fatalf("%+v, %+v", v, r)
	}
	v = s.compared(ops.ExitDone, "--repair", "--wait")["pg"]
	if r := v.Repair; v.Result != "equal" || r == nil || r.Outcome != "repaired" || r.Equal != 1 || len(r.Left) != 0 {
		t.Errorf("%+v, %+v", v, r)
	}
}

// TestRepairOfWhatDoesNotRun leaves what is to be done to the next run.
func TestRepairOfWhatDoesNotRun(t *testing.T) {
	t.Parallel()
	s, pg, client := ofThree(t, ended)
	code, out := s.command(firstMinute, "", "verify", "--dry-run")
	if code != ops.ExitConfig || lineWith(out, "--dry-run and --wait go with --repair") == "" {
		t.Errorf("exit code %d\n%s", code, out)
	}
	code, out = s.command(firstMinute, "", "run")
	if code != ops.ExitDone {
		t.Fatalf("run: exit code %d\n%s", code, out)
	}
	pg.run("DELETE FROM public.logs WHERE block_num IN (7, 8)")
	s.redisDo(client, "DEL "+s.key(client, "30"))
	s.removeFile()
	for name, v := range s.compared(ops.ExitIncomplete, "--repair") {
		if v.Result != "different" || v.Repair.Outcome != "asked" || len(v.Repair.Blocks) == 0 ||
			!slices.Contains(v.Notes, "no process runs the sink: it does that when it is started; compare again afterwards") {
			t.Errorf("%s: %+v, %+v", name, v, v.Repair)
		}
	}
	o := s.overview("asked", func(o status.Overview) bool {
		return o.Level == status.Degraded && strings.Contains(o.Sentence, "waits, and no process runs the sink")
	})
	if r := o.Pipelines[0].Sinks[0].Replay; r == nil || r.State != status.ReplayWaits || r.Blocks != 2 || r.Left != 2 {
		t.Errorf("status shows the replay %+v", r)
	}
	code, out = s.command(firstMinute, "", "verify", "--repair")
	if code != ops.ExitFailed || lineWith(out, `sink "pg" was not repaired: blocks [7, 9) of sink pg are being replayed already`) == "" {
		t.Errorf("a second time: exit code %d\n%s", code, out)
	}
	code, out = s.command(firstMinute, "", "run")
	if code != ops.ExitDone {
		t.Fatalf("run: exit code %d\n%s", code, out)
	}
	s.compared(ops.ExitDone)
}
