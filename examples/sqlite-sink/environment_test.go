package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/sinktest"
)

// TestWhatIsRefused holds that what Open refuses is said by Check before, in the same words,
// that it is permanent, and that neither leaves anything behind.
func TestWhatIsRefused(t *testing.T) {
	suite := sink.Table{Pipeline: "p", Sink: "s", Schema: sinktest.Schema, BlockColumn: 1, Epoch: 1}
	for name, c := range map[string]struct {
		breaks func(t *testing.T, c *Config, table *sink.Table)
		says   string
	}{
		"no folder": {func(_ *testing.T, c *Config, _ *sink.Table) {
			c.Path = filepath.Join(filepath.Dir(c.Path), "none", "x.db")
		},
			"the folder of the database cannot be written"},
		"no database": {func(t *testing.T, c *Config, _ *sink.Table) {
			err := os.WriteFile(c.Path, []byte(strings.Repeat("no database ", 100)), 0o600)
			if err != nil {
				t.Fatal(err)
			}
		}, "file is not a database"},
		"another program's table": {func(t *testing.T, c *Config, _ *sink.Table) { execute(t, c.Path, "CREATE TABLE t (a)") },
			"if it is another program's, choose another name"},
		"another sink's table": {func(t *testing.T, c *Config, table *sink.Table) {
			load(t, *c, *table)
			table.Sink = "other"
		}, `table "t" is loaded by sink p/s: give each sink a table of its own`},
		"other columns": {func(t *testing.T, c *Config, table *sink.Table) {
			load(t, *c, *table)
			table.Schema = sinktest.LogSchema
			table.BlockColumn = 0
		}, `table "t" was made for other columns or another key`},
		"another key": {func(t *testing.T, c *Config, table *sink.Table) {
			load(t, *c, *table)
			c.Mode, c.Key = config.Upsert, []string{"key"}
		}, `table "t" was made for other columns or another key`},
		"no such column": {func(_ *testing.T, c *Config, _ *sink.Table) { c.Mode, c.Key = config.Upsert, []string{"none"} },
			`the query has no column "none", which key names`},
		"columns that differ in case": {func(_ *testing.T, _ *Config, table *sink.Table) {
			table.Schema = arrow.NewSchema([]arrow.Field{{Name: "B", Type: arrow.PrimitiveTypes.Int64}, {Name: "b", Type: arrow.PrimitiveTypes.Int64}}, nil)
		}, `two columns are called "b": rename one in the query, with AS`},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, table := Config{Path: filepath.Join(t.TempDir(), "x.db"), Table: "t"}, suite
			c.breaks(t, &cfg, &table)
			checked, opened := New(cfg).Check(t.Context(), table), New(cfg).Open(t.Context(), table)
			for _, err := range []error{checked, opened} {
				if err == nil || !strings.Contains(err.Error(), c.says) || fault.Of(err) != fault.ClassPermanent {
					t.Errorf("it is answered with %v, want %s", err, c.says)
				}
			}
		})
	}
}

// TestCheckChangesNothing looks for what a check leaves behind.
func TestCheckChangesNothing(t *testing.T) {
	cfg := Config{Path: filepath.Join(t.TempDir(), "x.db"), Table: "t", Mode: config.Upsert, Key: []string{"key"}}
	table := sink.Table{Pipeline: "p", Sink: "s", Schema: sinktest.Schema, BlockColumn: 1, Epoch: 1}
	err := New(cfg).Check(t.Context(), table)
	if err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(filepath.Dir(cfg.Path))
	if err != nil || len(left) > 0 {
		t.Errorf("a check has left %v, %v", left, err)
	}
	execute(t, cfg.Path, "CREATE TABLE u (a)")
	err = New(cfg).Check(t.Context(), table)
	if err != nil {
		t.Fatal(err)
	}
	err = New(cfg).OpenStored(t.Context(), table)
	if err == nil {
		t.Error("a check has made the table")
	}
}

func load(t *testing.T, c Config, table sink.Table) {
	t.Helper()
	w := New(c)
	err := w.Open(t.Context(), table)
	if err != nil {
		t.Fatal(err)
	}
	err = w.Close()
	if err != nil {
		t.Fatal(err)
	}
}
