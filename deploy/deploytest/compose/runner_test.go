//go:build linux

package compose

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/ampipe/ampipe/deploy/deploytest/printed"
)

// runner starts the services of a project as an engine would.
type runner struct {
	testing.TB
	dir     string
	project *types.Project
	network *network
	image   image // of ampipe
	running map[string][]*instance
	usage   map[string]*usage // by service, of what has ended
}

// usage is what the processes of a service have taken.
type usage struct {
	processor time.Duration
	memory    int64 // bytes; the largest resident set of one process
	processes int
}

// instance is a running container of a service.
type instance struct {
	r       *runner
	service types.ServiceConfig
	number  int
	name    string
	address string
	box     container
	cmd     *exec.Cmd
	out     *output
	exited  chan struct{}
	err     error // valid after exited
}

func newRunner(t testing.TB, project *types.Project) *runner {
	t.Helper()
	// Not t.TempDir: PostgreSQL runs as another user, and its socket needs a short path.
	dir, err := os.MkdirTemp("", "compose-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	r := &runner{
		TB: t, dir: dir, project: project, network: newNetwork(t, dir, project),
		image: readDockerfile(t).build(t, commands(t)), running: map[string][]*instance{}, usage: map[string]*usage{},
	}
	t.Cleanup(r.down)
	return r
}

// down stops everything, what depends on others first.
func (r *runner) down() {
	order := r.order()
	slices.Reverse(order)
	for _, name := range order {
		for len(r.running[name]) > 0 {
			r.scaleDown(name)
		}
	}
	if r.Failed() {
		logs, _ := filepath.Glob(filepath.Join(r.dir, "*.log"))
		for _, file := range logs {
			text, _ := os.ReadFile(file)
			r.Logf("the end of %s:\n%s", filepath.Base(file), text[max(0, len(text)-4000):])
		}
	}
}

// order returns the services in the order in which they may start.
func (r *runner) order() []string {
	var order []string
	var visit func(name string)
	visit = func(name string) {
		s, here := r.project.Services[name]
		if !here || slices.Contains(order, name) {
			return
		}
		for _, on := range s.GetDependencies() {
			visit(on)
		}
		order = append(order, name)
	}
	for _, name := range r.network.services {
		visit(name)
	}
	return order
}

// up starts one container of every service, each when what it depends on is as the
// file says, and waits until all are healthy.
func (r *runner) up() {
	r.Helper()
	for _, name := range r.order() {
		if !slices.Contains(r.project.Services[name].Profiles, "tools") {
			r.scale(name, 1)
		}
	}
	r.waitHealthy()
}

func (r *runner) waitHealthy() {
	r.Helper()
	for _, all := range r.running {
		for _, i := range all {
			i.waitHealthy()
		}
	}
}

// scale starts or stops containers of a service until there are n.
func (r *runner) scale(name string, n int) {
	r.Helper()
	s := r.project.Services[name]
	for on, d := range s.DependsOn {
		for _, i := range r.running[on] {
			if d.Condition == types.ServiceConditionHealthy {
				i.waitHealthy()
			}
		}
		if d.Required && len(r.running[on]) == 0 {
			r.Fatalf("%s needs %s, which does not run", name, on)
		}
	}
	for len(r.running[name]) < n {
		r.running[name] = append(r.running[name], r.start(s, len(r.running[name])+1))
	}
	for len(r.running[name]) > n {
		r.scaleDown(name)
	}
}

// scaleDown stops the container of the highest number.
func (r *runner) scaleDown(name string) {
	r.Helper()
	last := len(r.running[name]) - 1
	r.running[name][last].stop()
	r.running[name] = r.running[name][:last]
}

// roll replaces each container of a service, one after the other.
func (r *runner) roll(name string) {
	r.Helper()
	for at, old := range r.running[name] {
		old.stop()
		r.running[name][at] = r.start(old.service, old.number)
		r.running[name][at].waitHealthy()
	}
}

// run starts a container that ends by itself, as docker compose run does, and returns
// what it prints.
func (r *runner) run(name string, args ...string) (string, error) {
	r.Helper()
	s := r.project.Services[name]
	s.Command = args
	i := r.start(s, maxReplicas)
	<-i.exited
	i.count()
	return i.out.String(), i.err
}

func (r *runner) start(s types.ServiceConfig, number int) *instance {
	r.Helper()
	i := &instance{
		r: r, service: s, number: number, name: fmt.Sprintf("%s-%d", s.Name, number),
		address: r.network.address(s.Name, number), exited: make(chan struct{}),
	}
	i.out = newOutput(r, filepath.Join(r.dir, i.name+".log"))
	if s.Name == "postgres" {
		i.startPostgres()
		return i
	}
	i.makeBox()
	cmd, err := i.box.command(i.rewritten(slices.Concat(s.Entrypoint, s.Command)))
	if err != nil {
		r.Fatal(err)
	}
	i.cmd = cmd
	cmd.Stdout, cmd.Stderr = i.out, i.out
	if err := cmd.Start(); err != nil {
		r.Fatalf("start %s: %v", i.name, err)
	}
	go func() {
		defer close(i.exited)
		i.err = cmd.Wait()
		_ = i.out.file.Close() // the process has ended, and nothing more is printed
	}()
	return i
}

