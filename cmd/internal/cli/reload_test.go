package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/pipeline"
)

const reloadable = "pipeline: eth-logs\nsource: { amp: grpc://h:1, query: SELECT * FROM d.t }\nsinks: [ { name: s, delta: { path: x } } ]\n"

// TestEveryStageReloads has a stage be told by SIGHUP: it is passed the configuration as it is
// now, unless that has a fault.
func TestEveryStageReloads(t *testing.T) {
	file := filepath.Join(t.TempDir(), "p.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	hangUp := func() {
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	next := func(o pipeline.Options) *config.Pipeline {
		select {
		case r := <-o.Reload:
			r.Done(nil)
			return r.Pipelines[0]
		case <-time.After(30 * time.Second):
			t.Fatal("nothing was read again")
			return nil
		}
	}
	run := func(ctx context.Context, p *config.Pipeline, o pipeline.Options) error {
		if p.Extract.Workers != 4 {
			t.Errorf("%d workers at the start", p.Extract.Workers)
		}
		write(reloadable + "extract: { workers: 7 }\n")
		hangUp()
		if n := next(o).Extract.Workers; n != 7 {
			t.Errorf("%d workers after the first change", n)
		}
		write(reloadable + "extract: { workers: 8, worker: 1 }\n")
		hangUp()
		select {
		case <-o.Reload:
			t.Error("a file with a fault is passed on")
		case <-time.After(300 * time.Millisecond):
		}
		write(reloadable + "extract: { workers: 9 }\n")
		hangUp()
		if n := next(o).Extract.Workers; n != 9 || ctx.Err() != nil {
			t.Errorf("%d workers after the second change; %v", n, context.Cause(ctx))
		}
		return errRan
	}
	write(reloadable)
	root := stageCommand("extractor [PIPELINE]", "Read", "Takes partitions.", nil, run)
	prepare(root)
	root.SetArgs([]string{"-c", file, "--log-level", "error"})
	if err := root.ExecuteContext(t.Context()); err != errRan {
		t.Fatal(err)
	}
}

// TestReload is what becomes of the level of the log, and of a configuration that is refused.
func TestReload(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		level, named string // at the start, and in the file now
		fixed        bool   // by the command line
		refused      error  // by the pipeline
		says, after  string // and the level after it
	}{
		"quieter":             {level: "info", named: "error", after: "error", says: `"key":"log_level","from":"info","to":"error","message":"the changed key is taken"`},
		"louder":              {level: "error", named: "debug", after: "debug", says: `"key":"log_level","from":"error","to":"debug","message":"the changed key is taken"`},
		"as it was":           {level: "warn", named: "warn", after: "warn"},
		"by the command line": {level: "info", named: "debug", fixed: true, after: "info", says: `the changed key is not used: --log-level of the command line decides`},
		"refused": {level: "info", named: "debug", after: "info", refused: context.Canceled,
			says: `"level":"error","error":"context canceled","message":"the configuration was read again and is refused; the settings stay as they are"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, level := &bytes.Buffer{}, &ops.LevelVar{}
			if err := level.Set(c.level); err != nil {
				t.Fatal(err)
			}
			r := &reloader{
				load:  func() ([]*config.Pipeline, error) { return []*config.Pipeline{{LogLevel: c.named}}, nil },
				level: level, named: c.level, fixed: c.fixed, log: zerolog.New(out).Hook(level), reloads: make(chan pipeline.Reload),
			}
			go func() { (<-r.reloads).Done(c.refused) }()
			r.reload(t.Context())
			if !strings.Contains(out.String(), c.says) || (c.says == "") != (out.Len() == 0) {
				t.Errorf("it logs\n%swant %s", out, c.says)
			}
			for _, name := range strings.Fields(logLevels) {
				out.Reset()
				of, _ := zerolog.ParseLevel(name)
				r.log.WithLevel(of).Msg("a line")
				after, _ := zerolog.ParseLevel(c.after)
				if (out.Len() > 0) != (of >= after) {
					t.Errorf("at level %s a line of level %s is logged: %v", c.after, name, out.Len() > 0)
				}
			}
		})
	}
}
