// Command sqlite-sink loads the rows of a pipeline into a table of SQLite, and keeps the
// table equal to the chain. It is an example of a destination that is not part of ampipe:
// docs/destinations.md leads through it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/pipeline"
	"github.com/ampipe/ampipe/pkg/sink"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	os.Exit(pipeline.SinkCommand(ctx, reload, "sqlite-sink", Destination()))
}

// Config is what stands below custom: in the pipeline's file, beside kind: sqlite. The
// tags are those of package config.
type Config struct {
	Path  string      `yaml:"path" form:"path" required:"give the file of the database"`
	Table string      `yaml:"table" required:"give the name of the table to write"`
	Mode  config.Mode `yaml:"mode" default:"append" oneof:"append,upsert"`
	Key   []string    `yaml:"key" form:"set"` // columns; upsert only
}

// Destination returns what a program names to load SQLite.
func Destination() sink.Destination {
	return sink.Custom("sqlite", func(c Config) (sink.Writer, error) {
		if (c.Mode == config.Upsert) != (len(c.Key) > 0) {
			return nil, fmt.Errorf("table %q: mode: upsert and key go together; give both, or neither", c.Table)
		}
		return New(c), nil
	})
}
