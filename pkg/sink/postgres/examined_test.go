package postgres

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/sink"
)

// sound is a server, and a table, of which nothing is to be said.
func sound() condition {
	return condition{
		user: "loader", roundTrip: time.Millisecond, age: 1000,
		settings: serverSettings{
			"autovacuum": "on", "checkpoint_completion_target": "0.9", "checkpoint_timeout": "900", "fsync": "on",
			"full_page_writes": "on", "idle_session_timeout": "0", "max_slot_wal_keep_size": "-1", "max_wal_size": "16384",
			"synchronous_commit": "on", "synchronous_standby_names": "", "track_counts": "on", "wal_level": "replica",
		},
		tables: []vacuumed{{`public.logs`, true, 5_000_000, 1_000_001}, {`ampipe.coverage`, true, 10, 999_999}},
	}
}

func TestWhatIsSaidOfAServer(t *testing.T) {
	t.Parallel()
	set := func(name, value string) func(*condition) { return func(c *condition) { c.settings[name] = value } }
	insert := hindrance{table: "public.logs", kind: "trigger", name: "notify", events: onInsert, remedy: "DROP TRIGGER notify ON public.logs"}
	altering := insert
	altering.events |= forRow | before // Warnings says it
	for name, c := range map[string]struct {
		is   func(*condition)
		kind sink.FindingKind
		want []string // parts of the only finding; none: there is none
	}{
		"nothing":                   {is: func(*condition) {}},
		"an older server":           {is: func(c *condition) { c.settings = serverSettings{} }},
		"no fsync":                  {set("fsync", "off"), sink.Safety, []string{"fsync is off", "ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf()"}},
		"no full pages":             {set("full_page_writes", "off"), sink.Safety, []string{"full_page_writes is off"}},
		"no autovacuum":             {set("autovacuum", "off"), sink.Safety, []string{"autovacuum is off: dead rows stay"}},
		"no statistics":             {set("track_counts", "off"), sink.Safety, []string{"track_counts is off"}},
		"a small WAL":               {set("max_wal_size", "1024"), sink.Speed, []string{"max_wal_size is 1024 MiB", "max_wal_size = '16GB'"}},
		"the least WAL that is not": {is: set("max_wal_size", "4096")},
		"many checkpoints":          {set("checkpoint_timeout", "60"), sink.Speed, []string{"checkpoint_timeout is 60 s"}},
		"hasty checkpoints":         {set("checkpoint_completion_target", "0.5"), sink.Speed, []string{"checkpoint_completion_target is 0.5"}},
		"short sessions":            {set("idle_session_timeout", "5000"), sink.Speed, []string{"idle_session_timeout is 5000 ms", `ALTER ROLE "loader" SET`}},
		"long sessions":             {is: set("idle_session_timeout", "600000")},
		"a standby":                 {set("synchronous_standby_names", "*"), sink.Speed, []string{"synchronous_commit = on", "synchronous_commit = local"}},
		"a standby that nobody waits for": {is: func(c *condition) {
			c.settings["synchronous_standby_names"], c.settings["synchronous_commit"] = "*", "local"
		}},
		"a level that nobody needs": {set("wal_level", "logical"), sink.Speed, []string{"wal_level is logical", "wal_level = replica"}},
		"a level that somebody needs": {is: func(c *condition) {
			c.settings["wal_level"], c.slots = "logical", []slot{{"copy", true, true, 5 << 20}}
		}},
		"a slot that nobody reads": {func(c *condition) { c.slots = []slot{{"it's", false, false, 7 << 20}} },
			sink.Safety, []string{`slot "it's", which keeps 7 MiB`, `pg_drop_replication_slot(E'it''s')`}},
		"a slot that is bounded": {is: func(c *condition) {
			c.slots, c.settings["max_slot_wal_keep_size"] = []slot{{"copy", false, false, 7 << 20}}, "1024"
		}},
		"a table without autovacuum": {func(c *condition) { c.tables[0].auto = false },
			sink.Safety, []string{"the table public.logs", "ALTER TABLE public.logs RESET (autovacuum_enabled)"}},
		"dead rows":  {func(c *condition) { c.tables[0].live = 1_500_000 }, sink.Speed, []string{"1000001 dead rows", "VACUUM public.logs"}},
		"old":        {func(c *condition) { c.age = 1_500_000_000 }, sink.Safety, []string{"is 1500000000 transactions old"}},
		"far away":   {func(c *condition) { c.roundTrip = 25 * time.Millisecond }, sink.Speed, []string{"takes 25ms"}},
		"an index":   {func(c *condition) { c.invalid = []string{"public.i"} }, sink.Speed, []string{"the index public.i is invalid"}},
		"a trigger":  {func(c *condition) { c.triggers = []hindrance{insert} }, sink.Speed, []string{"trigger notify on public.logs", insert.remedy}},
		"before":     {is: func(c *condition) { c.triggers = []hindrance{altering} }},
		"on updates": {is: func(c *condition) { c.triggers = []hindrance{{kind: "trigger", events: onUpdate}} }},
		"a publication": {func(c *condition) { c.publications = []publication{{"feed", true, false, []string{"public.logs"}}} },
			sink.Safety, []string{`the publication "feed" brings new rows of public.logs`, `run ALTER TABLE public.logs REPLICA IDENTITY FULL; ALTER PUBLICATION "feed" SET (publish = 'insert, delete, update')`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			is := sound()
			c.is(&is)
			got := slices.Concat(is.safety(&tableSpec{schema: "public", table: "logs"}), is.speed(onInsert|onDelete))
			if len(c.want) == 0 && len(got) == 0 {
				return
			}
			if len(got) != 1 || len(c.want) == 0 || got[0].Kind != c.kind {
				t.Fatalf("got %+v", got)
			}
			for _, part := range c.want {
				if text := got[0].Text + "\n" + got[0].Fix; !strings.Contains(text, part) {
					t.Errorf("no %q in %s", part, text)
				}
			}
		})
	}
}
