package pipeline

import (
	"context"
	"time"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/sink"
)

// connecting is a writer of a sink that connects before it is opened, if it can.
type connecting struct {
	writer *pending[sink.Writer]
	cancel context.CancelFunc
	taken  bool
}

// connectAhead bounds how long it takes: opening the destination shows what it waits for.
const connectAhead = 2 * time.Second

// connect begins to connect to a destination once the query is known to be right. The caller
// takes the writer or ends it.
func (s *stages) connect(ctx context.Context, c config.Sink, asked *inquiry) *connecting {
	ctx, cancel := context.WithCancel(ctx)
	return &connecting{cancel: cancel, writer: begin(func() (sink.Writer, error) {
		w, err := newWriter(s.options, c)
		if err != nil {
			return nil, err
		}
		connector, can := w.(sink.Connector)
		if !can {
			return w, nil
		}
		checked, err := asked.checked.wait()
		if err != nil {
			return w, nil // it is not opened, and the answer says why
		}
		ctx, cancel := context.WithTimeout(ctx, connectAhead)
		defer cancel()
		err = connector.Connect(ctx, sink.Table{
			Pipeline: s.config.Name, Sink: c.Name, Schema: checked.Schema, BlockColumn: checked.Column, Network: checked.Network,
		})
		if err != nil {
			s.logger.Debug().Err(err).Str("sink", c.Name).Msg("did not connect ahead; the destination is opened all the same")
		}
		return w, nil
	})}
}

// take returns the writer when it has connected, or has failed to. The caller opens it.
func (c *connecting) take() (sink.Writer, error) {
	c.taken = true
	defer c.cancel()
	return c.writer.wait()
}

// end closes the writer unless it was taken.
func (c *connecting) end() error {
	if c.taken {
		return nil
	}
	c.cancel()
	w, err := c.writer.wait()
	if connector, can := w.(sink.Connector); can && err == nil {
		return connector.Close()
	}
	return nil
}
