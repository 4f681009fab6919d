package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/pipeline"
	"github.com/ampipe/ampipe/pkg/sink"
)

var errRan = errors.New("it ran")

// execute runs a stage's command line and returns what it ends with; what it would do
// is [errRan].
func execute(t *testing.T, args ...string) error {
	t.Helper()
	ran := func(context.Context, *config.Pipeline, pipeline.Options) error { return errRan }
	root := stageCommand("extractor [PIPELINE]", "Read", "Takes partitions.", nil, ran)
	prepare(root)
	root.SetArgs(args)
	root.SetOut(t.Output())
	return root.ExecuteContext(t.Context())
}

func TestAStageRefusesWhatItDoesNotTake(t *testing.T) {
	file := filepath.Join(t.TempDir(), "p.yaml")
	text := "pipeline: eth-logs\nsource: { amp: grpc://h:1, query: SELECT * FROM d.t }\nsinks: [ { name: s, delta: { path: x } } ]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := execute(t, "-c", file, "eth-logs"); !errors.Is(err, errRan) {
		t.Fatalf("a command line that is right: %v", err)
	}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"two pipelines":    {[]string{"a", "b"}, `accepts at most 1 arg(s), received 2; see "extractor --help"`},
		"a flag":           {[]string{"--log-levle", "info"}, `unknown flag: --log-levle; did you mean "--log-level"?`},
		"a flag like none": {[]string{"--sideways"}, `unknown flag: --sideways; see "extractor --help"`},
		"a short flag":     {[]string{"-x"}, `unknown shorthand flag: 'x' in -x; see "extractor --help"`},
		"no value":         {[]string{"-c"}, `flag needs an argument: 'c' in -c; see "extractor --help"`},
		"no file":          {[]string{"-c", "none.yaml"}, `none.yaml: no such file or directory; name the file of the configuration with --config`},
		"a file":           {[]string{file}, `no such file or directory; did you mean --config ` + file + `?`},
		"a file again":     {[]string{"-c", file, file}, `it has eth-logs; did you mean --config ` + file + `?`},
		"a format":         {[]string{"--log-format", "jsn"}, `it is not one of auto, console, json; did you mean "json"?; see "extractor --help"`},
		"a level":          {[]string{"-c", file, "--log-level", "loud"}, `it is not one of trace, debug, info, warn, error; see "extractor --help"`},
		"a pipeline":       {[]string{"-c", file, "eth-log"}, `p.yaml has no pipeline "eth-log"; it has eth-logs; did you mean "eth-logs"?`},
	} {
		t.Run(name, func(t *testing.T) {
			err := execute(t, c.args...)
			if ops.ExitCode(err) != ops.ExitConfig || !strings.HasSuffix(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("exit code %d: %v\nwant: %s", ops.ExitCode(err), err, c.want)
			}
		})
	}
}

// TestHelpFits a terminal of 80 columns.
func TestHelpFits(t *testing.T) {
	var help strings.Builder
	root := stageCommand("extractor [PIPELINE]", "Read", "Takes partitions.", nil, nil)
	prepare(root)
	root.SetArgs([]string{"--help"})
	root.SetOut(&help)
	if err := root.Execute(); err != nil || !strings.Contains(help.String(), "--log-format") {
		t.Fatalf("%v\n%s", err, help.String())
	}
	for line := range strings.Lines(help.String()) {
		if len([]rune(strings.TrimSuffix(line, "\n"))) > 80 {
			t.Errorf("%s", line)
		}
	}
}

func TestAnArgumentOfAListIsRefused(t *testing.T) {
	for arg, want := range map[string]string{
		"livz":  `unknown argument "livz" for "health"; did you mean "livez"?`,
		"alive": `unknown argument "alive" for "health"; see "health --help"`,
	} {
		root := &cobra.Command{
			Use: "health", ValidArgs: []string{"livez", "readyz"}, Args: cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
			RunE: func(*cobra.Command, []string) error { return errRan },
		}
		prepare(root)
		root.SetArgs([]string{arg})
		if err := root.Execute(); ops.ExitCode(err) != ops.ExitConfig || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		root.SetArgs([]string{"livez"})
		if err := root.Execute(); !errors.Is(err, errRan) {
			t.Errorf("an argument that is right: %v", err)
		}
	}
}

func TestTheSinkIsNamed(t *testing.T) {
	p := &config.Pipeline{Name: "p", Sinks: []config.Sink{
		{Name: "warehouse", Postgres: &config.Postgres{}}, {Name: "archive", Postgres: &config.Postgres{}}, {Name: "lake", Delta: &config.Delta{}},
	}}
	postgres := sink.Destination{Kind: "PostgreSQL", Owns: func(s config.Sink) bool { return s.Postgres != nil }}
	redis := sink.Destination{Kind: "Redis", Owns: func(s config.Sink) bool { return s.Redis != nil }}
	for _, c := range []struct {
		of         sink.Destination
		name, want string
	}{
		{postgres, "warehuose", `pipeline "p" has no PostgreSQL sink "warehuose"; it has warehouse, archive; did you mean "warehouse"?`},
		{postgres, "lake", `pipeline "p" has no PostgreSQL sink "lake"; it has warehouse, archive`},
		{postgres, "", `pipeline "p" has several PostgreSQL sinks: name one with --sink (warehouse, archive)`},
		{redis, "lake", `pipeline "p" has no Redis sink`},
	} {
		if _, err := c.of.Pick(p, c.name); err == nil || err.Error() != c.want {
			t.Errorf("got  %v\nwant %s", err, c.want)
		}
	}
	if s, err := postgres.Pick(p, "archive"); err != nil || s.Name != "archive" {
		t.Errorf("got %q, %v", s.Name, err)
	}
}

func TestNearest(t *testing.T) {
	names := []string{"check", "plan", "run", "verify", "version", "show", "--retry-failed", "--listen"}
	for name, want := range map[string]string{
		"verfy": "verify", "vrify": "verify", "evrify": "verify", "versoin": "version", "runn": "run", "Run": "run", "ver": "verify",
		"lpan": "plan", "--retry": "--retry-failed", "--listn": "--listen", "": "", "start": "", "--": "", "x": "",
	} {
		if got := config.Nearest(name, names, max(1, len(name)/3)); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}
