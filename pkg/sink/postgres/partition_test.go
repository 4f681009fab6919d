package postgres_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/postgres"
)

// bounds returns the partitions of t, in the order of their names.
func (d *database) bounds() string {
	return d.text(`SELECT string_agg(c.relname || ' ' || replace(pg_get_expr(c.relpartbound, c.oid), '''', ''), ', ' ORDER BY length(c.relname), c.relname)
		FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 't'::regclass`)
}

// divided is a table whose partitions have so many blocks.
func (d *database) divided(blocks uint64) config.Postgres {
	cfg := d.config()
	cfg.PartitionBy.Blocks = blocks
	return cfg
}

// TestPartitionsAreMadeAsBlocksCome: in the order in which parts of the history come, from
// several processes at once, without a failed call; each has what the table has.
func TestPartitionsAreMadeAsBlocksCome(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	cfg := db.divided(50)
	processes := []sink.Writer{open(t, cfg, small), open(t, cfg, small), open(t, cfg, small)}
	const entries, size = 120, 10
	order := rand.New(rand.NewPCG(1, 2)).Perm(entries)
	var group sync.WaitGroup
	for g := range 12 {
		group.Go(func() {
			for i := g; i < entries; i += 12 {
				from := block.Number(order[i] * size)
				if _, err := processes[g%3].Apply(t.Context(), []sink.Change{rows(from, from+size)}); err != nil {
					t.Errorf("blocks from %d: %v", from, err)
				}
			}
		})
	}
	group.Wait()
	var want []string
	for from := 0; from < entries*size; from += 50 {
		want = append(want, fmt.Sprintf("t_p%d FOR VALUES FROM (%d) TO (%d)", from, from, from+50))
	}
	if got := db.bounds(); got != strings.Join(want, ", ") {
		t.Errorf("the partitions are %s", got)
	}
	if n := db.text("SELECT count(DISTINCT block_num) || ' ' || count(*) FROM t"); n != "1200 1200" {
		t.Errorf("the table holds %s blocks and rows", n)
	}
	if n := db.text("SELECT count(*) FROM pg_class WHERE relname LIKE 't\\_p%' AND relkind = 'r' AND relreplident <> 'f'"); n != "0" {
		t.Errorf("%s partitions have no replica identity", n)
	}
	if n := db.text("SELECT count(*) FROM pg_index WHERE indrelid = 't_p100'::regclass"); n != "1" {
		t.Errorf("a partition has %s indexes", n)
	}
}

// TestReorgTouchesItsPartition: what a reorg deletes is looked for where it is.
func TestReorgTouchesItsPartition(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	w := open(t, db.divided(50), small)
	if err := insist(t.Context(), w, rows(0, 200)); err != nil {
		t.Fatal(err)
	}
	plan := db.lines(t, "EXPLAIN DELETE FROM t WHERE block_num >= 170 AND block_num < 180")
	if !strings.Contains(plan, "t_p150") || strings.Contains(plan, "t_p0") || strings.Contains(plan, "t_p100") {
		t.Errorf("it is planned as %s", plan)
	}
}

func (d *database) lines(t *testing.T, sql string) string {
	t.Helper()
	found, err := d.Query(context.Background(), sql)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(found, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, "\n")
}

// TestPartitionsOfAnotherSize: those that are there stay, also a plain table that was made
// one, as the guide has it, and those that come fill what is left.
func TestPartitionsOfAnotherSize(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	w := open(t, db.config(), small)
	if err := insist(t.Context(), w, rows(0, 120)); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, postgres.New(db.divided(50)).Check(t.Context(), small), "public.t", "plain", "take partition_by out", "docs/postgres.md")
	db.run(`ALTER TABLE t RENAME TO t_before; CREATE TABLE t (LIKE t_before INCLUDING DEFAULTS) PARTITION BY RANGE (block_num);
		ALTER TABLE t ATTACH PARTITION t_before FOR VALUES FROM (0) TO (130)`)
	first := open(t, db.divided(50), small)
	if err := insist(t.Context(), first, rows(120, 160)); err != nil {
		t.Fatal(err)
	}
	second := open(t, db.divided(200), small)
	if err := insist(t.Context(), second, rows(160, 420)); err != nil {
		t.Fatal(err)
	}
	if err := insist(t.Context(), first, rows(420, 430), rows(640, 650)); err != nil {
		t.Fatal(err)
	}
	const want = "t_p130 FOR VALUES FROM (130) TO (150), t_p150 FOR VALUES FROM (150) TO (200), t_p200 FOR VALUES FROM (200) TO (400), " +
		"t_p400 FOR VALUES FROM (400) TO (600), t_p600 FOR VALUES FROM (600) TO (650), t_before FOR VALUES FROM (0) TO (130)"
	if got := db.bounds(); got != want {
		t.Errorf("the partitions are %s", got)
	}
	if n := db.text("SELECT count(DISTINCT block_num) || ' ' || count(*) FROM t"); n != "440 440" {
		t.Errorf("the table holds %s blocks and rows", n)
	}
}

