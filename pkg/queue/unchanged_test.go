package queue_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/queue/queuetest"
)

// natsServer runs a NATS server that may store so many bytes.
func natsServer(t *testing.T, dir string, maxStore int64) *server.Server {
	t.Helper()
	return startServer(t, &server.Options{MaxPayload: 1 << 20, StoreDir: dir, JetStreamMaxStore: maxStore})
}

// natsServerWith runs a NATS server with some max_payload.
func natsServerWith(t *testing.T, maxPayload int32) *server.Server {
	t.Helper()
	return startServer(t, &server.Options{MaxPayload: maxPayload, StoreDir: t.TempDir(), JetStreamMaxStore: 2 << 30})
}

func startServer(t *testing.T, opts *server.Options) *server.Server {
	t.Helper()
	opts.Host, opts.Port, opts.JetStream = "127.0.0.1", server.RANDOM_PORT, true
	return queuetest.Start(t, opts)
}

// requested lets a client hear which requests of the JetStream API are made.
func requested(t *testing.T, url string, subjects ...string) (made func() []string) {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	heard := make(chan *nats.Msg, 1000)
	for _, subject := range subjects {
		if _, err := nc.ChanSubscribe(subject, heard); err != nil {
			t.Fatal(err)
		}
	}
	must(t, nc.Flush())
	return func() []string {
		must(t, nc.Flush())
		var out []string
		for {
			select {
			case msg := <-heard:
				out = append(out, msg.Subject)
			case <-time.After(50 * time.Millisecond):
				return out
			}
		}
	}
}

// everything opens what a process of a pipeline opens.
func everything(t *testing.T, url string, maxBytes int64) *queue.Log {
	t.Helper()
	ctx := testContext(t)
	c := mustOpen(t, queue.Config{URL: url})
	l := mustLog(t, c, maxBytes)
	tasks, err := c.Tasks(ctx, "pipe")
	must(t, err)
	for _, kind := range []string{queue.PartitionTask, queue.LiveTask} {
		_, err = tasks.Load(ctx, kind)
		must(t, err)
	}
	_, err = c.State(ctx, "pipe")
	must(t, err)
	for _, lanes := range []queue.Lanes{queue.History, queue.Live} {
		mustConsume(t, l, queue.ConsumeOptions{Lanes: lanes}).Close()
	}
	return l
}

// TestWhatIsAsWantedIsNotChanged starts again on a server that has less room by now than
// what is reserved: it refuses every update, also one that changes nothing.
func TestWhatIsAsWantedIsNotChanged(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	node := natsServer(t, dir, 2<<30)
	everything(t, node.ClientURL(), 1<<30)
	node.Shutdown()
	node.WaitForShutdown()

	node = natsServer(t, dir, 100<<20)
	made := requested(t, node.ClientURL(), "$JS.API.STREAM.UPDATE.>", "$JS.API.STREAM.CREATE.>", "$JS.API.CONSUMER.CREATE.>")
	everything(t, node.ClientURL(), 1<<30)
	if all := made(); len(all) > 0 {
		t.Errorf("what is as wanted was changed: %v", all)
	}
	everything(t, node.ClientURL(), 512<<20) // which the server refuses as well
}

// TestOnlyWhatDiffersIsChanged keeps what an operator has set, and mends what would make
// the log lose messages.
func TestOnlyWhatDiffersIsChanged(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	node := natsServer(t, filepath.Join(t.TempDir(), "store"), 2<<30)
	everything(t, node.ClientURL(), 1<<30)
	js := mustJetStream(t, node.ClientURL())
	stream, err := js.Stream(ctx, "AMPIPE_LOG_pipe")
	must(t, err)
	cfg := stream.CachedInfo().Config
	cfg.MaxAge, cfg.Description, cfg.Compression = time.Hour, "ours", jetstream.S2Compression
	_, err = js.UpdateStream(ctx, cfg)
	must(t, err)
	made := requested(t, node.ClientURL(), "$JS.API.STREAM.UPDATE.>", "$JS.API.CONSUMER.CREATE.>")
	everything(t, node.ClientURL(), 512<<20)
	if all := made(); len(all) != 1 || all[0] != "$JS.API.STREAM.UPDATE.AMPIPE_LOG_pipe" {
		t.Errorf("requests: %v", all)
	}
	stream, err = js.Stream(ctx, "AMPIPE_LOG_pipe")
	must(t, err)
	cfg = stream.CachedInfo().Config
	if cfg.MaxAge != 0 || cfg.MaxBytes != 512<<20 || cfg.Description != "ours" || cfg.Compression != jetstream.S2Compression {
		t.Errorf("the log is kept as %+v", cfg)
	}
}

// TestALookChangesNothing looks at a pipeline by a connection that may make streams.
func TestALookChangesNothing(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	node := natsServer(t, filepath.Join(t.TempDir(), "store"), 2<<30)
	c := mustOpen(t, queue.Config{URL: node.ClientURL()})
	made := requested(t, node.ClientURL(), "$JS.API.STREAM.UPDATE.>", "$JS.API.STREAM.CREATE.>")
	missing := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, queue.ErrNoStream) || fault.Of(err) != fault.ClassLater {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := c.Log(ctx, "pipe", queue.LogConfig{})
	missing("the log", err)
	_, err = c.Looking().Tasks(ctx, "pipe")
	missing("the tasks", err)
	_, err = c.Looking().State(ctx, "pipe")
	missing("the state", err)
	if all := made(); len(all) > 0 {
		t.Errorf("a look at nothing has asked for %v", all)
	}

	own := everything(t, node.ClientURL(), 64<<20)
	made()
	looked, err := c.Log(ctx, "pipe", queue.LogConfig{})
	must(t, err)
	_, err = c.Looking().Tasks(ctx, "pipe")
	must(t, err)
	_, err = c.Looking().State(ctx, "pipe")
	must(t, err)
	if looked.MaxBytes() != 64<<20 {
		t.Errorf("the log seems to have %d bytes", looked.MaxBytes())
	}
	must(t, own.Delete(ctx))
	_, err = looked.State(ctx)
	missing("the deleted log", err)
	if all := made(); len(all) > 0 {
		t.Errorf("a look has asked for %v", all)
	}
}
