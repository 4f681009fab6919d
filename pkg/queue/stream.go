package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

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

// folderRemoval is how long a server has to take the folder of a deleted stream away.
// It frees the name first (nats-server 2.15): the folder of a stream that is made
// meanwhile goes with the old one, and then nothing can be stored in it.
const folderRemoval = time.Second

// remake opens a stream that was found missing, which may have been a moment ago.
func (c *Conn) remake(ctx context.Context, want jetstream.StreamConfig) (jetstream.Stream, error) {
	if !c.cfg.MustExist {
		if err := fault.Sleep(ctx, folderRemoval); err != nil {
			return nil, err
		}
	}
	return c.stream(ctx, want)
}

// stores explains an error of a publish that was not answered, if the server answers
// other requests: it says nothing when it cannot write.
func (c *Conn) stores(ctx context.Context, stream string, err error) error {
	if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, infoWait)
	defer cancel()
	if _, away := c.js.Stream(ctx, stream); away != nil {
		return err
	}
	return fault.Later(fmt.Errorf("NATS answers and does not store what is published: its own log says why, mostly a disk that is full or a folder that was removed; "+
		"make room and restart NATS, or else delete the stream %s, which is made again without a loss: %w", stream, err), 0)
}

// infoWait bounds the question whether the server answers at all.
const infoWait = 2 * time.Second
