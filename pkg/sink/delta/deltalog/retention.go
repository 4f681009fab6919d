package deltalog

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Retention is how long at least the log remembers files that are gone, so that vacuum
// of any program spares them: the default of Delta.
const Retention = 7 * 24 * time.Hour

// retentionProperty is for how long a table wants it.
const retentionProperty = "delta.deletedFileRetentionDuration"

// retention returns how long tombstones are kept: what the table says, but not less
// than [Retention]. A table that says it in a way that we cannot read keeps them for
// ever.
func (s *Snapshot) retention() time.Duration {
	if s.MetaData == nil {
		return Retention
	}
	text, set := s.MetaData.Configuration[retentionProperty]
	if !set {
		return Retention
	}
	d, ok := parseInterval(text)
	if !ok {
		return math.MaxInt64
	}
	return max(d, Retention)
}

// VacuumRetention returns how long other programs spare files that left the table, and files
// that no version names yet, unless they are told something else.
func (s *Snapshot) VacuumRetention() time.Duration {
	if s.MetaData == nil {
		return Retention
	}
	d, ok := parseInterval(s.MetaData.Configuration[retentionProperty])
	if !ok {
		return Retention
	}
	return d
}

var intervalPart = regexp.MustCompile(`^\s*(\d+)\s+(week|day|hour|minute|second|millisecond|microsecond)s?\b`)

var intervalUnits = map[string]time.Duration{
	"week": 7 * 24 * time.Hour, "day": 24 * time.Hour, "hour": time.Hour, "minute": time.Minute, "second": time.Second,
	"millisecond": time.Millisecond, "microsecond": time.Microsecond,
}

// parseInterval reads an interval as table properties have it: "interval 1 week", or
// "30 days 12 hours".
func parseInterval(text string) (time.Duration, bool) {
	text = strings.ToLower(strings.TrimSpace(text))
	text, _ = strings.CutPrefix(text, "interval")
	if strings.TrimSpace(text) == "" {
		return 0, false
	}
	var sum time.Duration
	for strings.TrimSpace(text) != "" {
		part := intervalPart.FindStringSubmatch(text)
		if part == nil {
			return 0, false
		}
		n, err := strconv.ParseInt(part[1], 10, 64)
		unit := intervalUnits[part[2]]
		if err != nil || n > int64((math.MaxInt64-sum)/unit) {
			return math.MaxInt64, true // longer than anything
		}
		sum += time.Duration(n) * unit
		text = text[len(part[0]):]
	}
	return sum, true
}

// prune forgets tombstones that are older than the retention. It looks at them when
// half as many have come as there were when it looked last, so that it costs little
// whatever their number.
func (s *Snapshot) prune(now time.Time) {
	if 2*s.buried <= s.Removed.Len() {
		return
	}
	s.buried = 0
	oldest := s.oldestTombstone(now)
	for path, r := range s.Removed.All() {
		if r.DeletionTimestamp < oldest {
			s.Removed = s.Removed.without(path)
		}
	}
}

// oldestTombstone returns the time, in milliseconds, before which tombstones may be
// forgotten.
func (s *Snapshot) oldestTombstone(now time.Time) int64 {
	d := s.retention()
	if d == math.MaxInt64 {
		return math.MinInt64
	}
	return now.Add(-d).UnixMilli()
}
