package queue_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
)

// TestALogDeletedAgainAndAgain deletes the log while it is published to in batches: the
// server removes its folder some time after its name is free, and would take the folder
// of a log that is made too early with it.
func TestALogDeletedAgainAndAgain(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	srv := mustServer(t, queue.ServerConfig{Listen: "127.0.0.1:0"})
	stop, halt := context.WithCancel(ctx)
	stored := make(chan struct{})
	var running sync.WaitGroup
	for range 3 { // planners look at it, and make it anew
		l := mustLog(t, mustOpen(t, queue.Config{URL: srv.URL()}), 1<<30)
		running.Go(func() {
			for stop.Err() == nil {
				_, _ = l.State(stop) // what was deleted is an error, once
			}
		})
	}
	for w := range 4 {
		l := mustLog(t, mustOpen(t, queue.Config{URL: srv.URL()}), 1<<30)
		running.Go(func() {
			for n := block.Number(0); stop.Err() == nil; n++ {
				lane := fmt.Sprintf("p.%d.%d", n, w)
				if _, err := l.Publish(stop, lane, 0, lane, parts(n, 1+int(n)%4, 2000)); err != nil {
					continue // it is gone
				}
				select {
				case stored <- struct{}{}:
				case <-stop.Done():
				}
			}
		})
	}
	js := mustJetStream(t, srv.URL())
	for range 4 {
		must(t, js.DeleteStream(ctx, "AMPIPE_LOG_pipe"))
		late := time.After(20 * time.Second)
		for range 50 {
			select {
			case <-stored:
			case <-late:
				t.Fatal("nothing is stored any more")
			}
		}
	}
	halt()
	running.Wait()
}

// TestAStreamThatCannotStore: the server answers nothing to what it cannot write, and the
// error says so instead of that it does not answer; what it advises helps.
func TestAStreamThatCannotStore(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	dir := filepath.Join(t.TempDir(), "store")
	srv := mustServer(t, queue.ServerConfig{Dir: dir, Listen: "127.0.0.1:0"})
	l := mustLog(t, mustOpen(t, queue.Config{URL: srv.URL()}), 1<<30)
	var folder string
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == "AMPIPE_LOG_pipe" {
			folder = path
		}
		return err
	}))
	must(t, os.RemoveAll(folder))
	var err error
	for n := block.Number(0); err == nil && n < 100; n++ { // a file that is open can be written yet
		lane := fmt.Sprintf("p.%d.0", n)
		_, err = l.Publish(ctx, lane, 0, lane, group(n, n, 900<<10))
	}
	if fault.Of(err) != fault.ClassLater || !strings.Contains(err.Error(), "NATS answers and does not store") {
		t.Fatalf("publishing gives %v", err)
	}
	_ = mustJetStream(t, srv.URL()).DeleteStream(ctx, "AMPIPE_LOG_pipe") // the server complains of the folder
	if _, err := l.State(ctx); err == nil || !strings.Contains(err.Error(), "made anew") {
		t.Errorf("after it was deleted, the state is asked for with %v", err)
	}
	mustPublish(t, l, "p.0.0", 0, "a", group(0, 0, 10))
}

func mustJetStream(t testing.TB, url string) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(url)
	must(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	must(t, err)
	return js
}
