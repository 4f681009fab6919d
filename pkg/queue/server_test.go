package queue_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/queue/queuetest"
)

// TestEverythingSurvivesARestart: log, positions, tasks and state are read from
// the folder again.
func TestEverythingSurvivesARestart(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	dir := t.TempDir()
	open := func() (*queue.Server, *queue.Conn) {
		s, err := queue.StartServer(ctx, queue.ServerConfig{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		c, err := queue.Open(ctx, queue.Config{Server: s})
		if err != nil {
			t.Fatal(err)
		}
		return s, c
	}
	s, conn := open()
	l := mustLog(t, conn, 0)
	mustFill(t, l, "p.0.0", 5, 1000)
	c := mustConsume(t, l, queue.ConsumeOptions{})
	mustAck(t, mustNext(t, c))
	waitForPosition(t, l, queue.Position{Exists: true, AckFloor: 1, AckPending: 4})
	mustAdd(t, mustTasks(t, conn, "pipe"), "0.0")
	if _, err := mustState(t, conn, "pipe").Put(ctx, "a", 5); err != nil {
		t.Fatal(err)
	}
	c.Close()
	conn.Close()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s, conn = open()
	defer s.Close()
	defer conn.Close()
	l = mustLog(t, conn, 0)
	if tail, err := l.Tail(ctx, "p.0.0"); err != nil || tail.Seq != 5 || tail.ID != "p.0.04" {
		t.Errorf("the lane ends with %+v (%v)", tail, err)
	}
	c = mustConsume(t, l, queue.ConsumeOptions{})
	defer c.Close()
	if m := mustNext(t, c); m.Seq != 2 {
		t.Errorf("the sink goes on with message %d", m.Seq)
	}
	tasks := mustTasks(t, conn, "pipe")
	if mustAdd(t, tasks, "0.0") || mustTake(t, tasks).ID != "0.0" {
		t.Error("the task is gone")
	}
	if value, _, err := queue.Get[int](ctx, mustState(t, conn, "pipe"), "a"); value != 5 || err != nil {
		t.Errorf("the state has %d (%v)", value, err)
	}
}

// childFolder makes the test binary hold a server in that folder until it is
// killed, having stored one entry.
const childFolder = "AMPIPE_TEST_CHILD_FOLDER"

func TestChildHoldsAServer(t *testing.T) {
	dir := os.Getenv(childFolder)
	if dir == "" {
		return // this process is not the child of TestOneProcessPerFolder
	}
	s := mustServer(t, queue.ServerConfig{Dir: dir})
	mustPublish(t, mustLog(t, mustOpen(t, queue.Config{Server: s}), 0), "p.0.0", 0, "a", group(0, 0, 1000))
	fmt.Println("ready")
	select {}
}

// TestOneProcessPerFolder: a second process is refused with the first one's id;
// when that is killed, the folder is free and what it acknowledged is there.
func TestOneProcessPerFolder(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	dir := filepath.Join(t.TempDir(), "store")
	child := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestChildHoldsAServer$", "-test.timeout=2m")
	child.Env = append(os.Environ(), childFolder+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.Contains(lines.Text(), "ready") {
	}
	_, err = queue.StartServer(ctx, queue.ServerConfig{Dir: dir})
	if fault.Of(err) != fault.ClassPermanent || !strings.Contains(err.Error(), fmt.Sprintf("process %d", child.Process.Pid)) || !strings.Contains(err.Error(), dir) {
		t.Errorf("the second server gives %v", err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	l := mustLog(t, mustOpen(t, queue.Config{Server: mustServer(t, queue.ServerConfig{Dir: dir})}), 0)
	if tail, err := l.Tail(ctx, "p.0.0"); err != nil || tail.ID != "a" {
		t.Errorf("after the kill the lane ends with %+v (%v)", tail, err)
	}
}

func TestServerRefusesAFolderItCannotUse(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dirs := []string{file, "/proc/nothing"}
	if os.Getuid() != 0 { // root writes everywhere
		closed := t.TempDir()
		if err := os.Chmod(closed, 0o500); err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, closed)
	}
	for _, dir := range dirs {
		_, err := queue.StartServer(testContext(t), queue.ServerConfig{Dir: dir})
		if fault.Of(err) != fault.ClassPermanent || !strings.Contains(err.Error(), dir) {
			t.Errorf("folder %s gives %v", dir, err)
		}
	}
}

func TestServerListensOnLoopbackAlone(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"0.0.0.0:4222", ":4222", "example.com:1", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000"} {
		if _, err := queue.StartServer(testContext(t), queue.ServerConfig{Dir: t.TempDir(), Listen: address}); fault.Of(err) != fault.ClassPermanent {
			t.Errorf("address %s gives %v", address, err)
		}
	}
	s := mustServer(t, queue.ServerConfig{Listen: "127.0.0.1:0"})
	mustLog(t, mustOpen(t, queue.Config{URL: s.URL()}), 0)
	taken := strings.TrimPrefix(s.URL(), "nats://")
	if _, err := queue.StartServer(testContext(t), queue.ServerConfig{Dir: t.TempDir(), Listen: taken}); err == nil || !strings.Contains(err.Error(), taken) {
		t.Errorf("a taken address gives %v", err)
	}
	if quiet := mustServer(t, queue.ServerConfig{}); quiet.URL() != "" {
		t.Errorf("a server that does not listen has URL %s", quiet.URL())
	}
}

// TestLogIsBoundedByTheDisk: the log of an embedded server takes half of what is
// there, so that others find room, and keeps what it has.
func TestLogIsBoundedByTheDisk(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	conn := mustOpen(t, queue.Config{Server: mustServer(t, queue.ServerConfig{MaxStore: (300 + 320) << 20})})
	first := mustLog(t, conn, 200<<20)
	if first.MaxBytes() != 150<<20 {
		t.Errorf("the log has %d bytes", first.MaxBytes())
	}
	second, err := conn.Log(ctx, "second", queue.LogConfig{MaxBytes: 20 << 30})
	if err != nil || second.MaxBytes() != 75<<20 {
		t.Errorf("the second log has %d bytes (%v)", second.MaxBytes(), err)
	}
	if again := mustLog(t, conn, 250<<20); again.MaxBytes() != 150<<20 {
		t.Errorf("opened again, the log has %d bytes", again.MaxBytes())
	}
	if _, err := conn.Log(ctx, "third", queue.LogConfig{MaxBytes: 20 << 30}); fault.Of(err) != fault.ClassPermanent {
		t.Errorf("without room: %v", err)
	}
}

// TestOldServerIsRefused talks to a server that says it is of an old version.
func TestOldServerIsRefused(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	defer served.Wait()
	defer listener.Close()
	served.Go(func() {
		for {
			peer, err := listener.Accept()
			if err != nil {
				return
			}
			fmt.Fprintf(peer, "INFO {\"server_id\":\"x\",\"version\":\"2.10.3\",\"max_payload\":1048576,\"headers\":true}\r\n")
			for lines := bufio.NewScanner(peer); lines.Scan(); {
				if strings.HasPrefix(lines.Text(), "PING") {
					fmt.Fprint(peer, "PONG\r\n")
				}
			}
			peer.Close()
		}
	})
	_, err = queue.Open(testContext(t), queue.Config{URL: "nats://" + listener.Addr().String()})
	if fault.Of(err) != fault.ClassPermanent || !strings.Contains(err.Error(), "NATS 2.10.3 is too old, ampipe needs 2.12") {
		t.Errorf("%v", err)
	}
}

func TestOpenExplainsWhatIsWrong(t *testing.T) {
	t.Parallel()
	start := func(change func(*server.Options)) string {
		opts := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, StoreDir: t.TempDir()}
		change(opts)
		return queuetest.Start(t, opts).ClientURL()
	}
	locked := start(func(o *server.Options) { o.JetStream, o.Username, o.Password = true, "me", "right" })
	for _, c := range []struct {
		name, says string
		cfg        queue.Config
		class      fault.Class
	}{
		{"nobody", "connect to NATS at 127.0.0.1:1", queue.Config{URL: "nats://me:hidden@127.0.0.1:1"}, fault.ClassLater},
		{"no URL", "no URL", queue.Config{}, fault.ClassPermanent},
		{"bad URL", "malformed", queue.Config{URL: "nats://me:hidden%@host"}, fault.ClassPermanent},
		{"no JetStream", "JetStream is off", queue.Config{URL: start(func(*server.Options) {})}, fault.ClassPermanent},
		{"small messages", "max_payload", queue.Config{URL: start(func(o *server.Options) { o.JetStream, o.MaxPayload = true, 1000 })}, fault.ClassPermanent},
		{"wrong password", "check the user and its password", queue.Config{URL: strings.Replace(locked, "nats://", "nats://me:hidden@", 1)}, fault.ClassPermanent},
		{"no credentials", "nothing.creds", queue.Config{URL: locked, Creds: filepath.Join(t.TempDir(), "nothing.creds")}, fault.ClassPermanent},
		{"not TLS", "TLS", queue.Config{URL: strings.Replace(locked, "nats://", "tls://me:right@", 1)}, fault.ClassPermanent},
	} {
		conn, err := queue.Open(testContext(t), c.cfg)
		if err == nil {
			conn.Close()
		}
		if err == nil || fault.Of(err) != c.class || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v (%v)", c.name, err, fault.Of(err))
		}
	}
	mustOpen(t, queue.Config{URL: strings.Replace(locked, "nats://", "nats://me:right@", 1)})
}

func TestEntryLimit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ payload, limit int }{{1 << 20, 1<<20 - 4<<10}, {8 << 20, 8<<20 - 4<<10}, {64 << 20, 32<<20 - 4<<10}} {
		conn := mustOpen(t, queue.Config{Server: mustServer(t, queue.ServerConfig{MaxPayload: c.payload})})
		if conn.MaxPayload() != c.payload || conn.EntryLimit() != c.limit {
			t.Errorf("max_payload %d gives %d and a limit of %d", c.payload, conn.MaxPayload(), conn.EntryLimit())
		}
		l := mustLog(t, conn, 0)
		full := group(0, 0, conn.EntryLimit())
		full[0].Network = strings.Repeat("n", 3000)
		mustPublish(t, l, "p.0.0", 0, strings.Repeat("i", 200), full)
	}
}

