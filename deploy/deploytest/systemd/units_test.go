// Package systemd tests the units in deploy/systemd: what systemd's own checker says
// of them, and that the commands which they start take what they are given and end
// with the codes that the units expect.
package systemd

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	repository = "../../.."
	instance   = "eth-logs"
	installed  = "/usr/local/bin/" // where the units expect the commands
)

// commands returns the folder of the built commands.
func commands(t *testing.T) string {
	t.Helper()
	bin := os.Getenv("AMPIPE_BIN")
	if bin == "" {
		t.Fatal("AMPIPE_BIN names no folder with the built commands: run `make deploytest`")
	}
	return bin
}

// unit is one unit file: the values of each key, in their order.
type unit struct {
	name, text string
	values     map[string][]string
}

// value returns the value of a key that the unit has once.
func (u unit) value(t *testing.T, key string) string {
	t.Helper()
	if len(u.values[key]) != 1 {
		t.Fatalf("%s has %s %d times: %q", u.name, key, len(u.values[key]), u.values[key])
	}
	return u.values[key][0]
}

// services returns the service units.
func services(t *testing.T) []unit {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(repository, "deploy/systemd/*.service"))
	if err != nil || len(paths) < 6 {
		t.Fatalf("units: %v, %v", paths, err)
	}
	var units []unit
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		u := unit{filepath.Base(path), string(text), map[string][]string{}}
		for line := range strings.Lines(u.text) {
			if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(key, "#") {
				u.values[key] = append(u.values[key], value)
			}
		}
		units = append(units, u)
	}
	return units
}

// place writes the units into a folder, as an instance, with the built commands for
// the installed ones, and returns their paths.
func place(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	var paths []string
	write := func(name, text string) {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	for _, u := range services(t) {
		text := strings.ReplaceAll(u.text, installed, commands(t)+"/")
		write(strings.Replace(u.name, "@.", "@"+instance+".", 1), text)
	}
	target, err := os.ReadFile(filepath.Join(repository, "deploy/systemd/ampipe.target"))
	if err != nil {
		t.Fatal(err)
	}
	write("ampipe.target", string(target))
	return paths
}

// analyze runs systemd-analyze and returns what it prints.
func analyze(t *testing.T, args ...string) (string, error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), filepath.Join(repository, "scripts/systemd-analyze"), args...).CombinedOutput()
	return string(out), err
}

func TestSystemdAcceptsTheUnits(t *testing.T) {
	for _, path := range place(t) {
		said, err := analyze(t, "verify", "--man=no", "--recursive-errors=no", path)
		if err != nil || strings.TrimSpace(said) != "" {
			t.Errorf("%s: %v\n%s", filepath.Base(path), err, said)
		}
	}
}

func TestSystemdRefusesAUnitThatIsWrong(t *testing.T) {
	path := place(t)[0]
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	wrong := bytes.Replace(text, []byte("[Service]\n"), []byte("[Service]\nMemoryMaxx=1G\n"), 1)
	if err := os.WriteFile(path, wrong, 0o644); err != nil {
		t.Fatal(err)
	}
	if said, _ := analyze(t, "verify", "--man=no", "--recursive-errors=no", path); !strings.Contains(said, "MemoryMaxx") {
		t.Errorf("a key that does not exist goes unnoticed: %q", said)
	}
}

// TestTheUnitsAreHardened holds the exposure that systemd calculates at 1.5 of 10.
func TestTheUnitsAreHardened(t *testing.T) {
	for _, path := range place(t) {
		if !strings.HasSuffix(path, ".service") {
			continue
		}
		if said, err := analyze(t, "security", "--offline=true", "--threshold=15", "--no-pager", path); err != nil {
			t.Errorf("%s: %v\n%s", filepath.Base(path), err, said)
		}
	}
}

