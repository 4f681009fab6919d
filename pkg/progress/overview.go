package progress

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Overview is what a planner has found about a pipeline, over all its processes.
type Overview struct {
	Epoch        uint64
	Partitions   map[string]int // by state; those that failed only while their blocks are not brought otherwise
	FailedBlocks uint64
	Tasks        map[string]Tasks // by kind; nil: not counted yet
	Log          LogOverview
	Follows      bool // the live chain is wanted
	Sinks        map[string]SinkOverview
}

// Tasks is how busy the extractors are.
type Tasks struct{ Queued, Held, Idle int }

// LogOverview is how full the log is.
type LogOverview struct {
	Size, Limit uint64 // bytes; without a limit nothing is known yet
	Entries     uint64
}

// SinkOverview is what a planner has found about a sink, over all its processes.
type SinkOverview struct {
	Wanted, Missing uint64            // blocks of the history
	Pending         map[string]uint64 // by lane: entries of the log that are not acknowledged
	Acknowledged    map[string]uint64 // by lane: the sequence up to which all are
	Behind          uint64            // blocks of the live chain in the log and not in the destination
	Oldest          time.Time         // when the first live entry was published that is not acknowledged; zero: there is none

	ReplayBlocks, ReplayLeft uint64 // of a replay that is not done
	ReplayFailed             bool

	Pruned         uint64 // the first block that was not pruned; 0: none was
	UnbuiltIndexes int
	IndexingFailed bool
}

// SetOverview sets what a planner has found.
func (m *Meter) SetOverview(o Overview) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.overview = &o
}

// Extracts records that this process reads from Amp.
func (m *Meter) Extracts() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.extracts = true
}

// Applies records that this process writes to a sink's destination.
func (m *Meter) Applies(sink string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.sink(sink)
	s.applies, s.judged = true, true
}

// commits counts the commits of a sink in this process.
type commits struct {
	count   uint64
	entries uint64
	took    time.Duration
	last    time.Time
}

// Committed counts a commit of a sink and its entries.
func (m *Meter) Committed(sink string, entries int, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &m.sink(sink).commits
	c.count++
	c.entries += uint64(entries)
	c.took += took
	c.last = m.now()
}

// Refused counts rows that a destination has refused to this process, and that became dead
// letters.
func (m *Meter) Refused(sink string, rows int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sink(sink).refused += uint64(rows)
}

// SetDeadLetters sets how many dead letters a sink has.
func (m *Meter) SetDeadLetters(sink string, letters uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sink(sink).letters = &letters
}

// lag is how long entries were in the log before a sink committed them.
type lag struct {
	long time.Duration
	at   time.Time // of the commit
}

// lagWindow is how long the lag of a commit counts for a sink.
const lagWindow = speedWindow * time.Second

// Behind records that a sink has committed entries just now of which the first was in the
// log for so long.
func (m *Meter) Behind(sink string, long time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sink(sink).behind = lag{max(0, long), m.now()}
}

// lag returns how far a sink is behind the log; false: it has committed nothing lately.
func (s *sinkMeter) lag(now time.Time) (time.Duration, bool) {
	return s.behind.long, !s.behind.at.IsZero() && now.Sub(s.behind.at) < lagWindow
}

// kindOf returns the part as metrics name it: without the number of a partition or
// worker, of which there may be thousands.
func kindOf(part string) string {
	for _, kind := range []string{"partition", "worker"} {
		if strings.HasPrefix(part, kind+" ") {
			return kind
		}
	}
	return part
}

