package pipeline_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/delta"
)

// deltaModel is the model's table in a Delta Lake, which delta-rs reads.
type deltaModel struct {
	config config.Delta
	python string
	copies int
}

func newDeltaModel(t *testing.T, e *commandEnv) *deltaModel {
	t.Helper()
	python := os.Getenv("AMPIPE_TEST_DELTALAKE")
	if python == "" {
		t.Skip("AMPIPE_TEST_DELTALAKE is not set: no delta-rs for the model (scripts/test installs it)")
	}
	file := e.file("lake.yaml", `pipeline: model
source: { amp: "grpc://localhost:1", query: SELECT 1 }
sinks: [ { name: lake, delta: { path: ./lake, target_file_size: 1MiB, checkpoint_every: 5 } } ]
`)
	all, err := config.Load(file, os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	d := &deltaModel{config: *all[0].Sinks[0].Delta, python: python}
	d.config.MaxCommitDelay = 200 * time.Millisecond
	if !filepath.IsAbs(d.config.Path) {
		t.Fatalf("path %s", d.config.Path)
	}
	return d
}

func (d *deltaModel) name() string { return "lake" }

func (d *deltaModel) writer() sink.Writer { return delta.New(d.config) }

// disturb does nothing: a folder has no connections.
func (d *deltaModel) disturb(context.Context) error { return nil }

func (d *deltaModel) proxies() []*proxy { return nil }

// backup copies the log before the files that it names, so that these are there.
func (d *deltaModel) backup(context.Context) (func(context.Context) error, error) {
	d.copies++
	copied := fmt.Sprintf("%s-%d", d.config.Path, d.copies)
	for _, part := range []string{"_delta_log", "."} {
		from := filepath.Join(d.config.Path, part)
		if _, err := os.Stat(from); err != nil {
			continue // no version yet
		}
		if err := copyNew(filepath.Join(copied, part), from); err != nil {
			return nil, err
		}
		if part == "." { // versions that came meanwhile may name files that were not copied
			break
		}
	}
	return func(context.Context) error {
		if err := os.RemoveAll(d.config.Path); err != nil {
			return err
		}
		if _, err := os.Stat(copied); err != nil {
			return nil
		}
		return os.CopyFS(d.config.Path, os.DirFS(copied))
	}, nil
}

// copyNew copies a folder, except for its log if that is there already. Files that
// vanish meanwhile were not part of a version.
func copyNew(to, from string) error {
	_, err := os.Stat(filepath.Join(to, "_delta_log"))
	logged := err == nil
	return filepath.WalkDir(from, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return nil // gone
		}
		if logged && e.IsDir() && e.Name() == "_delta_log" {
			return filepath.SkipDir
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, name)
		if e.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return nil // gone
		}
		return os.WriteFile(target, content, 0o644)
	})
}

const readModel = `
import json, sys
from deltalake import DeltaTable
for r in DeltaTable(sys.argv[1]).to_pyarrow_table().to_pylist():
    print(json.dumps([r["_block_num"], r["idx"], r["hash"].hex(), "-" if r["note"] is None else r["note"]]))
`

func (d *deltaModel) rows(ctx context.Context) ([]modelRow, error) {
	if _, err := os.Stat(filepath.Join(d.config.Path, "_delta_log", "00000000000000000000.json")); err != nil {
		return nil, nil // no version yet
	}
	command := exec.CommandContext(ctx, d.python, "-c", readModel, d.config.Path)
	var said bytes.Buffer
	command.Stderr = &said
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("delta-rs: %w\n%s", err, &said)
	}
	var rows []modelRow
	for line := range bytes.Lines(out) {
		var row modelRow
		if err := json.Unmarshal(line, &[]any{&row.block, &row.index, &row.hash, &row.note}); err != nil {
			return nil, fmt.Errorf("row %s: %w", line, err)
		}
		rows = append(rows, row)
	}
	return rows, nil
}