// TestPartitionIsGone: one that somebody has detached is made again when rows for it come, if
// its name is free.
func TestPartitionIsGone(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	w := open(t, db.divided(50), small)
	if err := insist(t.Context(), w, rows(0, 20)); err != nil {
		t.Fatal(err)
	}
	db.run("ALTER TABLE t DETACH PARTITION t_p0")
	_, err := w.Apply(t.Context(), []sink.Change{rows(20, 30)})
	wantRefused(t, err, "public.t", "t_p0", "detached")
	db.run("ALTER TABLE t_p0 RENAME TO archived")
	if _, err := w.Apply(t.Context(), []sink.Change{rows(20, 30)}); err != nil {
		t.Fatal(err)
	}
	if n := db.text("SELECT count(*) || ' ' || (SELECT count(*) FROM archived) FROM t"); n != "10 20" {
		t.Errorf("the table and the partition that is gone hold %s rows", n)
	}
}

// TestPartitionsWaitForNobody: a partition is added beside a transaction that reads the
// table, and beside one that has written to it.
func TestPartitionsWaitForNobody(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	w := open(t, db.divided(50), small)
	if err := insist(t.Context(), w, rows(0, 20)); err != nil {
		t.Fatal(err)
	}
	db.run("BEGIN; SELECT count(*) FROM t; INSERT INTO t VALUES (3, 3, 'others')")
	if _, err := w.Apply(t.Context(), []sink.Change{rows(100, 110)}); err != nil {
		t.Fatal(err)
	}
	db.run("ROLLBACK")
}

func TestWhatCannotBeDivided(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	for i, c := range []struct {
		name   string
		create string
		change func(*config.Postgres)
		want   []string
	}{
		{"by another column", "", func(c *config.Postgres) { c.PartitionBy.Column = "n" }, []string{`"n"`, `"block_num"`}},
		{"a key without the block", "", upsertByN, []string{"partition_by", `lacks the block column "block_num"`}},
		{"a name that is too long", "", func(c *config.Postgres) { c.Table = strings.Repeat("t", 43) }, []string{"43 bytes", "42"}},
		{"a plain table", "", nil, []string{"plain", "take partition_by out"}},
		{"by a list", "PARTITION BY LIST (n)", nil, []string{"something else", `"block_num"`}},
		{"by two columns", "PARTITION BY RANGE (block_num, n)", nil, []string{"something else"}},
		{"with a default", "PARTITION BY RANGE (block_num); CREATE TABLE %[1]s_rest PARTITION OF %[1]s DEFAULT", nil, []string{"DEFAULT", "DETACH"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := db.divided(50)
			cfg.Table = fmt.Sprintf("t%d", i)
			db.run(strings.ReplaceAll(fmt.Sprintf(`CREATE TABLE %[1]s (block_num bigint, n bigint, "Name" text) `, cfg.Table)+c.create, "%[1]s", cfg.Table))
			if c.change != nil {
				c.change(&cfg)
			}
			wantRefused(t, postgres.New(cfg).Check(t.Context(), small), c.want...)
			w := postgres.New(cfg)
			wantRefused(t, w.Open(t.Context(), small), c.want...)
		})
	}
	user := db.role("loader")
	db.run(`CREATE TABLE t (block_num bigint, n bigint, "Name" text) PARTITION BY RANGE (block_num); GRANT ALL ON t TO ` + user + `; GRANT CREATE ON DATABASE ` + db.Config().Database + ` TO ` + user)
	cfg := db.divided(50)
	cfg.DSN = config.Secret(db.as(user))
	wantRefused(t, postgres.New(cfg).Check(t.Context(), small), "does not own", "OWNER TO")
	db.run("ALTER TABLE t OWNER TO " + user + "; REVOKE CREATE ON SCHEMA public FROM PUBLIC")
	wantRefused(t, postgres.New(cfg).Check(t.Context(), small), "partitions in the schema", "GRANT CREATE")
}
