package postgres

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/ampipe/ampipe/pkg/sink"
)

// serverSettings are the settings of a server by name, as pg_settings has them: numbers are in
// the unit of the setting.
type serverSettings map[string]string

// settingsExamined are those that are looked at.
var settingsExamined = []string{
	"autovacuum", "checkpoint_completion_target", "checkpoint_timeout", "fsync", "full_page_writes", "idle_session_timeout",
	"max_slot_wal_keep_size", "max_wal_size", "synchronous_commit", "synchronous_standby_names", "track_counts", "wal_level",
}

// is reports whether a setting is known and has the value.
func (s serverSettings) is(name, value string) bool { return s[name] == value }

// below reports whether a setting is known and a number below a limit.
func (s serverSettings) below(name string, limit float64) bool {
	n, err := strconv.ParseFloat(s[name], 64)
	return err == nil && n < limit
}

// What is called slow, old or small.
const (
	farAway       = 10 * time.Millisecond // of a round trip
	oldAge        = 1_000_000_000         // transactions; the server stops at about twice as many
	smallWAL      = 4 << 10               // MiB, of max_wal_size
	oftenTimeout  = 300                   // seconds, of checkpoint_timeout
	hastyTarget   = 0.7                   // of checkpoint_completion_target
	shortSession  = 60_000                // milliseconds, of idle_session_timeout
	manyDead      = 1_000_000             // rows, and half as many as live ones
	manyDeadShare = 2
)

// alter returns the statements that change a setting of the server.
func alter(name, value string) string {
	return "run ALTER SYSTEM SET " + name + " = " + value + "; SELECT pg_reload_conf()"
}

// safety returns what endangers what is loaded, or the server.
func (c condition) safety(g *tableSpec) (all []sink.Finding) {
	found := func(text, fix string) { all = append(all, sink.Finding{Kind: sink.Safety, Text: text, Fix: fix}) }
	if c.settings.is("fsync", "off") {
		found("fsync is off: a crash of the server's machine may damage the database for good", alter("fsync", "on"))
	}
	if c.settings.is("full_page_writes", "off") {
		found("full_page_writes is off: a crash of the server's machine may damage pages that were being written",
			alter("full_page_writes", "on"))
	}
	switch {
	case c.settings.is("autovacuum", "off"):
		found("autovacuum is off: dead rows stay, the planner's statistics get old, and at last the server takes no more writes",
			alter("autovacuum", "on"))
	case c.settings.is("track_counts", "off"):
		found("track_counts is off, so autovacuum does not see which tables have changed", alter("track_counts", "on"))
	}
	for _, t := range c.tables {
		if !t.auto {
			found("autovacuum is off for the table "+t.name+": its dead rows stay", "run ALTER TABLE "+t.name+" RESET (autovacuum_enabled)")
		}
	}
	if c.age > oldAge {
		found(fmt.Sprintf("the oldest transaction that is not frozen is %d transactions old, and at about %d the server takes no more writes",
			c.age, 2*oldAge), "run VACUUM (FREEZE), and end what keeps autovacuum back: old transactions, prepared ones, and replication slots")
	}
	for _, s := range c.slots {
		if !s.active && c.settings.is("max_slot_wal_keep_size", "-1") {
			found(fmt.Sprintf("nobody reads the replication slot %q, which keeps %d MiB of WAL and all that comes, until the disk is full",
				s.name, s.kept>>20), "run SELECT pg_drop_replication_slot("+literal(s.name)+"), or bound what slots keep: "+
				alter("max_slot_wal_keep_size", "'64GB'"))
		}
	}
	for _, p := range c.publications {
		what := "insert, delete"
		if p.update {
			what += ", update"
		}
		if p.truncate {
			what += ", truncate"
		}
		first := ""
		for _, name := range p.nameless {
			first += "ALTER TABLE " + name + " REPLICA IDENTITY FULL; "
		}
		found(fmt.Sprintf("the publication %q brings new rows of %s to its subscribers and not their deletion: "+
			"what a reorg takes back here stays there", p.name, g),
			"run "+first+"ALTER PUBLICATION "+quoted(p.name)+" SET (publish = '"+what+"')")
	}
	return all
}

// speed returns what makes loading slower. events are those by which rows are changed.
func (c condition) speed(events int16) (all []sink.Finding) {
	found := func(text, fix string) { all = append(all, sink.Finding{Kind: sink.Speed, Text: text, Fix: fix}) }
	if c.roundTrip > farAway {
		found(fmt.Sprintf("a round trip to the server takes %v, and each transaction needs several", c.roundTrip.Round(time.Millisecond)),
			"run the sink on a machine that is nearer to the server")
	}
	waits := c.settings["synchronous_commit"]
	if c.settings["synchronous_standby_names"] != "" && slices.Contains([]string{"on", "remote_write", "remote_apply"}, waits) {
		found("each transaction waits for a standby (synchronous_commit = "+waits+"), and what a failover takes back is loaded again anyway",
			"run ALTER ROLE "+quoted(c.user)+" SET synchronous_commit = local")
	}
	if c.settings.below("max_wal_size", smallWAL) {
		found("max_wal_size is "+c.settings["max_wal_size"]+" MiB: loading the history fills it again and again, and each time "+
			"a checkpoint writes all pages and the WAL grows by whole pages after it", alter("max_wal_size", "'16GB'"))
	}
	if c.settings.below("checkpoint_timeout", oftenTimeout) {
		found("checkpoint_timeout is "+c.settings["checkpoint_timeout"]+" s: after each checkpoint whole pages go to the WAL",
			alter("checkpoint_timeout", "'15min'"))
	}
	if c.settings.below("checkpoint_completion_target", hastyTarget) {
		found("checkpoint_completion_target is "+c.settings["checkpoint_completion_target"]+": "+
			"checkpoints write in bursts, and transactions wait",
			alter("checkpoint_completion_target", "0.9"))
	}
	if c.settings.is("wal_level", "logical") && !slices.ContainsFunc(c.slots, func(s slot) bool { return s.logical }) {
		found("wal_level is logical, so more is written, and no logical replication slot reads it",
			"run ALTER SYSTEM SET wal_level = replica, and restart the server")
	}
	if c.settings.below("idle_session_timeout", shortSession) && !c.settings.is("idle_session_timeout", "0") {
		found("idle_session_timeout is "+c.settings["idle_session_timeout"]+" ms: between two blocks the server ends the session, and "+
			"the next block waits for a new one", "run ALTER ROLE "+quoted(c.user)+" SET idle_session_timeout = 0")
	}
	for _, h := range c.triggers {
		if h.kind == "trigger" && !h.alters(events) && h.events&events != 0 {
			found(fmt.Sprintf("the %s runs whenever rows are written", h), "if nobody needs it, run "+h.remedy)
		}
	}
	for _, name := range c.invalid {
		found("the index "+name+" is invalid: it is kept up to date, and no query uses it",
			"if nobody is making it now, run DROP INDEX "+name+" or REINDEX INDEX CONCURRENTLY "+name)
	}
	for _, t := range c.tables {
		if t.auto && t.dead > manyDead && t.dead > t.live/manyDeadShare {
			found(fmt.Sprintf("the table %s has about %d dead rows beside %d live ones: autovacuum does not keep up", t.name, t.dead, t.live),
				"run VACUUM "+t.name+", and lower its autovacuum_vacuum_cost_delay")
		}
	}
	return all
}
