package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	core "k8s.io/api/core/v1"

	"github.com/ampipe/ampipe/deploy/deploytest/printed"
)

// host returns where processes of a test listen, at the ports of the manifests: the whole of
// 127.0.0.0/8 is this machine, and each test takes a part of it for itself.
func host(test, n int) string { return fmt.Sprintf("127.96.%d.%d", test, n) }

// pod is a workload's container as a process of this machine. Its volumes are folders
// below root, and what it reads says so.
type pod struct {
	t       *testing.T
	name    string
	root    string
	address string // instead of every address of the pod
	replace []string

	cmd    *exec.Cmd
	out    printed.Text
	exited chan struct{}
	err    error
}

// secrets are the contents of Secrets, by "name/key".
type secrets map[string]string

// start starts the container of a workload at an address, with nothing but the files
// that it mounts. Every pair of replace is put into its files, arguments and variables.
func (o *objects) start(t *testing.T, w workload, name, address string, hidden secrets, replace ...string) *pod {
	t.Helper()
	p := &pod{t: t, name: name, root: t.TempDir(), address: address, exited: make(chan struct{})}
	p.replace = append([]string{
		"/etc/ampipe", p.root + "/etc/ampipe", "/etc/nats", p.root + "/etc/nats",
		"/run/secrets", p.root + "/run/secrets", "/var/run/nats", p.root + "/var/run/nats",
		"0.0.0.0:", address + ":", "--listen=:", "--listen=" + address + ":",
	}, replace...)
	c := w.container()
	for _, m := range c.VolumeMounts {
		for _, v := range w.pod.Spec.Volumes {
			if v.Name == m.Name {
				p.fill(o, m.MountPath, v, hidden)
			}
		}
	}
	args := make([]string, len(c.Args))
	for i, a := range c.Args {
		args[i] = p.local(a)
	}
	p.cmd = exec.Command(binary(t, c.Command[0]), args...)
	p.cmd.Dir = p.root
	p.cmd.Env = []string{"TMPDIR=" + t.TempDir(), "HOME=" + p.root}
	for _, e := range c.Env {
		value := e.Value
		if e.ValueFrom != nil {
			value = name // metadata.name
		}
		p.cmd.Env = append(p.cmd.Env, e.Name+"="+p.local(value))
	}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // most have ended
		<-p.exited
		if t.Failed() {
			t.Logf("%s:\n%s", name, p.out.End(3000))
		}
	})
	return p
}

func (p *pod) local(text string) string {
	for i := 0; i < len(p.replace); i += 2 {
		text = strings.ReplaceAll(text, p.replace[i], p.replace[i+1])
	}
	return text
}

// fill makes the files of a volume.
func (p *pod) fill(o *objects, at string, v core.Volume, hidden secrets) {
	p.t.Helper()
	dir := p.root + at
	if err := os.MkdirAll(dir, 0o700); err != nil {
		p.t.Fatal(err)
	}
	var sources []core.VolumeProjection
	switch {
	case v.ConfigMap != nil:
		sources = []core.VolumeProjection{{ConfigMap: &core.ConfigMapProjection{LocalObjectReference: v.ConfigMap.LocalObjectReference}}}
	case v.Secret != nil:
		sources = []core.VolumeProjection{{Secret: &core.SecretProjection{
			LocalObjectReference: core.LocalObjectReference{Name: v.Secret.SecretName}, Items: v.Secret.Items}}}
	case v.Projected != nil:
		sources = v.Projected.Sources
	}
	for _, s := range sources {
		if s.ConfigMap != nil {
			c, _ := o.config(s.ConfigMap.Name)
			for name, text := range c.Data {
				p.write(filepath.Join(dir, name), p.local(text))
			}
		}
		if s.Secret == nil {
			continue
		}
		for _, item := range s.Secret.Items {
			text, there := hidden[s.Secret.Name+"/"+item.Key]
			if !there {
				p.t.Fatalf("%s: no Secret %s with key %s is made by the guide", p.name, s.Secret.Name, item.Key)
			}
			p.write(filepath.Join(dir, item.Path), text)
		}
	}
}

func (p *pod) write(path, text string) {
	p.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o400); err != nil {
		p.t.Fatal(err)
	}
}

// probe asks what a probe asks, and returns the status; 0 without an answer.
func (p *pod) probe(c core.Container, probe *core.Probe) (status int, body string) {
	for _, port := range c.Ports {
		if port.Name == probe.HTTPGet.Port.StrVal {
			return fetch(fmt.Sprintf("http://%s:%d%s", p.address, port.ContainerPort, probe.HTTPGet.Path))
		}
	}
	return 0, "no such port"
}

func fetch(url string) (status int, body string) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err.Error()
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err.Error()
	}
	return answer.StatusCode, string(text)
}

// until waits until a condition holds, or the process has ended.
func (p *pod) until(wait time.Duration, what string, holds func() bool) {
	p.t.Helper()
	deadline := time.After(wait)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-p.exited:
			p.t.Fatalf("%s ended (%v) and was to be %s:\n%s", p.name, p.err, what, p.out.End(2000))
		case <-deadline:
			p.t.Fatalf("%s is not %s after %v:\n%s", p.name, what, wait, p.out.End(2000))
		case <-tick.C:
		}
	}
}

// stop sends TERM, waits for the end and returns the exit code.
func (p *pod) stop(wait time.Duration) int {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
	select {
	case <-p.exited:
	case <-time.After(wait):
		p.t.Fatalf("%s has not stopped after %v", p.name, wait)
	}
	return p.cmd.ProcessState.ExitCode()
}

// binary returns the program of a command of the manifests.
func binary(t *testing.T, command string) string {
	t.Helper()
	dir := os.Getenv("AMPIPE_BIN")
	if dir == "" {
		t.Fatal("AMPIPE_BIN is not set: run make deploytest")
	}
	return filepath.Join(dir, command)
}

// passwords returns the Secrets that docs/kubernetes.md makes, with routes between nodes.
func passwords(t *testing.T, nodes string, users ...string) secrets {
	t.Helper()
	dir := t.TempDir()
	make := exec.Command("../../nats/make-passwords", append([]string{dir}, users...)...)
	make.Env = append(os.Environ(), "NATS_NODES="+nodes)
	if out, err := make.CombinedOutput(); err != nil {
		t.Fatalf("make-passwords: %v\n%s", err, out)
	}
	all := secrets{
		"ampipe-amp/token":        "token",
		"ampipe-warehouse/dsn":    "postgres://ampipe:secret@127.0.0.1:1/ampipe",
		"ampipe-cache/url":        "redis://:secret@127.0.0.1:1",
		"ampipe-lake/credentials": "[default]\naws_access_key_id = a\naws_secret_access_key = b\n",
		"a/dsn":                   "postgres://ampipe:secret@127.0.0.1:1/a",
		"b/dsn":                   "postgres://ampipe:secret@127.0.0.1:1/b",
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all["ampipe-nats/"+f.Name()] = string(text)
	}
	return all
}
