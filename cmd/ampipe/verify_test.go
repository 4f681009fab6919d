package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/ops"
)

// verified runs verify and returns its output, if it ends with the exit code.
func (s *site) verified(exit int, says ...string) string {
	s.Helper()
	code, out := s.command(firstMinute, "", "verify")
	if code != exit {
		s.Errorf("verify: exit code %d, want %d\n%s", code, exit, out)
	}
	for _, says := range says {
		if lineWith(out, says) == "" {
			s.Errorf("verify does not say %q:\n%s", says, out)
		}
	}
	for line := range strings.Lines(out) {
		if len(line) > 700 {
			s.Errorf("verify says a line of %d characters: %s", len(line), line)
		}
	}
	return out
}

// three has a table, a lake and a cache of the same rows.
const three = `
pipeline: logs
source: { amp: $AMP, query: "SELECT block_num, log_index, address FROM eth.logs" }
range: { max_block: 40 }
nats: { embedded: ./nats }
sinks:
  - { name: pg, postgres: { dsn: "$URL", table: logs } }
  - { name: lake, delta: { path: ./lake } }
  - { name: cache, redis: { url: "$CACHE", table: log, key: [block_num, log_index] } }
`

// Values that a destination cannot return are differences of their blocks, and the other
// blocks and sinks are compared.
func TestVerifyNamesWhatADestinationCannotReadBack(t *testing.T) {
	t.Parallel()
	s := &site{T: t, dir: t.TempDir(), amp: ampServer(t), vars: map[string]string{}}
	pg := newWarehouse(s)
	table := s.vars["URL"]
	client := s.redisServer()
	s.vars["CACHE"], s.vars["URL"] = s.vars["URL"], table
	s.configure(three)
	if code, out := s.command(firstMinute, "", "run"); code != 0 {
		t.Fatalf("run: exit code %d\n%s", code, out)
	}
	const equal = "160 rows in 40 blocks of [0, 40) are equal in source and destination"
	s.verified(0, "pg: "+equal, "lake: "+equal, "cache: "+equal)

	pg.run(`ALTER TABLE public.logs RENAME TO kept;
		CREATE FUNCTION public.unreadable(n bigint, v bytea) RETURNS bytea LANGUAGE plpgsql AS $$ BEGIN
			IF n IN (17, 23) THEN RAISE EXCEPTION USING ERRCODE = 'XX001', MESSAGE = 'missing chunk number 0'; END IF; RETURN v; END $$`)
	pg.run(view(pg, "unreadable"))
	s.verified(ops.ExitIncomplete,
		"pg: block 17: cannot be compared: the destination cannot read it back: ", "pg: block 23: cannot be compared: ", "missing chunk number 0",
		`sink "pg": 2 of 40 blocks differ from the source; 2 of them cannot be compared`, "lake: "+equal, "cache: "+equal)
	pg.run("DROP VIEW public.logs; ALTER TABLE public.kept RENAME TO logs; DELETE FROM public.logs WHERE block_num = 5")

	keys, err := client.Keys(t.Context(), "*:9:*").Result()
	if err != nil || len(keys) != 4 {
		t.Fatalf("the keys of block 9 are %v: %v", keys, err)
	}
	s.redisDo(client, "DEL "+keys[0])
	s.redisDo(client, "RPUSH "+keys[0]+" x")
	files, err := filepath.Glob(filepath.Join(s.dir, "lake", "*.parquet"))
	if err != nil || len(files) == 0 {
		t.Fatalf("the files of the table are %v: %v", files, err)
	}
	damage(t, files[0])
	out := s.verified(ops.ExitIncomplete,
		"pg: block 5: 4 rows in the source, 0 in the destination", `sink "pg": 1 of 40 blocks differ from the source`,
		`cache: block 9: cannot be compared: the destination cannot read it back: key "`+keys[0]+`": WRONGTYPE`,
		"lake: block", ": cannot be compared: the destination cannot read it back: read ")
	if strings.Contains(out, "cache: block 10") {
		t.Errorf("blocks that are equal are named:\n%s", out)
	}

	s.vars["URL"] = "postgres://127.0.0.1:1/nowhere"
	s.configure(three)
	out = s.verified(ops.ExitFailed, `sink "pg" was not compared: `, "cache: block 9: cannot be compared: ", "lake: block")
	if n := strings.Count(out, "was not compared"); n != 1 {
		t.Errorf("%d sinks were not compared:\n%s", n, out)
	}
}

