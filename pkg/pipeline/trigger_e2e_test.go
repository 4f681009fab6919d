package pipeline_test

import (
	"strings"
	"testing"
)

// TestTriggerThatSwallowsRows: check tells of it, a run ends with an error that names it
// and the way out, and covers nothing; without it everything is loaded.
func TestTriggerThatSwallowsRows(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]string{
		"append": "",
		"upsert": ", mode: upsert, key: [block_num, log_index]",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newCommandEnv(t)
			amp, _ := e.devserver("--chain", "eth_rpc", "--blocks", "500", "--logs-per-block", "20")
			file := e.oneSink(amp, logs, 100, embedded, options, "")
			e.must("ampipe", "run", "-c", file)
			loaded := e.number("SELECT count(*) FROM " + e.schema + ".rows")

			e.exec("CREATE FUNCTION " + e.schema + ".swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.log_index % 10 = 7 THEN RETURN NULL; END IF; RETURN NEW; END $$")
			e.exec("CREATE TRIGGER swallow BEFORE INSERT ON " + e.schema + ".rows FOR EACH ROW EXECUTE FUNCTION " + e.schema + ".swallow()")
			file = e.oneSink(amp, logs, 120, embedded, options, "")
			if out := e.must("ampipe", "check", "-c", file); !strings.Contains(out, "warning   warehouse: the trigger swallow") {
				t.Errorf("check prints\n%s", out)
			}
			code, out := e.run("ampipe", "run", "-c", file)
			if code == 0 || !strings.Contains(out, "trigger swallow") || !strings.Contains(out, "DROP TRIGGER swallow ON "+e.schema+".rows") {
				t.Errorf("the run ends with %d\n%s", code, out)
			}
			if rows := e.number("SELECT count(*) FROM " + e.schema + ".rows"); rows != loaded {
				t.Errorf("%d rows, %d before", rows, loaded)
			}
			covered := "SELECT max(upper(blocks)) FROM ampipe.coverage c JOIN ampipe.tables t ON t.id = c.table_id WHERE schema_name = '" + e.schema + "'"
			if end := e.number(covered); end != 100 {
				t.Errorf("covered up to block %d", end)
			}

			e.exec("DROP TRIGGER swallow ON " + e.schema + ".rows")
			e.must("ampipe", "run", "-c", file)
			e.must("ampipe", "verify", "-c", file)
			if end := e.number(covered); end != 120 {
				t.Errorf("covered up to block %d in the end", end)
			}

			e.exec("CREATE RULE stay AS ON DELETE TO " + e.schema + ".rows DO INSTEAD NOTHING")
			for _, command := range []string{"check", "run"} {
				code, out := e.run("ampipe", command, "-c", file)
				if code != 2 || !strings.Contains(out, "DROP RULE stay ON "+e.schema+".rows") {
					t.Errorf("with a rule %s ends with %d\n%s", command, code, out)
				}
			}
		})
	}
}
