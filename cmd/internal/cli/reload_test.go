package cli

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/config"
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