// view returns the statement that puts a view over the rows of kept in the place of logs,
// with each address passed through a function.
func view(p *warehouseSite, function string) string {
	return "CREATE VIEW public.logs AS SELECT block_num, log_index, public." + function + "(block_num, address) AS address FROM public.kept; GRANT SELECT ON public.logs TO " + p.loader +
		"; GRANT SELECT ON public.kept TO CURRENT_USER"
}

// damage overwrites the middle of a file.
func damage(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 4; i < len(data)/2; i++ {
		data[i] = 0xff
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A row that the source refuses is a difference of its block, in each sink: also where a
// row replaces those of earlier blocks, so that all blocks are read at once.
func TestVerifyNamesWhatTheSourceRefuses(t *testing.T) {
	t.Parallel()
	s := &site{T: t, dir: t.TempDir(), amp: ampServer(t), vars: map[string]string{}}
	s.vars["CACHE"] = "unix://" + s.redisServer().Options().Addr
	s.configure(`
pipeline: logs
source: { amp: $AMP, query: "SELECT _block_num, CASE WHEN _block_num IN (7, 30) THEN CAST(value AS TINYINT) ELSE 0 END AS v FROM eth.transactions" }
range: { max_block: 40, reorg_buffer: 5 }
nats: { embedded: ./nats }
sinks: [ { name: lake, delta: { path: ./lake } }, { name: newest, redis: { url: "$CACHE", table: tx, key: [v] } } ]
`)
	if code, out := s.command(2*firstMinute, "", "run"); code != ops.ExitIncomplete {
		t.Fatalf("run: exit code %d\n%s", code, out)
	}
	const summary = `: 2 of 40 blocks differ from the source; 2 of them cannot be compared`
	out := s.verified(ops.ExitIncomplete,
		"lake: block 7: cannot be compared: the source cannot send it: ", "lake: block 30: cannot be compared: ",
		"newest: block 7: cannot be compared: ", "newest: block 30: cannot be compared: ", `sink "lake"`+summary, `sink "newest"`+summary)
	if n := strings.Count(out, "cannot be compared: "); n != 4 {
		t.Errorf("%d differences:\n%s", n, out)
	}
}

// A row of the source that a destination could not hold is a difference of its block.
func TestVerifyNamesWhatADestinationCouldNotHold(t *testing.T) {
	t.Parallel()
	s := &site{T: t, dir: t.TempDir(), amp: ampServer(t), vars: map[string]string{}}
	newWarehouse(s)
	note := "CASE WHEN block_num = 12 THEN 'a' || chr(0) || 'b' ELSE 'c' END AS note"
	s.configure(strings.NewReplacer("address FROM", note+" FROM", "max_block: 40", "max_block: 40, reorg_buffer: 5").Replace(warehouse))
	if code, out := s.command(2*firstMinute, "", "run"); code == 0 {
		t.Fatalf("run: exit code %d\n%s", code, out)
	}
	out := s.verified(ops.ExitIncomplete, "pg: block 12: cannot be compared: the destination could not hold a row of the source: ", "1 of them cannot be compared")
	if n := strings.Count(out, "cannot be compared: "); n != 1 {
		t.Errorf("%d blocks cannot be compared:\n%s", n, out)
	}
}

func TestVerifyComparesTheOtherSinks(t *testing.T) {
	t.Parallel()
	s := &site{T: t, dir: t.TempDir(), amp: ampServer(t), vars: map[string]string{}}
	s.configure(strings.Replace(lake, "sinks: [ ", "sinks: [ { name: gone, delta: { path: ./gone } }, ", 1))
	if code, out := s.command(firstMinute, "", "run"); code != ops.ExitDone {
		t.Fatalf("run: exit code %d\n%s", code, out)
	}
	if err := os.RemoveAll(filepath.Join(s.dir, "gone")); err != nil {
		t.Fatal(err)
	}
	code, out := s.command(firstMinute, "", "verify")
	if code != ops.ExitFailed || lineWith(out, `sink "gone" was not compared: `) == "" || lineWith(out, "lake: 160 rows in 40 blocks") == "" {
		t.Errorf("exit code %d\n%s", code, out)
	}
}
