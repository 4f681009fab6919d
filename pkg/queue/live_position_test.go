package queue_test

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// TestThePositionInTheLiveLaneOfAnEmbeddedServer is not written to disk, where each delivery
// and each acknowledgement would cost a sync. After a restart it is what the destination
// has, if that is of this lane; also if an earlier version has kept it on disk.
func TestThePositionInTheLiveLaneOfAnEmbeddedServer(t *testing.T) {
	t.Parallel()
	const n = 6
	for name, c := range map[string]struct {
		has   state.LiveState
		first uint64 // that comes
	}{
		"with a destination that has four": {has: state.LiveState{Started: true, Seq: 4}, first: 5},
		"with one that has everything":     {has: state.LiveState{Started: true, Seq: n}},
		"with one that has nothing":        {first: 1},
		"with one of an epoch before":      {has: state.LiveState{Started: true, Epoch: 7, Seq: 4}, first: 1},
		"with one of a log that is gone":   {has: state.LiveState{Started: true, Seq: 400}, first: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "store")
			server, err := queue.StartServer(testContext(t), queue.ServerConfig{Dir: dir, Listen: "127.0.0.1:0"})
			must(t, err)
			l := mustLog(t, mustOpen(t, queue.Config{Server: server}), 0)
			after := uint64(0)
			for i := range n {
				after = mustPublish(t, l, queue.LiveLane, after, fmt.Sprint(i), group(block.Number(i), block.Number(i), 100))
			}
			// A process that does not have the server in it keeps its position on disk, as
			// all did before.
			other := mustConsume(t, mustLog(t, mustOpen(t, queue.Config{URL: server.URL()}), 0), queue.ConsumeOptions{Lanes: queue.Live})
			for range 2 {
				mustAck(t, mustNext(t, other))
			}
			other.Close()
			wantOnDisk(t, dir, true)
			for range 2 { // the second finds no position at all
				here := mustConsume(t, l, queue.ConsumeOptions{Lanes: queue.Live, Has: c.has})
				wantOnDisk(t, dir, false)
				if c.first > 0 {
					m := mustNext(t, here)
					if m.Seq != c.first || m.Delivered != 1 {
						t.Errorf("message %d came first, want %d", m.Seq, c.first)
					}
					mustAck(t, m)
				}
				waitForLanes(t, l, queue.Live, positionOf(c.first, n))
				here.Close()
				// Others of this process continue where it was.
				again := mustConsume(t, l, queue.ConsumeOptions{Lanes: queue.Live, Has: state.LiveState{Started: true, Seq: 1}})
				if c.first > 0 && c.first < n {
					if m := mustNext(t, again); m.Seq <= c.first {
						t.Errorf("message %d came after %d was acknowledged", m.Seq, c.first)
					}
				}
				again.Close()
				must(t, server.Close())
				server, err = queue.StartServer(testContext(t), queue.ServerConfig{Dir: dir})
				must(t, err)
				l = mustLog(t, mustOpen(t, queue.Config{Server: server}), 0)
				if p, err := l.Position(testContext(t), "warehouse", queue.Live); err != nil || p.Exists {
					t.Errorf("after a restart the position is %+v, %v", p, err)
				}
			}
			must(t, server.Close())
		})
	}
}

// positionOf returns the position of a sink that has n entries, the first of which that
// came to it is acknowledged, and no other has come.
func positionOf(first, n uint64) queue.Position {
	if first == 0 || first == n {
		return queue.Position{Exists: true, AckFloor: n}
	}
	return queue.Position{Exists: true, AckFloor: first, AckPending: int(n - first)}
}

// wantOnDisk fails unless the store has a folder of the live position, or has none.
func wantOnDisk(t *testing.T, dir string, want bool) {
	t.Helper()
	found := false
	must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		found = found || strings.Contains(path, "obs") && filepath.Base(path) == "live-warehouse"
		return err
	}))
	if found != want {
		t.Errorf("the position is on disk: %v, want %v", found, want)
	}
}
