package progress

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Line returns the state of the pipeline in one line:
//
//	history 4.1M/10M blocks 41 % | 96k rows/s | warehouse 94k rows/s, 1.2 s behind | eta 53 m
//	history 10M/10M blocks 100 % | 230 rows/s | warehouse 230 rows/s | live 19,876,543 (0.8 s behind head) | reorgs 3
//
// The history counts the blocks that every sink still running has committed. It begins with
// the sentence about the whole, as ampipe status says it, if this process knows it. What
// has stopped for good is named then, what is waited for last. Of a pipeline that
// has failed only the reason is shown. A process that runs one stage shows what it
// knows.
func (m *Meter) Line() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	return m.line(now, m.sentence(m.measured(now).state()))
}

func (m *Meter) line(now time.Time, sentence string) string {
	if reason := m.condition.failure.reason; reason != "" {
		return "FAILED: " + reason
	}
	var parts []string
	if sentence != "" {
		parts = append(parts, sentence)
	}
	for _, name := range slices.Sorted(maps.Keys(m.sinks)) {
		if reason := m.sinks[name].stopped.reason; reason != "" && (sentence == "" || !strings.Contains(sentence, reason)) {
			parts = append(parts, name+" STOPPED: "+reason)
		}
	}
	var eta time.Duration
	if total := m.history.Len(); total > 0 {
		var done uint64
		done, eta = m.slowest(now)
		parts = append(parts, fmt.Sprintf("history %s/%s blocks %d %%", Count(done), Count(total), done*100/total))
	}
	if m.rows > 0 {
		parts = append(parts, Count(uint64(m.speed.perSecond(now)))+" rows/s")
	}
	for _, name := range slices.Sorted(maps.Keys(m.sinks)) {
		if s := m.sinks[name]; s.stopped.reason == "" && (s.rows > 0 || (s.known && m.rows > 0)) {
			parts = append(parts, m.sinkPart(name, now))
		}
	}
	if live := m.livePart(now); live != "" {
		parts = append(parts, live)
	}
	if m.live.reorgs > 0 {
		parts = append(parts, fmt.Sprintf("reorgs %d", m.live.reorgs))
	}
	if len(parts) == 0 {
		parts = append(parts, "nothing to do yet")
	}
	if eta > 0 {
		parts = append(parts, "eta "+Duration(eta))
	}
	if waits := unsaid(sentence, m.waits()); len(waits) > 0 {
		more := ""
		if len(waits) > 1 {
			more = fmt.Sprintf(" (and %d more)", len(waits)-1)
		}
		parts = append(parts, fmt.Sprintf("%s waits: %s%s", waits[0].Part, waits[0].Reason, more))
	}
	return strings.Join(parts, " | ")
}

// slowest returns the blocks that every sink has that has not stopped, and how long
// the slowest one still takes at the pace since the start; 0 if that is not known
// yet.
func (m *Meter) slowest(now time.Time) (done uint64, eta time.Duration) {
	total := m.history.Len()
	done = total
	elapsed := now.Sub(m.started)
	for _, s := range m.sinks {
		if s.stopped.reason != "" {
			continue
		}
		done = min(done, s.covered)
		if gained := s.covered - min(s.covered, s.first); gained > 0 && s.covered < total {
			eta = max(eta, time.Duration(float64(elapsed)*float64(total-s.covered)/float64(gained)))
		}
	}
	return done, eta
}

func (m *Meter) sinkPart(name string, now time.Time) string {
	s := m.sinks[name]
	rate := s.speed.perSecond(now)
	text := fmt.Sprintf("%s %s rows/s", name, Count(uint64(rate)))
	if behind, known := s.lag(now); known {
		text += ", " + Duration(behind) + " behind"
	}
	return text
}

// Count writes a number with at most three digits and a magnitude: 950, 9.5k,
// 95k, 4.1M.
func Count(n uint64) string {
	const magnitudes = "kMGTPE"
	if n < 1000 {
		return strconv.FormatUint(n, 10)
	}
	f := float64(n)
	i := -1
	for f >= 999.5 {
		f /= 1000
		i++
	}
	digits := 0
	if f < 9.95 {
		digits = 1
	}
	return strings.TrimSuffix(strconv.FormatFloat(f, 'f', digits, 64), ".0") + magnitudes[i:i+1]
}

// Duration writes a time span for people: 0.4 s, 12 s, 53 m, 7 h.
func Duration(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	case d < 2*time.Minute:
		return strconv.Itoa(int(d.Seconds())) + " s"
	case d < 2*time.Hour:
		return strconv.Itoa(int(d.Minutes())) + " m"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d.Hours())) + " h"
	default:
		return strconv.Itoa(int(d.Hours()/24)) + " d"
	}
}
