package postgres_test

import (
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/postgres"
)

// What refuses rows says what to do about it, and that helps.
func TestWhatRefusesRows(t *testing.T) {
	t.Parallel()
	const plain = `CREATE TABLE t (block_num bigint, n bigint, "Name" text); CREATE TABLE other (n bigint PRIMARY KEY); `
	for _, c := range []struct {
		name, makes, says, mends string
		config                   func(*config.Postgres)
	}{
		{name: "a unique index", makes: plain + `CREATE UNIQUE INDEX ON t (n); INSERT INTO t VALUES (100, 3)`,
			says: "set mode: upsert with its columns as key, or run DROP INDEX", mends: "DROP INDEX t_n_idx"},
		{name: "a unique index, and a key", makes: plain + `CREATE UNIQUE INDEX ON t (n); INSERT INTO t VALUES (0, 3)`,
			says: "set mode: upsert with its columns as key", config: func(c *config.Postgres) { c.Mode, c.Key = config.Upsert, []string{"n"} }},
		{name: "a check", makes: plain + `ALTER TABLE t ADD CONSTRAINT small CHECK (n < 3)`,
			says: "filter such rows out in the query, or run ALTER TABLE", mends: "ALTER TABLE t DROP CONSTRAINT small"},
		{name: "a partition that is missing", makes: strings.Replace(plain, `text)`, `text) PARTITION BY RANGE (block_num)`, 1) + `CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (0) TO (3)`,
			says: "CREATE TABLE … PARTITION OF … DEFAULT", mends: "CREATE TABLE t_2 PARTITION OF t DEFAULT"},
		{name: "a foreign key of the table", makes: plain + `ALTER TABLE t ADD CONSTRAINT refers FOREIGN KEY (n) REFERENCES other`,
			says: "violates foreign key constraint", mends: "ALTER TABLE t DROP CONSTRAINT refers"},
		{name: "a column that a trigger does not find", makes: plain + `CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.none = 1; RETURN NEW; END';
				CREATE TRIGGER wrong BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()`,
			says: "a trigger, or a function that the table calls, raised an error; mend or drop it", mends: "DROP TRIGGER wrong ON t"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t)
			db.run(c.makes)
			cfg := db.config()
			_, err := open(t, cfg, small).Apply(t.Context(), []sink.Change{rows(0, 5)})
			wantRefused(t, err, c.says)
			if c.config != nil {
				c.config(&cfg)
				db.run("DELETE FROM ampipe.tables")
			} else {
				db.run(c.mends)
			}
			if err := insist(t.Context(), open(t, cfg, small), rows(0, 5)); err != nil {
				t.Errorf("mended as advised: %v", err)
			}
		})
	}
}

// A right is missing that no catalog of the table has: that on the sequence which numbers
// its rows.
func TestASequenceOfOthers(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	user, cfg := db.loader()
	db.run(`CREATE TABLE t (id bigserial PRIMARY KEY, block_num bigint, n bigint, "Name" text); GRANT SELECT, INSERT, DELETE ON t TO ` + user)
	err := postgres.New(cfg).Check(t.Context(), small)
	wantRefused(t, err, `the default of column "id" takes numbers from a sequence`)
	wantRefused(t, postgres.New(cfg).Open(t.Context(), small), `the default of column "id" takes numbers from a sequence`)
	db.advised(err.Error(), `GRANT USAGE ON SEQUENCE \S+ TO \S+`)
	if err := insist(t.Context(), open(t, cfg, small), rows(0, 5)); err != nil {
		t.Errorf("mended as advised: %v", err)
	}
}
