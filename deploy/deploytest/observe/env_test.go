package observe

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ampipe/ampipe/deploy/deploytest/printed"
)

// env is a folder with the built commands, in which a test runs processes.
type env struct {
	t   *testing.T
	dir string
	bin string
}

func newEnv(t *testing.T) *env {
	t.Helper()
	bin := os.Getenv("AMPIPE_BIN")
	if bin == "" {
		t.Fatal("AMPIPE_BIN is not set: run this by `make deploytest`, which builds the commands")
	}
	return &env{t: t, dir: t.TempDir(), bin: bin}
}

// process is a running command.
type process struct {
	cmd    *exec.Cmd
	out    printed.Text
	exited chan struct{}

	job, address string // of its metrics
}

// start starts a command, which is killed when the test ends.
func (e *env) start(command string, args ...string) *process {
	e.t.Helper()
	if !filepath.IsAbs(command) {
		command = filepath.Join(e.bin, command)
	}
	p := &process{cmd: exec.Command(command, args...), exited: make(chan struct{})}
	p.cmd.Dir = e.dir
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := p.cmd.Start(); err != nil {
		e.t.Fatal(err)
	}
	go func() {
		defer close(p.exited)
		_ = p.cmd.Wait() // how it ended is read from its state
	}()
	e.t.Cleanup(func() {
		p.kill()
		if e.t.Failed() {
			e.t.Logf("%s printed\n%s", strings.Join(p.cmd.Args, " "), p.out.End(4000))
		}
	})
	return p
}

// kill ends a process as a crash does.
func (p *process) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL) // it may have ended by itself
	<-p.exited
}

// prints waits until a process has printed a pattern and returns its first group.
func (e *env) prints(p *process, pattern string) (found string) {
	e.t.Helper()
	want := regexp.MustCompile(pattern)
	waitFor(e.t, p.cmd.Path+" prints "+pattern, 30*time.Second, func() bool {
		m := want.FindStringSubmatch(p.out.String())
		if m == nil {
			return false
		}
		found = m[1]
		return true
	})
	return found
}

// exits runs a command, which ends with an exit code.
func (e *env) exits(code int, command string, args ...string) {
	e.t.Helper()
	p := e.start(command, args...)
	waitFor(e.t, command+" ends", time.Minute, func() bool {
		select {
		case <-p.exited:
			return true
		default:
			return false
		}
	})
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		e.t.Fatalf("%s: exit code %d, want %d\n%s", strings.Join(p.cmd.Args, " "), got, code, p.out.End(4000))
	}
}

// serve starts a command that serves metrics.
func (e *env) serve(command string, args ...string) *process {
	e.t.Helper()
	address := e.freeAddress()
	p := e.start(command, append(args, "-c", "pipeline.yaml", "--log-format", "json", "--listen", address)...)
	p.job, p.address = command, address
	return p
}

// freeAddress returns an address of this machine on which nothing listens.
func (e *env) freeAddress() string {
	e.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		e.t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// configure writes the configuration.
func (e *env) configure(text string) {
	e.t.Helper()
	if err := os.WriteFile(filepath.Join(e.dir, "pipeline.yaml"), []byte(text), 0o600); err != nil {
		e.t.Fatal(err)
	}
}

// nats starts a NATS server and returns its URL.
func (e *env) nats() string {
	e.t.Helper()
	host, port, err := net.SplitHostPort(e.freeAddress())
	if err != nil {
		e.t.Fatal(err)
	}
	p := e.start("nats-server", "-a", host, "-p", port, "-js", "-sd", filepath.Join(e.dir, "nats"))
	e.prints(p, `Server is (ready)`)
	return "nats://" + net.JoinHostPort(host, port)
}

// amp is a development Amp server, whose chain grows on request.
type amp struct {
	*process
	env          *env
	url, control string
}

func (e *env) amp(args ...string) *amp {
	e.t.Helper()
	p := e.start("devserver", append([]string{"--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--chain", "eth_rpc"}, args...)...)
	return &amp{process: p, env: e, url: e.prints(p, `(?m)^listening (\S+)$`), control: e.prints(p, `(?m)^control (\S+)$`)}
}

// tell calls the control API.
func (a *amp) tell(path, body string) {
	a.env.t.Helper()
	answer, err := http.Post(a.control+path, "application/json", strings.NewReader(body))
	if err != nil {
		a.env.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }() // what it says is not needed
	if answer.StatusCode >= http.StatusBadRequest {
		a.env.t.Fatalf("%s: %s", path, answer.Status)
	}
}

func (a *amp) mine() { a.env.t.Helper(); a.tell("/chains/anvil/mine", `{"blocks": 1}`) }
