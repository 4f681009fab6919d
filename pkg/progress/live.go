package progress

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
)

// liveMeter is what a process sees of the live lane.
type liveMeter struct {
	known       bool
	head        block.Number // the last that is complete in the log
	reorgs      uint64
	reorgsKnown bool // how many reorgs there were before this process
}

// liveSink is how far a sink is in the live lane.
type liveSink struct {
	known   bool
	number  block.Number  // the last watermark applied
	lacks   time.Time     // when the extractor heard of the first block above it, at the earliest
	behind  time.Duration // from hearing of the blocks to their commit, the last time
	at      time.Time     // of that commit
	latency latency
}

// Seen records that the log has the live chain up to a block, of which the extractor
// heard at the time given.
func (m *Meter) Seen(head block.Number, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.sinks {
		if s.live.known && (!m.live.known || s.live.number >= m.live.head) {
			s.live.lacks = at
		}
	}
	m.live.known, m.live.head = true, head
}

// Reorged counts a reorg.
func (m *Meter) Reorged() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.live.reorgs++
}

// Reorgs sets how many reorgs there were since the pipeline began.
func (m *Meter) Reorgs(n uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.live.reorgs, m.live.reorgsKnown = max(m.live.reorgs, n), true
}

// Reached records that a sink has committed the live chain up to a block, of which the
// extractor heard at the time given (zero: unknown).
func (m *Meter) Reached(sink string, number block.Number, seen time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &m.sink(sink).live
	now := m.now()
	s.known, s.number, s.lacks, s.at = true, number, now, now
	if !seen.IsZero() {
		s.lacks = seen
		s.behind = max(0, now.Sub(seen))
		s.latency.add(s.behind)
	}
}

// Live returns, for people, how far the live chain is in every sink, and how many reorgs
// there were, or "" if it is not followed.
func (m *Meter) Live() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	slowest := m.slowestLive()
	if slowest == nil {
		return ""
	}
	return fmt.Sprintf("up to block %s, %s", Grouped(uint64(slowest.number)), Counted(m.live.reorgs, "reorg"))
}

// slowestLive returns how far the sink is that is the furthest behind of those that
// have not stopped, or nil if none is known.
func (m *Meter) slowestLive() *liveSink {
	var slowest *liveSink
	for _, s := range m.sinks {
		if s.stopped.reason == "" && s.live.known && (slowest == nil || s.live.number < slowest.number ||
			(s.live.number == slowest.number && s.live.behind > slowest.behind)) {
			slowest = &s.live
		}
	}
	return slowest
}

// quietAfter is how long the latency of its last block counts for a sink that has had no
// other since.
const quietAfter = time.Minute

// livePart returns where the slowest sink is, and how long ago the extractor heard of
// the first block that it lacks or, where it lacks none, how long the last took. On a
// chain that stands still it is at the head.
func (m *Meter) livePart(now time.Time) string {
	slowest := m.slowestLive()
	if slowest == nil {
		if !m.live.known {
			return ""
		}
		return "live " + Grouped(uint64(m.live.head)) + " in the log"
	}
	behind := slowest.behind
	switch lacks := m.live.known && slowest.number < m.live.head; {
	case lacks:
		behind = max(behind, now.Sub(slowest.lacks))
	case now.Sub(slowest.at) < quietAfter:
	case m.live.known:
		return "live " + Grouped(uint64(slowest.number)) + " (at head)"
	default: // another process follows the chain
		return "live " + Grouped(uint64(slowest.number))
	}
	return fmt.Sprintf("live %s (%s behind head)", Grouped(uint64(slowest.number)), Duration(behind))
}

// Grouped writes a number with commas: 19,876,543.
func Grouped(n uint64) string {
	text := strconv.FormatUint(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// Counted writes a number of things for people: 1 row, 2,000 entries.
func Counted[N ~int | ~int64 | ~uint64](n N, what string) string {
	if n != 1 {
		stem, ends := strings.CutSuffix(what, "y") // no word of ours has a vowel before it, but for key
		if ends && !strings.HasSuffix(stem, "e") {
			what = stem + "ie"
		}
		what += "s"
	}
	return Grouped(uint64(n)) + " " + what
}

// latencyBounds are the upper bounds of the histogram, in seconds.
var latencyBounds = [...]float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300}

// latency is a histogram of times.
type latency struct {
	counts [len(latencyBounds)]uint64 // of those up to the bound and above the one before
	count  uint64
	sum    float64
}

func (l *latency) add(d time.Duration) {
	l.count++
	l.sum += d.Seconds()
	for i, bound := range latencyBounds {
		if d.Seconds() <= bound {
			l.counts[i]++
			return
		}
	}
}

// buckets returns the counts as a histogram has them, each with those below it.
func (l *latency) buckets() map[float64]uint64 {
	all := make(map[float64]uint64, len(latencyBounds))
	var sum uint64
	for i, bound := range latencyBounds {
		sum += l.counts[i]
		all[bound] = sum
	}
	return all
}