var (
	descWaitingParts = newDesc("ampipe_waiting_parts", "Parts of the pipeline that wait for something, by kind.", "part")
	descLongestWait  = newDesc("ampipe_longest_wait_seconds", "For how long the part of this kind waits that has waited the longest.", "part")

	descCommits    = newDesc("ampipe_sink_commit_duration_seconds", "Commits of this process, and the time that they took.", "sink")
	descEntries    = newDesc("ampipe_sink_entries_total", "Entries of the log committed by this process.", "sink")
	descRefused    = newDesc("ampipe_sink_refused_rows_total", "Rows refused to this process that became dead letters.", "sink")
	descLetters    = newDesc("ampipe_sink_dead_letters", "Dead letters that the sink has.", "sink")
	descLastCommit = newDesc("ampipe_sink_last_commit_timestamp_seconds", "When this process committed last.", "sink")

	descEpoch        = newDesc("ampipe_epoch", "Number of the epoch. It grows when the live lane begins anew.")
	descPartitions   = newDesc("ampipe_partitions", "Partitions of the history, by state.", "state")
	descFailedBlocks = newDesc("ampipe_failed_blocks", "Blocks of the history that were given up.")
	descQueued       = newDesc("ampipe_queued_tasks", "Tasks that no extractor has taken.", "kind")
	descHeld         = newDesc("ampipe_held_tasks", "Tasks that extractors work on.", "kind")
	descIdle         = newDesc("ampipe_idle_workers", "Workers of extractors that wait for a task.", "kind")
	descLogSize      = newDesc("ampipe_log_size_bytes", "Bytes that the log holds.")
	descLogLimit     = newDesc("ampipe_log_limit_bytes", "Bytes that the log may hold.")
	descLogEntries   = newDesc("ampipe_log_entries", "Entries that the log holds.")
	descWanted       = newDesc("ampipe_sink_wanted_blocks", "Blocks of the history that the sink needs.", "sink")
	descMissing      = newDesc("ampipe_sink_missing_blocks",
		"Blocks of the history that the destination lacks and that have not failed.", "sink")
	descPending      = newDesc("ampipe_sink_pending_entries", "Entries of the log that the sink has not acknowledged.", "sink", "lane")
	descAcknowledged = newDesc("ampipe_sink_acknowledged_sequence",
		"Sequence of the log up to which the sink has acknowledged everything.", "sink", "lane")
	descReplayBlocks = newDesc("ampipe_sink_replay_blocks", "Blocks of the sink that are removed and loaded again; 0: none are.", "sink")
	descReplayLeft   = newDesc("ampipe_sink_replay_left_blocks", "Of them, those that are still to be loaded.", "sink")
	descReplayFailed = newDesc("ampipe_sink_replay_failed", "1 if the last replay of the sink has failed.", "sink")

	descPruned         = newDesc("ampipe_sink_pruned_block", "First block of the sink that was not pruned; 0: none was.", "sink")
	descUnbuilt        = newDesc("ampipe_sink_unbuilt_indexes", "Indexes that the destination is to have and does not have yet.", "sink")
	descIndexingFailed = newDesc("ampipe_sink_indexing_failed", "1 if they could not be built, until they can.", "sink")

	descLagBlocks  = newDesc("ampipe_sink_lag_blocks", "Blocks of the live chain that the log has and the destination lacks.", "sink")
	descLagSeconds = newDesc("ampipe_sink_lag_seconds",
		"Age of the first entry of the live lane that the sink has not acknowledged; 0 if there is none.", "sink")
)

// collectOverview sends what the planner has found.
func (m *Meter) collectOverview(send sender) {
	o := m.overview
	if o == nil {
		return
	}
	send.gauge(descEpoch, float64(o.Epoch))
	for state, n := range o.Partitions {
		send.gauge(descPartitions, float64(n), state)
	}
	send.gauge(descFailedBlocks, float64(o.FailedBlocks))
	for kind, load := range o.Tasks {
		send.gauge(descQueued, float64(load.Queued), kind)
		send.gauge(descHeld, float64(load.Held), kind)
		send.gauge(descIdle, float64(load.Idle), kind)
	}
	if o.Log.Limit > 0 {
		send.gauge(descLogSize, float64(o.Log.Size))
		send.gauge(descLogLimit, float64(o.Log.Limit))
		send.gauge(descLogEntries, float64(o.Log.Entries))
	}
	for name, s := range o.Sinks {
		send.gauge(descWanted, float64(s.Wanted), name)
		send.gauge(descMissing, float64(s.Missing), name)
		send.gauge(descReplayBlocks, float64(s.ReplayBlocks), name)
		send.gauge(descReplayLeft, float64(s.ReplayLeft), name)
		send.gauge(descReplayFailed, truth(s.ReplayFailed), name)
		send.gauge(descPruned, float64(s.Pruned), name)
		send.gauge(descUnbuilt, float64(s.UnbuiltIndexes), name)
		send.gauge(descIndexingFailed, truth(s.IndexingFailed), name)
		for lane, n := range s.Pending {
			send.gauge(descPending, float64(n), name, lane)
		}
		for lane, seq := range s.Acknowledged {
			send.gauge(descAcknowledged, float64(seq), name, lane)
		}
		if !o.Follows {
			continue
		}
		send.gauge(descLagBlocks, float64(s.Behind), name)
		lag := time.Duration(0)
		if !s.Oldest.IsZero() {
			lag = max(0, m.now().Sub(s.Oldest))
		}
		send.gauge(descLagSeconds, lag.Seconds(), name)
	}
}

// collectWaits sends what kinds of parts wait, and for how long.
func (m *Meter) collectWaits(send sender) {
	count, longest := map[string]int{}, map[string]time.Duration{}
	for kind := range m.parts { // one that waited returns to zero instead of ending
		count[kind] = 0
	}
	for part, w := range m.condition.waits {
		kind := kindOf(part)
		count[kind]++
		longest[kind] = max(longest[kind], m.now().Sub(w.Since))
	}
	for kind, n := range count {
		send.gauge(descWaitingParts, float64(n), kind)
		send.gauge(descLongestWait, longest[kind].Seconds(), kind)
	}
}

// collectCommits sends what a sink has committed in this process.
func (s *sinkMeter) collectCommits(send sender, name string) {
	c := s.commits
	send.count(descEntries, float64(c.entries), name)
	send.count(descRefused, float64(s.refused), name)
	send <- prometheus.MustNewConstSummary(descCommits, c.count, c.took.Seconds(), nil, name)
	if !c.last.IsZero() {
		send.gauge(descLastCommit, float64(c.last.UnixMilli())/1000, name)
	}
}
