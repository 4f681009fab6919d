package pipeline

import (
	"context"
	"io"
	"os"

	"github.com/ampipe/ampipe/pkg/sink"
)

// RunSinkCommand is SinkCommand with a command line.
func RunSinkCommand(ctx context.Context, reload <-chan os.Signal, out, errs io.Writer, d sink.Destination, args ...string) error {
	c := newSinkCommand(reload, out, errs)
	err := c.parse(c.flags("command", d.Kind), args)
	if err != nil {
		return err
	}
	return c.run(ctx, d)
}
