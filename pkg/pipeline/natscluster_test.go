package pipeline_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/queue/queuetest"
)

// TestClusterWhoseNodesAreKilled follows a chain that reorgs on a cluster of three nodes
// with the shipped configuration, of which one after the other is killed and started
// again. In the end every destination is equal.
//
// AMPIPE_CLUSTER_SECONDS is how long; then a node is killed every 10 s, and the pipeline may
// go without a commit for mostStill at most. One sink may for longer: several times in a row its
// consumer may lose its leader, and each election takes NATS up to 9 s.
func TestClusterWhoseNodesAreKilled(t *testing.T) {
	t.Parallel()
	const mostStill, mostStillOfOne = 15 * time.Second, 30 * time.Second
	lasts, every := 14*time.Second, 6*time.Second
	short := true // then a busy machine may take longer
	if seconds, _ := strconv.Atoi(os.Getenv("AMPIPE_CLUSTER_SECONDS")); seconds > 0 {
		lasts, every, short = time.Duration(seconds)*time.Second, 10*time.Second, false
	}
	cluster := queuetest.StartCluster(t)
	g := newGuarded(t, cluster.Shipped, cluster.URL(), 3)
	for _, name := range []string{"planner", "extractor", "extractor 2", "sink-warehouse", "sink-lake", "sink-lake 2", "sink-cache"} {
		g.start(name)
	}
	g.settle(time.Minute)

	mining, pause := context.WithCancel(t.Context())
	var miner sync.WaitGroup
	miner.Go(func() {
		for n := 1; mining.Err() == nil; n++ {
			<-time.After(100 * time.Millisecond)
			if n%30 == 0 {
				g.chain.reorg(1 + n/30%12)
			}
			g.chain.extend(g.chain.build(g.chain.head()+1, 1+n%2))
		}
	})
	defer miner.Wait()
	defer pause()

	still := newStillness(g)
	began, killed, down := time.Now(), time.Now(), -1
	kills := 0
	for time.Since(began) < lasts {
		<-time.After(100 * time.Millisecond)
		g.check()
		still.look()
		for _, name := range guardedSinks {
			if still.longest[name] > 2*mostStillOfOne {
				t.Fatalf("%d nodes were killed in %v, and sink %s has made no commit for %v", kills, time.Since(began), name, still.longest[name])
			}
		}
		switch since := time.Since(killed); {
		case since >= every:
			down = kills % 3
			t.Logf("%s: kill nats-%d", time.Now().Format(time.TimeOnly), down)
			cluster.Kill(down)
			kills++
			killed = time.Now()
		case down >= 0 && since >= 2*time.Second:
			cluster.Start(down)
			down = -1
		}
	}
	if down >= 0 {
		cluster.Start(down)
	}
	pause()
	miner.Wait()
	g.settle(time.Minute)
	g.verify()
	for _, name := range guardedSinks {
		if !short && still.longest[name] > mostStillOfOne {
			t.Errorf("sink %s made no commit for %v", name, still.longest[name])
		}
		t.Logf("sink %s: %d commits, at most %v without one", name, still.commits(name), still.longest[name].Round(time.Millisecond))
	}
	if !short && still.all > mostStill {
		t.Errorf("no sink made a commit for %v", still.all)
	}
	t.Logf("%d nodes killed in %v, at most %v without any commit; %d blocks, %d reorgs, the deepest of %d blocks",
		kills, lasts, still.all.Round(time.Millisecond), g.chain.head()+1, g.chain.reorgs, g.chain.deepest)
}

// stillness measures for how long a sink, or none of them, makes a commit.
type stillness struct {
	of      *guarded
	seen    map[string]int
	since   map[string]time.Time
	longest map[string]time.Duration
	any     time.Time     // of the last commit of any sink
	all     time.Duration // the longest time without one
}

func newStillness(g *guarded) *stillness {
	s := &stillness{of: g, seen: map[string]int{}, since: map[string]time.Time{}, longest: map[string]time.Duration{}, any: time.Now()}
	for _, name := range guardedSinks {
		s.since[name] = time.Now()
	}
	return s
}

func (s *stillness) look() {
	for _, name := range guardedSinks {
		s.longest[name] = max(s.longest[name], time.Since(s.since[name]))
		if n := s.commits(name); n != s.seen[name] {
			if still := time.Since(s.since[name]); still > 8*time.Second {
				s.of.Logf("%s: sink %s commits again after %v", time.Now().Format(time.TimeOnly), name, still.Round(time.Millisecond))
			}
			s.seen[name], s.since[name], s.any = n, time.Now(), time.Now()
		}
	}
	s.all = max(s.all, time.Since(s.any))
}

// commits returns how many versions a sink's table has.
func (s *stillness) commits(name string) int {
	s.of.Helper()
	versions, err := filepath.Glob(filepath.Join(s.of.dir, name, "_delta_log", "*.json"))
	if err != nil {
		s.of.Fatal(err)
	}
	return len(versions)
}
