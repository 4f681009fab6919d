package queue_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
)

// TestCommandsAreLetIn who can read the folder, while the server runs, and nobody else.
func TestCommandsAreLetIn(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "access")
	if err := os.WriteFile(file, []byte("nats://127.0.0.1:1\nSU…\n"), 0o644); err != nil { // of a process that was killed
		t.Fatal(err)
	}
	if _, err := queue.StartServer(ctx, queue.ServerConfig{Dir: filepath.Join(file, "x"), Commands: true}); err == nil {
		t.Error("a folder in a file was accepted")
	}
	server, err := queue.StartServer(ctx, queue.ServerConfig{Dir: dir, Commands: true})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	own := mustOpen(t, queue.Config{Server: server})
	if _, err := mustState(t, own, "pipe").Put(ctx, "a", 5); err != nil {
		t.Fatal(err)
	}
	url, key, err := queue.RunningServer(dir)
	if err != nil {
		t.Fatal(err)
	}
	command := mustOpen(t, queue.Config{URL: url, NKey: key, Role: "operator", MustExist: true})
	if value, _, err := queue.Get[int](ctx, mustState(t, command, "pipe"), "a"); value != 5 || err != nil {
		t.Errorf("a command reads %d, %v", value, err)
	}
	if _, err := queue.Open(ctx, queue.Config{URL: url}); err == nil {
		t.Error("nobody was let in")
	}
	other := t.TempDir()
	second, err := queue.StartServer(ctx, queue.ServerConfig{Dir: other, Commands: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, otherKey, err := queue.RunningServer(other); err != nil {
		t.Error(err)
	} else if _, err := queue.Open(ctx, queue.Config{URL: url, NKey: otherKey}); err == nil {
		t.Error("the key of another server was accepted")
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	own.Close()
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file of a server that has ended: %v", err)
	}
	if _, _, err := queue.RunningServer(dir); fault.Of(err) != fault.ClassLater {
		t.Errorf("no server: %v", err)
	}
}

// TestACommandHasTheFolderForAMoment: a server that is to run waits for it.
func TestACommandHasTheFolderForAMoment(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	dir := t.TempDir()
	command, err := queue.StartServer(ctx, queue.ServerConfig{Dir: dir, Brief: true})
	if err != nil {
		t.Fatal(err)
	}
	begun := make(chan error)
	go func() {
		server, err := queue.StartServer(ctx, queue.ServerConfig{Dir: dir})
		if err == nil {
			err = server.Close()
		}
		begun <- err
	}()
	select {
	case err := <-begun:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	if err := command.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-begun; err != nil {
		t.Error(err)
	}
	running, err := queue.StartServer(ctx, queue.ServerConfig{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := queue.StartServer(ctx, queue.ServerConfig{Dir: dir, Brief: true}); !errors.Is(err, queue.ErrInUse) {
		t.Errorf("beside a server that runs: %v", err)
	}
	if err := running.Close(); err != nil {
		t.Error(err)
	}
}