// rewritten puts the container's address into arguments.
func (i *instance) rewritten(args []string) []string {
	out := make([]string, len(args))
	for n, a := range args {
		out[n] = rewrite(a, i.address)
	}
	return out
}

// check runs the health check of the file in the container.
func (i *instance) check() (string, error) {
	test := i.service.HealthCheck.Test
	args := test[1:]
	switch {
	case test[0] == "CMD-SHELL":
		args = []string{"sh", "-c", test[1]}
	case args[0] == "wget":
		return get(rewrite(args[len(args)-1], i.address)) // whether the machine has it or not
	}
	return i.exec(args...)
}

// exec runs a command in the container, as docker compose exec does.
func (i *instance) exec(args ...string) (string, error) {
	if i.service.Name == "postgres" {
		out, err := exec.Command(args[0], i.rewritten(args[1:])...).CombinedOutput()
		return string(out), err
	}
	cmd, err := i.box.command(i.rewritten(args))
	if err != nil {
		return "", err
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// waitHealthy waits for as long as an engine would before it calls a container
// unhealthy.
func (i *instance) waitHealthy() {
	i.r.Helper()
	h := i.service.HealthCheck
	limit := time.Duration(*h.StartPeriod) + time.Duration(*h.Interval)*time.Duration(*h.Retries)
	i.until("is healthy", limit, i.check)
}

// waitReady waits until the program of the container says that it is ready.
func (i *instance) waitReady(limit time.Duration) {
	i.r.Helper()
	i.until("is ready", limit, func() (string, error) {
		return i.exec("ampipe", "health", "readyz", "--address", ":9090")
	})
}

func (i *instance) until(what string, limit time.Duration, ask func() (string, error)) {
	i.r.Helper()
	deadline := time.After(limit)
	for {
		out, err := ask()
		if err == nil {
			return
		}
		select {
		case <-i.exited:
			i.r.Fatalf("%s ended (%v) before it %s\n%s", i.name, i.err, what, i.out)
		case <-deadline:
			i.r.Fatalf("%s: not after %v: %s: %v\n%s", i.name, limit, what, err, out)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// stop stops the container as an engine does. It has the grace period of the file.
func (i *instance) stop() {
	i.r.Helper()
	if i.cmd == nil {
		i.stopPostgres()
		return
	}
	select {
	case <-i.exited:
		i.r.Errorf("%s had ended: %v\n%s", i.name, i.err, i.out)
		return
	default:
	}
	_ = i.cmd.Process.Signal(syscall.SIGTERM) // it may end just now
	grace := 10 * time.Second
	if i.service.StopGracePeriod != nil {
		grace = time.Duration(*i.service.StopGracePeriod)
	}
	select {
	case <-i.exited:
	case <-time.After(grace):
		_ = i.cmd.Process.Kill()
		<-i.exited
		i.r.Errorf("%s did not stop within %v\n%s", i.name, grace, i.out)
	}
	i.count()
}

// count adds what the process has taken to its service's account.
func (i *instance) count() {
	u := i.r.usage[i.service.Name]
	if u == nil {
		u = &usage{}
		i.r.usage[i.service.Name] = u
	}
	state := i.cmd.ProcessState
	u.processes++
	u.processor += state.UserTime() + state.SystemTime()
	if r, ok := state.SysUsage().(*syscall.Rusage); ok {
		u.memory = max(u.memory, r.Maxrss<<10)
	}
}

// output collects what a container prints, for messages and in a file.
type output struct {
	printed.Text
	file *os.File
}

func newOutput(t testing.TB, path string) *output {
	t.Helper()
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	return &output{file: file} // closed when the process has ended
}

func (o *output) Write(b []byte) (int, error) {
	_, _ = o.Text.Write(b) // it is memory
	return o.file.Write(b)
}

// String returns the end of what was printed.
func (o *output) String() string { return o.End(4000) }

// pairs returns the environment of a service as NAME=value.
func pairs(m types.MappingWithEquals) []string {
	var all []string
	for name, value := range m {
		if value != nil {
			all = append(all, name+"="+*value)
		}
	}
	slices.Sort(all)
	return all
}

// copyTree makes the folders below from exist below to, with their owners, as an
// engine fills a volume from the image when it is new.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		owner, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return errors.New("no owner is known")
		}
		return os.Chown(target, int(owner.Uid), int(owner.Gid))
	})
}
