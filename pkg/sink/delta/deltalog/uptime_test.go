package deltalog

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/sink/delta/storage"
)

// oblivion takes versions and keeps nothing.
type oblivion struct{ storage.Store }

func (oblivion) Create(context.Context, string, []byte) error { return nil }

const (
	betweenCommits = 20 * time.Minute
	betweenJoins   = 100 // commits
)

// grower commits as a live sink does that is compacted now and then.
type grower struct {
	log  *Log
	now  time.Time
	last *Snapshot
	live []*Add // files since the last compaction
	made int
}

func newGrower() *grower {
	g := &grower{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), last: emptySnapshot()}
	g.log = &Log{store: oblivion{}, now: func() time.Time { return g.now }}
	return g
}

func (g *grower) commit(t testing.TB) {
	g.now = g.now.Add(betweenCommits)
	at := g.now.UnixMilli()
	actions := []Action{{Txn: &Txn{AppID: "ampipe:p:s", Version: int64(g.made), LastUpdated: at}}}
	if len(g.live) == betweenJoins {
		for _, a := range g.live {
			actions = append(actions, Action{Remove: a.Remove(at, false)})
		}
		g.live = nil
	}
	g.made++
	a := &Add{Path: fmt.Sprintf("part-%08d.parquet", g.made), Size: 1 << 20, ModificationTime: at}
	g.live = append(g.live, a)
	next, err := g.log.Commit(t.Context(), g.last, append(actions, Action{Add: a}))
	if err != nil {
		t.Fatal(err)
	}
	g.last = next
}

// cost is how many bytes some commits take from the heap, each on the average.
func (g *grower) cost(t testing.TB) float64 {
	const commits = 3 * betweenJoins
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range commits {
		g.commit(t)
	}
	runtime.ReadMemStats(&after)
	return float64(after.TotalAlloc-before.TotalAlloc) / commits
}

// TestUptimeCostsNothing commits a thousand times and fifty thousand times: neither
// what is remembered nor what a commit costs grows with what has been. A week's
// tombstones are 504 files here.
func TestUptimeCostsNothing(t *testing.T) {
	g := newGrower()
	for g.made < 1000 {
		g.commit(t)
	}
	early := g.cost(t)
	for g.made < 50_000 {
		g.commit(t)
	}
	late := g.cost(t)
	week := int(Retention / betweenCommits)
	if n := g.last.Removed.Len(); n < week-betweenJoins || n > 3*week {
		t.Errorf("%d tombstones are remembered after %d commits, want those of a week, %d", n, g.made, week)
	}
	if n := g.last.Files.Len(); n > betweenJoins {
		t.Errorf("%d files", n)
	}
	if late > 1.5*early {
		t.Errorf("a commit took %.0f bytes of memory after 1,000 commits, and %.0f after 50,000", early, late)
	}
	t.Logf("%.0f bytes a commit after 1,000, %.0f after 50,000; %d tombstones", early, late, g.last.Removed.Len())
}

// TestCommitsCostWhatTheyChange commits to tables of a thousand and of a hundred
// thousand files.
func TestCommitsCostWhatTheyChange(t *testing.T) {
	var costs []float64
	for _, files := range []int{1000, 100_000} {
		g := newGrower()
		for i := range files {
			g.last.Files = g.last.Files.with(fmt.Sprintf("old-%08d", i), &Add{})
		}
		costs = append(costs, g.cost(t))
	}
	if costs[1] > 3*costs[0] {
		t.Errorf("a commit took %.0f bytes of memory with 1,000 files, and %.0f with 100,000", costs[0], costs[1])
	}
	t.Logf("%.0f bytes a commit with 1,000 files, %.0f with 100,000", costs[0], costs[1])
}

// TestTombstonesAreKeptAsLongAsTheTableSays plays removals, each a day after the
// last, under the property of Delta.
func TestTombstonesAreKeptAsLongAsTheTableSays(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	for property, want := range map[string]int{
		"": 7, "interval 1 week": 7, "interval 30 days": 30, "30 days 12 hours": 31, "INTERVAL 2 weeks": 14,
		"interval 1 day": 7, // our own vacuum goes by a week
		"for a while":    90, "interval": 90, "interval 3 months": 90, "interval 999999999999 weeks": 90,
	} {
		s := emptySnapshot()
		s.MetaData = &MetaData{Configuration: map[string]string{}}
		if property != "" {
			s.MetaData.Configuration[retentionProperty] = property
		}
		for day := range 90 {
			at := now.Add(-time.Hour).AddDate(0, 0, -day)
			s.play(int64(day), []Action{{Remove: &Remove{Path: fmt.Sprint(day), DeletionTimestamp: at.UnixMilli()}}})
		}
		s.prune(now)
		if n := s.Removed.Len(); n != want {
			t.Errorf("%q: %d tombstones are left, want %d", property, n, want)
		}
	}
	if d, ok := parseInterval("interval 1 week 2 days 3 hours 4 minutes 5 seconds 6 milliseconds 7 microseconds"); !ok ||
		d != 9*24*time.Hour+3*time.Hour+4*time.Minute+5*time.Second+6*time.Millisecond+7*time.Microsecond {
		t.Errorf("%v, %v", d, ok)
	}
	if d, ok := parseInterval("1 week 99999999999999999999 days"); !ok || d != math.MaxInt64 {
		t.Errorf("%v, %v", d, ok)
	}
}
