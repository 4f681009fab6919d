package main

import (
	"testing"

	"github.com/ampipe/ampipe/cmd/internal/cli"
	"github.com/ampipe/ampipe/pkg/config"
)

// TestCollectAt: a run that also loads a Delta table holds most memory.
func TestCollectAt(t *testing.T) {
	t.Parallel()
	table := config.Sink{Name: "warehouse", Postgres: &config.Postgres{}}
	lake := config.Sink{Name: "lake", Delta: &config.Delta{}}
	for name, c := range map[string]struct {
		sinks [][]config.Sink // of each pipeline
		want  int
	}{
		"PostgreSQL":                     {[][]config.Sink{{table}}, cli.CollectRun},
		"Delta Lake":                     {[][]config.Sink{{lake}}, cli.CollectLake},
		"both":                           {[][]config.Sink{{table, lake}}, cli.CollectLake},
		"Delta Lake in another pipeline": {[][]config.Sink{{table}, {lake}}, cli.CollectLake},
	} {
		var pipelines []*config.Pipeline
		for _, sinks := range c.sinks {
			pipelines = append(pipelines, &config.Pipeline{Sinks: sinks})
		}
		if got := collectAt(pipelines); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
