package queuetest

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/ampipe/ampipe/pkg/freeport"
)

// nodeVariable names the configuration that a process is to serve instead of testing.
const nodeVariable = "AMPIPE_TEST_NATS_NODE"

// RunNode serves NATS instead of running tests, in a process that a [Cluster] has
// started: a server that can be killed needs one of its own. TestMain calls it first.
func RunNode() {
	file := os.Getenv(nodeVariable)
	if file == "" {
		return
	}
	opts, err := server.ProcessConfigFile(file)
	if err == nil {
		opts.NoSigs = true
		var node *server.Server
		if node, err = server.NewServer(opts); err == nil {
			node.ConfigureLogger()
			node.Start()
			_, _ = io.Copy(io.Discard, os.Stdin) // until the test has ended
			node.Shutdown()
			node.WaitForShutdown()
			os.Exit(0)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// Cluster is three nodes with cluster.conf, each a process.
type Cluster struct {
	*Shipped
	nodes []*node
	urls  []string
}

type node struct {
	name  string
	file  string
	log   string
	cmd   *exec.Cmd
	stdin io.Closer
}

// StartCluster starts three nodes. TestMain must call [RunNode].
func StartCluster(t testing.TB) *Cluster {
	t.Helper()
	s := Ship(t)
	c := &Cluster{Shipped: s}
	var clients, routes [3]int
	for i := range routes {
		clients[i], routes[i] = freeport.Take(t), freeport.Take(t)
		s.Edit("routes.conf", fmt.Sprintf("nats-%d.nats:6222", i), fmt.Sprintf("127.0.0.1:%d", routes[i]))
		c.urls = append(c.urls, fmt.Sprintf("nats://127.0.0.1:%d", clients[i]))
	}
	s.Edit("limits.conf", `http: "127.0.0.1:8222"`, "")
	text, err := os.ReadFile(s.File("cluster.conf"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range routes {
		n := &node{name: fmt.Sprintf("nats-%d", i), file: fmt.Sprintf("node-%d.conf", i)}
		n.log = filepath.Join(t.TempDir(), n.name)
		if err := os.WriteFile(s.File(n.file), text, 0o600); err != nil {
			t.Fatal(err)
		}
		s.Edit(n.file,
			`listen: "0.0.0.0:4222"`, fmt.Sprintf(`listen: "127.0.0.1:%d"`, clients[i]),
			`listen: "0.0.0.0:6222"`, fmt.Sprintf(`listen: "127.0.0.1:%d"`, routes[i]),
			"store_dir: /data", fmt.Sprintf("store_dir: %q", t.TempDir()))
		c.nodes = append(c.nodes, n)
		c.Start(i)
	}
	t.Cleanup(func() {
		for i := range c.nodes {
			c.Kill(i)
			if t.Failed() {
				if text, err := os.ReadFile(c.nodes[i].log); err == nil {
					t.Logf("the end of the log of %s:\n%s", c.nodes[i].name, text[max(0, len(text)-4000):])
				}
			}
		}
	})
	return c
}

// URL names all nodes.
func (c *Cluster) URL() string { return strings.Join(c.urls, ",") }

// Start starts a node that does not run.
func (c *Cluster) Start(i int) {
	c.Helper()
	self, err := os.Executable()
	if err != nil {
		c.Fatal(err)
	}
	n := c.nodes[i]
	log, err := os.OpenFile(n.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		c.Fatal(err)
	}
	defer func() { _ = log.Close() }() // the process has its own
	n.cmd = exec.Command(self)
	n.cmd.Env = append(os.Environ(), nodeVariable+"="+c.File(n.file), "NATS_NAME="+n.name)
	n.cmd.Stdout, n.cmd.Stderr = log, log
	if n.stdin, err = n.cmd.StdinPipe(); err != nil {
		c.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		c.Fatal(err)
	}
}

// Kill ends a node as kill -9 does.
func (c *Cluster) Kill(i int) {
	n := c.nodes[i]
	if n.cmd == nil {
		return
	}
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait() // it says "killed"
	_ = n.stdin.Close()
	n.cmd = nil
}
