// Package queuetest starts NATS servers for tests: any, or those with the configuration
// that deploy/nats ships.
package queuetest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// startWait is how long a server may take to start on a busy machine.
const startWait = time.Minute

// Users are those that the configuration names.
var Users = []string{"planner", "extractor", "sink-warehouse", "sink-lake", "sink-cache", "operator", "monitoring"}

// Shipped is a copy of deploy/nats with passwords of its own.
type Shipped struct {
	testing.TB
	dir string
}

// Ship copies deploy/nats and makes the passwords with its make-passwords.
func Ship(t testing.TB) *Shipped {
	t.Helper()
	s := &Shipped{TB: t, dir: t.TempDir()}
	if err := os.CopyFS(s.dir, os.DirFS(source(t))); err != nil {
		t.Fatal(err)
	}
	s.run("make-passwords", s.dir)
	return s
}

// source finds deploy/nats above the folder of the test.
func source(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		found := filepath.Join(dir, "deploy", "nats")
		if _, err := os.Stat(filepath.Join(found, "server.conf")); err == nil {
			return found
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("there is no folder deploy/nats")
		}
		dir = filepath.Dir(dir)
	}
}

func (s *Shipped) run(script string, args ...string) {
	s.Helper()
	if out, err := exec.Command(filepath.Join(s.dir, script), args...).CombinedOutput(); err != nil {
		s.Fatalf("%s: %v\n%s", script, err, out)
	}
}

// PasswordFile returns the file with the password of a user.
func (s *Shipped) PasswordFile(user string) string { return filepath.Join(s.dir, user) }

// Password returns the password of a user.
func (s *Shipped) Password(user string) string {
	s.Helper()
	text, err := os.ReadFile(s.PasswordFile(user))
	if err != nil {
		s.Fatal(err)
	}
	return string(text)
}

// File returns a file of the configuration.
func (s *Shipped) File(name string) string { return filepath.Join(s.dir, name) }

// Edit replaces texts in a file of the configuration, each of which must be there.
func (s *Shipped) Edit(file string, pairs ...string) {
	s.Helper()
	path := filepath.Join(s.dir, file)
	text, err := os.ReadFile(path)
	if err != nil {
		s.Fatal(err)
	}
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(string(text), pairs[i]) {
			s.Fatalf("%s holds no %q", file, pairs[i])
		}
		text = []byte(strings.ReplaceAll(string(text), pairs[i], pairs[i+1]))
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		s.Fatal(err)
	}
}

// Server runs server.conf in this process, but for what a test must not use: the ports
// and the folder of the store.
func (s *Shipped) Server() *server.Server {
	s.Helper()
	s.Edit("server.conf", `listen: "0.0.0.0:4222"`, `listen: "127.0.0.1:-1"`, "store_dir: /data", fmt.Sprintf("store_dir: %q", s.TempDir()))
	s.Edit("limits.conf", `http: "127.0.0.1:8222"`, "")
	opts, err := server.ProcessConfigFile(s.File("server.conf"))
	if err != nil {
		s.Fatal(err)
	}
	return Start(s, opts)
}

// Start runs a server in this process, until the test ends.
func Start(t testing.TB, opts *server.Options) *server.Server {
	t.Helper()
	opts.NoSigs, opts.NoLog = true, true
	node, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	node.Start()
	t.Cleanup(func() {
		node.Shutdown()
		node.WaitForShutdown()
	})
	if !node.ReadyForConnections(startWait) {
		t.Fatal("the NATS server did not start")
	}
	return node
}
