package queue

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ampipe/ampipe/pkg/fault"
)

// stream opens a stream. The one process that may make streams, see [Config.MustExist],
// also brings it to this configuration.
func (c *Conn) stream(ctx context.Context, want jetstream.StreamConfig) (jetstream.Stream, error) {
	if !c.cfg.MustExist {
		return c.js.CreateOrUpdateStream(ctx, want)
	}
	stream, err := c.js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fault.Later(fmt.Errorf("stream %s does not exist yet: start the planner, which makes it", want.Name), 0)
	}
	return stream, err
}