// TestServerGoesAwayAndComesBack: a publisher waits and says why, a consumer
// continues by itself, and the loss of the connection is reported.
func TestServerGoesAwayAndComesBack(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	dir := t.TempDir()
	s, err := queue.StartServer(ctx, queue.ServerConfig{Dir: dir, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	address := strings.TrimPrefix(s.URL(), "nats://")
	var mu sync.Mutex
	lost, back := 0, 0
	conn := mustOpen(t, queue.Config{URL: s.URL(), OnState: func(reason error) {
		mu.Lock()
		defer mu.Unlock()
		if reason != nil {
			lost++
		} else {
			back++
		}
	}})
	l := mustLog(t, conn, 0)
	c := mustConsume(t, l, queue.ConsumeOptions{})
	defer c.Close()
	seq := mustPublish(t, l, "p.0.0", 0, "a", group(0, 0, 10))
	mustAck(t, mustNext(t, c))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	waits := 0
	restarted := make(chan *queue.Server, 1)
	next, err := l.PublishWait(ctx, "p.0.0", seq, "b", group(1, 1, 10), func(err error, _ time.Duration) {
		if fault.Of(err) != fault.ClassLater {
			t.Errorf("waits for %v (%v)", err, fault.Of(err))
		}
		waits++
		if waits == 2 {
			s, err := queue.StartServer(ctx, queue.ServerConfig{Dir: dir, Listen: address})
			if err != nil {
				t.Error(err)
			}
			restarted <- s
		}
	})
	if err != nil || next != seq+1 {
		t.Fatalf("published %d (%v)", next, err)
	}
	defer func() { _ = (<-restarted).Close() }()
	for {
		m, err := c.Next(ctx)
		if err != nil {
			if fault.Of(err) != fault.ClassLater {
				t.Fatal(err)
			}
			continue
		}
		mustAck(t, m)
		if m.Seq == next {
			break
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if lost < 2 || back != 1 {
		t.Errorf("told of %d losses of 2 connections, and %d times that all are back", lost, back)
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	t.Parallel()
	stop := errors.New("told to stop")
	ctx, cancel := context.WithCancelCause(testContext(t))
	cancel(stop)
	s, err := queue.StartServer(ctx, queue.ServerConfig{Dir: t.TempDir()})
	if err == nil {
		_ = s.Close() // it was ready at once
	} else if !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
}

// TestNextTellsThatTheLogIsBack: a sink that has nothing to read hears of it, too.
func TestNextTellsThatTheLogIsBack(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	opts := &server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true}
	start := func() *server.Server {
		s, err := server.NewServer(opts)
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		if !s.ReadyForConnections(10 * time.Second) {
			t.Fatal("the server does not start")
		}
		return s
	}
	stop := func(s *server.Server) { s.Shutdown(); s.WaitForShutdown() }
	s := start()
	opts.Port = s.Addr().(*net.TCPAddr).Port
	c := mustConsume(t, mustLog(t, mustOpen(t, queue.Config{URL: s.ClientURL()}), 1<<30), queue.ConsumeOptions{})
	defer c.Close()
	stop(s)
	if _, err := c.Next(ctx); fault.Of(err) != fault.ClassLater {
		t.Errorf("while it is away: %v", err)
	}
	s = start()
	defer stop(s)
	for {
		_, err := c.Next(ctx)
		if errors.Is(err, queue.ErrNoMessage) {
			return
		}
		if fault.Of(err) != fault.ClassLater || ctx.Err() != nil {
			t.Fatalf("when it is back: %v", err)
		}
	}
}
