package pipeline

import (
	"context"
	"errors"
	"fmt"

	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// natsNeeds returns what a pipeline reserves in NATS.
func natsNeeds(p *config.Pipeline) queue.Needs {
	return queue.Needs{
		LogBytes: p.Log.MaxBytes, BlockBytes: p.Log.MaxBlockBytes, Sinks: len(p.Sinks),
		DeadLetters: puttingAside(p), DeadLetterBytes: p.Log.DeadLetterBytes,
	}
}

// checkNATS finds out whether NATS, as it is now, takes what the pipeline needs there.
// Nothing stays behind; the folder of an embedded server is not made.
func (c *checkup) checkNATS(ctx context.Context, p *config.Pipeline, spec state.Spec, log zerolog.Logger) (err error) {
	if p.NATS.Embedded != "" {
		if err := queue.CheckSpec(spec, 0); err != nil {
			return err
		}
		bytes, err := queue.CheckFolder(p.NATS.Embedded, p.Name, natsNeeds(p))
		if errors.Is(err, queue.ErrInUse) {
			if _, _, silent := queue.RunningServer(p.NATS.Embedded); silent == nil {
				c.say("nats      embedded, in %s, which a pipeline that runs has: another one would be refused", p.NATS.Embedded)
				return nil
			}
		}
		if err != nil {
			return err
		}
		c.say("nats      embedded, in %s: a log of up to %s", p.NATS.Embedded, queue.Size(bytes))
		if bytes < p.Log.MaxBytes {
			c.warn(partNATS, fmt.Sprintf("log.max_bytes is %s, and the disk of %s has room for a log of %s",
				queue.Size(p.Log.MaxBytes), p.NATS.Embedded, queue.Size(bytes)))
		}
		return nil
	}
	conn, err := openNATS(ctx, p.NATS, roleOperator, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := queue.CheckSpec(spec, conn.MaxPayload()); err != nil {
		return err
	}
	rights, err := conn.Rights(ctx, p.Name, sinkNames(p), puttingAside(p))
	if err != nil {
		return err
	}
	tried, err := conn.CheckRoom(ctx, p.Name, natsNeeds(p))
	if err != nil {
		return err
	}
	c.say("nats      connected, entries of up to %s, blocks of up to %s (log.max_block_bytes)",
		queue.Size(int64(conn.EntryLimit())), queue.Size(min(p.Log.MaxBlockBytes, conn.BlockLimit())))
	if !tried {
		c.warn(partNATS, "whether the NATS server has room for the log was not tried: "+
			"this user may not make the stream AMPIPE_CHECK, or another process has it just now")
	}
	ahead, err := conn.ClockAhead(ctx)
	if err != nil {
		return err
	}
	if warning := clockWarning(ahead); warning != "" {
		c.warn(partNATS, warning)
	}
	if c.examines {
		c.examineNATS(ctx, conn, p)
	}
	switch {
	case rights.All:
	case rights.Only != "":
		c.warn(partNATS, fmt.Sprintf("this user may do in NATS what %s does, and no more; "+
			"what the users of other processes may do was not tried", rights.Only))
	default:
		c.warn(partNATS, "this user may only look in NATS; what the users of planner, extractor and sinks may do was not tried")
	}
	return nil
}

func sinkNames(p *config.Pipeline) []string {
	names := make([]string, len(p.Sinks))
	for i, s := range p.Sinks {
		names[i] = s.Name
	}
	return names
}

// puttingAside returns the names of the sinks whose refused rows become dead letters.
func puttingAside(p *config.Pipeline) []string {
	var names []string
	for _, s := range p.Sinks {
		if s.PutsAside() {
			names = append(names, s.Name)
		}
	}
	return names
}
