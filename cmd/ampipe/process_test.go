package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/ops"
)

// runsCommand is the variable that makes the test binary the command itself.
const runsCommand = "AMPIPE_TEST_RUNS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(runsCommand) != "" {
		main()
	}
	os.Exit(m.Run())
}

// ampipe runs the command as a process, in a folder.
func ampipe(t *testing.T, dir string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), executable(t), args...)
	command.Env = append(os.Environ(), runsCommand+"=1")
	command.Dir = dir
	var out, complaints bytes.Buffer
	command.Stdout, command.Stderr = &out, &complaints
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return command.ProcessState.ExitCode(), out.String(), complaints.String()
}

func executable(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWhatDoesNotExistIsRefused(t *testing.T) {
	for args, want := range map[string]string{
		"verfy":            `unknown command "verfy" for "ampipe"; did you mean "verify"?`,
		"start":            `unknown command "start" for "ampipe"; see "ampipe --help"`,
		"help verfy":       `unknown command "verfy" for "ampipe"; did you mean "verify"?`,
		"completion bsh":   `unknown command "bsh" for "ampipe completion"; did you mean "bash"?`,
		"version 1":        `"ampipe version" takes no argument, and was given "1"; see "ampipe version --help"`,
		"verify --dep":     `unknown flag: --dep; did you mean "--deep"?`,
		"--confg x verify": `unknown flag: --confg; did you mean "--config"?`,
		"run --n":          `unknown flag: --n; see "ampipe run --help"`,
	} {
		t.Run(args, func(t *testing.T) {
			code, stdout, stderr := ampipe(t, t.TempDir(), strings.Fields(args)...)
			if code != ops.ExitConfig || stderr != "ampipe: "+want+"\n" || stdout != "" {
				t.Errorf("exit code %d\n%s%s\nwant: %s", code, stdout, stderr, want)
			}
		})
	}
}

func TestWithoutACommandTheHelpIsPrinted(t *testing.T) {
	code, stdout, stderr := ampipe(t, t.TempDir())
	if code != ops.ExitDone || !strings.Contains(stdout, "ampipe verify") || stderr != "" {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
}

func TestVersion(t *testing.T) {
	_, command, _ := ampipe(t, t.TempDir(), "version")
	code, flag, stderr := ampipe(t, t.TempDir(), "--version")
	if code != ops.ExitDone || flag != command || stderr != "" {
		t.Errorf("exit code %d\n%s%s\n`ampipe version` prints\n%s", code, flag, stderr, command)
	}
	for _, want := range []string{"ampipe ", "commit ", runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH, amp.ProtocolRevision} {
		if !strings.Contains(command, want) {
			t.Errorf("%q is not in\n%s", want, command)
		}
	}
	_, text, _ := ampipe(t, t.TempDir(), "version", "--json")
	var fields map[string]any
	if err := json.Unmarshal([]byte(text), &fields); err != nil {
		t.Fatal(err)
	}
	if fields["go"] != runtime.Version() || fields["amp_protocol"] != amp.ProtocolRevision || fields["version"] == "" || fields["modified"] == nil {
		t.Errorf("--json prints %s", text)
	}
}

// complete asks bash for what it offers after a command line, by the script that
// ampipe prints for it. The last word is what is completed.
func complete(t *testing.T, dir string, words ...string) []string {
	t.Helper()
	// Bash's completion package is not needed: its one function that the script calls
	// only takes the command line apart.
	const script = `
_get_comp_words_by_ref() { words=("${COMP_WORDS[@]}"); cword=$COMP_CWORD; cur=${words[cword]}; prev=${words[cword-1]}; }
source <(ampipe completion bash)
COMP_WORDS=(ampipe "$@"); COMP_CWORD=$#; COMP_LINE="ampipe $*"; COMP_POINT=${#COMP_LINE}; COMP_TYPE=63; COMP_KEY=9
compopt() { :; }
__start_ampipe
printf '%s\n' "${COMPREPLY[@]}"
`
	bin := t.TempDir()
	if err := os.Symlink(executable(t), filepath.Join(bin, "ampipe")); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), "bash", append([]string{"--norc", "--noprofile", "-c", script, "bash"}, words...)...)
	command.Env = append(os.Environ(), runsCommand+"=1", "PATH="+bin+":"+os.Getenv("PATH"))
	command.Dir = dir
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var offered []string
	for line := range strings.Lines(string(out)) {
		word, _, _ := strings.Cut(strings.TrimSpace(line), " ") // its description follows
		offered = append(offered, word)
	}
	return offered
}

func TestBashCompletesTheCommandLine(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// Neither is complete, and the variable is not set.
	write("pipeline.yaml", "pipeline: eth-logs\nsource: { amp: \"${NOT_SET}\" }\n---\npipeline: eth-blocks\n---\npipeline: base\n")
	write("other.yaml", "pipeline: solana\n")
	for _, c := range []struct {
		words []string
		want  []string
	}{
		{[]string{"ver"}, []string{"verify", "version"}},
		{[]string{"run", "--retry"}, []string{"--retry-failed"}},
		{[]string{"verify", "--log-level", "d"}, []string{"debug"}},
		{[]string{"run", "eth"}, []string{"eth-logs", "eth-blocks"}},
		{[]string{"run", "eth-logs", "eth"}, []string{"eth-blocks"}},
		{[]string{"check", "--config", "other.yaml", ""}, []string{"solana"}},
		{[]string{"check", "--config", "missing.yaml", ""}, nil},
		{[]string{"completion", "z"}, []string{"zsh"}},
	} {
		got := slices.DeleteFunc(complete(t, dir, c.words...), func(s string) bool { return s == "" })
		slices.Sort(got)
		slices.Sort(c.want)
		if !slices.Equal(got, c.want) {
			t.Errorf("ampipe %q: bash offers %q, want %q", c.words, got, c.want)
		}
	}
}