// example writes the configuration of docs/systemd.md for a unit, and returns its path.
// Nothing that it names answers.
func example(t *testing.T, u unit) string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(repository, "docs/systemd.md"))
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(page)
	if block == nil {
		t.Fatal("docs/systemd.md has no configuration")
	}
	text := strings.NewReplacer("127.0.0.1:1602", "127.0.0.1:1", "nats:\n", "").Replace(string(block[1]))
	if u.name != "ampipe@.service" {
		text = regexp.MustCompile(`(?m)^nats: .*$`).ReplaceAllString(text, "nats: { url: nats://127.0.0.1:1 }")
	}
	text += "  - name: cache\n    redis: { url: redis://127.0.0.1:1/0, table: logs, key: \"{table}:{_block_num}\" }\n"
	path := filepath.Join(t.TempDir(), instance+".yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// started returns the command of a unit, with a configuration in the place of the
// instance's and the variables that systemd sets.
func started(ctx context.Context, t *testing.T, u unit, config, options string) *exec.Cmd {
	t.Helper()
	line := strings.ReplaceAll(u.value(t, "ExecStart"), "/etc/ampipe/%i.yaml", config)
	line = strings.ReplaceAll(line, "$OPTIONS", options)
	words := strings.Fields(line)
	name, ours := strings.CutPrefix(words[0], installed)
	if !ours || strings.ContainsAny(line, "%$") {
		t.Fatalf("%s starts %q", u.name, line)
	}
	state, secrets := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(secrets, "secrets_postgres.dsn"), []byte("postgres://a:b@127.0.0.1:1/c\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(ctx, filepath.Join(commands(t), name), words[1:]...)
	command.Env = []string{"STATE_DIRECTORY=" + state, "CREDENTIALS_DIRECTORY=" + secrets, "HOME=/"}
	command.Dir = "/"
	return command
}

// exitCode runs a command to its end.
func exitCode(t *testing.T, command *exec.Cmd) (code, said string) {
	t.Helper()
	out, err := command.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return strconv.Itoa(command.ProcessState.ExitCode()), string(out)
}

func TestWhatIsRefusedIsNotStartedAgain(t *testing.T) {
	for _, u := range services(t) {
		t.Run(u.name, func(t *testing.T) {
			config := filepath.Join(t.TempDir(), "wrong.yaml")
			if err := os.WriteFile(config, []byte("pipeline: [\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			code, said := exitCode(t, started(t.Context(), t, u, config, "--listen 127.0.0.1:0"))
			if !strings.Contains(said, config) || !slices.Contains(strings.Fields(u.value(t, "RestartPreventExitStatus")), code) {
				t.Errorf("exit code %s is not among %s, or the configuration is not what it says:\n%s", code, u.value(t, "RestartPreventExitStatus"), said)
			}
		})
	}
}

// TestTheCodesAreOurs compares the codes in the units with those in the help.
func TestTheCodesAreOurs(t *testing.T) {
	for _, u := range services(t) {
		command := exec.CommandContext(t.Context(), filepath.Join(commands(t), filepath.Base(strings.Fields(u.value(t, "ExecStart"))[0])), "--help")
		_, help := exitCode(t, command)
		help = strings.Join(strings.Fields(help), " ")
		for _, code := range []string{"2 bad configuration", "3 finished with failed partitions", "130 interrupted"} {
			if !strings.Contains(help, code) {
				t.Errorf("%s: the help does not say %q:\n%s", u.name, code, help)
			}
		}
		if got := u.value(t, "RestartPreventExitStatus") + ", " + u.value(t, "SuccessExitStatus"); got != "2 3, 130" {
			t.Errorf("%s: %s", u.name, got)
		}
	}
}

// TestAStopIsASuccess starts each unit's command with the configuration of the guide,
// while nothing answers, and stops it as systemd does.
func TestAStopIsASuccess(t *testing.T) {
	for _, u := range services(t) {
		t.Run(u.name, func(t *testing.T) {
			t.Parallel()
			limit, err := time.ParseDuration(u.value(t, "TimeoutStopSec"))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			command := started(ctx, t, u, example(t, u), "--listen 127.0.0.1:0")
			out := &firstLine{written: make(chan struct{})}
			command.Stdout, command.Stderr = out, out
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			select {
			case <-out.written: // what it waits for
			case <-ctx.Done():
				t.Error("it says nothing")
			}
			began := time.Now()
			if err := command.Process.Signal(syscall.SIGTERM); err != nil {
				t.Error(err)
			}
			_ = command.Wait() // judged by the code
			if code := strconv.Itoa(command.ProcessState.ExitCode()); code != u.value(t, "SuccessExitStatus") || time.Since(began) > limit {
				t.Errorf("exit code %s after %s:\n%s", code, time.Since(began), out)
			}
		})
	}
}
