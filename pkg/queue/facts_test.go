package queue_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/ampipe/ampipe/pkg/queue"
)

// monitored runs a NATS server with a monitoring and something in the section jetstream.
func monitored(t *testing.T, jetstream string) (*server.Server, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "nats.conf")
	must(t, os.WriteFile(file, fmt.Appendf(nil, `
listen: "127.0.0.1:-1"
http: "127.0.0.1:-1"
jetstream { store_dir: %q, max_file_store: 4GB %s }
`, t.TempDir(), jetstream), 0o600))
	opts, err := server.ProcessConfigFile(file)
	must(t, err)
	s := startServer(t, opts)
	return s, fmt.Sprintf("http://%v/", s.MonitorAddr())
}

// TestSyncInterval is what the monitoring says, or why it says nothing.
func TestSyncInterval(t *testing.T) {
	t.Parallel()
	always, atAlways := monitored(t, ", sync_interval: always")
	_, atMinute := monitored(t, ", sync_interval: \"1m\"") // 1m would be a million seconds
	c := mustOpen(t, queue.Config{URL: always.ClientURL()})
	for monitor, want := range map[string]time.Duration{atAlways: 0, atMinute: time.Minute} {
		got, err := c.SyncInterval(testContext(t), monitor)
		if err != nil || got != want {
			t.Errorf("%v, %v; want %v", got, err, want)
		}
	}
	for _, monitor := range []string{"http://127.0.0.1:1", "127.0.0.1", atAlways + "none", ""} { // nobody has the port of ""
		got, err := c.SyncInterval(testContext(t), monitor)
		if err == nil {
			t.Errorf("%q: %v", monitor, got)
		}
	}
	embedded, err := mustConn(t).SyncInterval(testContext(t), "")
	if err != nil || embedded != 0 {
		t.Errorf("embedded: %v, %v", embedded, err)
	}
}

// TestFacts reads what there is of a pipeline, before and after it was planned.
func TestFacts(t *testing.T) {
	t.Parallel()
	c := mustConn(t)
	f, err := c.Facts(testContext(t), "pipe")
	if err != nil || f.Cluster != "" || f.RoundTrip <= 0 || len(f.Streams) != 0 {
		t.Errorf("before: %+v, %v", f, err)
	}
	mustLog(t, c, 64<<20)
	f, err = c.Facts(testContext(t), "pipe")
	if err != nil || len(f.Streams) != 1 || f.Streams[0].Name != "AMPIPE_LOG_pipe" || f.Streams[0].Replicas != 1 || len(f.Streams[0].Behind) != 0 {
		t.Errorf("after: %+v, %v", f, err)
	}
}
