package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/ops"
)

// noted is the warehouse with a column that PostgreSQL refuses in some block: $BLOCK has a
// NUL character there. Refused rows are put aside.
var noted = strings.NewReplacer(
	"address FROM", "address, CASE WHEN block_num = $BLOCK THEN 'a' || chr(0) || 'b' ELSE 'c' END AS note FROM",
	"max_block: 40", "max_block: 40, reorg_buffer: 5", "$MORE", ", on_bad_row: dead_letter").Replace(warehouse)

func TestEnvironmentsOfDeadLetters(t *testing.T) {
	t.Parallel()
	onServer := strings.Replace(noted, "{ embedded: ./nats }", "{ url: nats://$NATS, user: u, password: p }", 1) +
		"log: { max_bytes: 64MiB }\n" // not what the disk happens to have
	try(t, []environment{{
		name:   "rows that a table does not take, and that are put aside",
		config: noted,
		breaks: func(s *site) {
			newWarehouse(s)
			s.vars["BLOCK"] = "7"
		},
		warns: true,
		says:  `the text holds a NUL character`,
		// Another query takes over; the rows of the one before stay aside.
		mends:  func(s *site) { s.vars["BLOCK"] = "100" },
		mended: noted,
	}, {
		name:   "a NATS user who may put nothing aside",
		config: onServer,
		breaks: func(s *site) {
			newWarehouse(s)
			s.vars["BLOCK"] = "7"
			s.server = s.nats(user("ampipe.dead.>"))
		},
		began: true,
		says:  `NATS does not allow user "u" to publish to "ampipe.dead.logs.pg.`,
		mends: mend(user("ampipe.other")),
	}, {
		name:   "a NATS server without room for dead letters",
		config: strings.Replace(onNATS("log: { max_bytes: 1728MiB }"), "./lake }", "./lake, on_bad_row: dead_letter }", 1),
		breaks: broke(roomy),
		says:   "384 MiB for tasks, state and dead letters (log.dead_letter_bytes)",
		mends:  func(s *site) { s.vars["MAX_BYTES"] = s.advised("lower log.max_bytes to") },
		mended: strings.Replace(onNATS("log: { max_bytes: $MAX_BYTES }"), "./lake }", "./lake, on_bad_row: dead_letter }", 1),
	}})
}

// TestDeadLetters loads what a warehouse refuses some rows of: by a value that the writer
// finds, and by a constraint that the server has.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	s := &site{T: t, dir: t.TempDir(), amp: ampServer(t), vars: map[string]string{"BLOCK": "12"}}
	p := newWarehouse(s)
	p.run("CREATE TABLE logs (block_num bigint, log_index bigint, address bytea, note text, " +
		"CONSTRAINT odd CHECK (block_num <> 30 OR log_index % 2 = 0)); ALTER TABLE logs OWNER TO " + p.loader)
	s.configure(noted)
	if code, out := s.command(firstMinute, "", "dlq", "list"); code != ops.ExitConfig || lineWith(out, "nothing was started with this configuration yet") == "" {
		t.Errorf("dlq list, before the start: exit code %d\n%s", code, out)
	}
	for range 2 {
		if code, out := s.command(2*firstMinute, "", "run"); code != ops.ExitDone {
			t.Fatalf("run: exit code %d\n%s", code, out)
		}
		s.verified(ops.ExitDone, "pg: 154 rows in 39 blocks of [0, 40) are equal in source and destination",
			"pg: 6 rows of 2 blocks are dead letters, and not in the destination; `ampipe dlq list` shows why")
	}
	code, out := s.command(firstMinute, "", "dlq", "list")
	if code != ops.ExitIncomplete || lineWith(out, "logs      pg    4     1          12     12 ") == "" ||
		lineWith(out, "SQLSTATE 23514") == "" || strings.Count(out, "\n") != 3 {
		t.Errorf("dlq list: exit code %d\n%s", code, out)
	}
	code, out, _ = ampipe(t, s.dir, "dlq", "show", "--json", "30", "logs", "--sink", "pg")
	type letter struct {
		Block  int
		Row    int
		Column string
		Error  string
		Source struct {
			Block int `json:"block_num"`
			Index int `json:"log_index"`
			Note  string
		}
	}
	var indices []int
	for line := range strings.Lines(out) {
		var l letter
		if err := json.Unmarshal([]byte(line), &l); err != nil || l.Block != 30 || l.Source.Block != 30 || l.Source.Note != "c" || l.Error == "" {
			t.Errorf("%v: %s", err, line)
		}
		indices = append(indices, l.Source.Index)
	}
	slices.Sort(indices)
	if !slices.Equal(indices, []int{1, 3}) || code != ops.ExitDone {
		t.Errorf("dlq show: exit code %d\n%s", code, out)
	}
	if code, out := s.command(firstMinute, "", "dlq", "show", "12"); code != ops.ExitDone ||
		lineWith(out, `of its entry, column "note", value "a\x00b": the text holds a NUL character`) == "" || strings.Count(out, "logs: sink pg, block 12, row ") != 4 {
		t.Errorf("dlq show: exit code %d\n%s", code, out)
	}
	if code, out := s.command(firstMinute, "", "dlq", "list", "--sink", "gp"); code != ops.ExitConfig || lineWith(out, `has no sink "gp"; it has pg`) == "" {
		t.Errorf("dlq list of a sink that is not there: exit code %d\n%s", code, out)
	}
	if code, out := s.command(firstMinute, "", "dlq", "drop"); code != ops.ExitConfig {
		t.Errorf("dlq drop of nothing: exit code %d\n%s", code, out)
	}
	if code, out := s.command(firstMinute, "", "forget", "pg"); code != ops.ExitConfig || lineWith(out, "sink pg has 6 dead letters, rows that are not in its destination") == "" {
		t.Errorf("forget of a sink with dead letters: exit code %d\n%s", code, out)
	}
	if code, out := s.command(firstMinute, "", "drop", "logs"); code != ops.ExitConfig || lineWith(out, "logs: 6 dead letters of sink pg, rows that are not in its destination") == "" {
		t.Errorf("drop of a pipeline with dead letters: exit code %d\n%s", code, out)
	}
	if code, out := s.command(firstMinute, "", "dlq", "drop", "30", "--json"); code != ops.ExitDone || out != `{"pipeline":"logs","sink":"pg","rows":2}`+"\n" {
		t.Errorf("dlq drop --json: exit code %d\n%s", code, out)
	}
	if code, out := s.command(firstMinute, "", "dlq", "drop", "--all"); code != ops.ExitDone || lineWith(out, "logs: 4 dead letters of sink pg dropped") == "" {
		t.Errorf("dlq drop: exit code %d\n%s", code, out)
	}
	s.verified(ops.ExitIncomplete, "pg: block 12: cannot be compared: the destination could not hold a row of the source: ",
		"pg: block 30: 4 rows in the source, 2 in the destination")
	if code, out := s.command(firstMinute, "", "dlq", "list"); code != ops.ExitDone || lineWith(out, "logs: no dead letters") == "" {
		t.Errorf("dlq list: exit code %d\n%s", code, out)
	}
}
