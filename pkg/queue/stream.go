package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ampipe/ampipe/pkg/fault"
)

// stream opens a stream. The one process that may make streams, see [Config.MustExist],
// also brings it to this configuration, if it has another: a server without room refuses
// any update, also one that changes nothing.
func (c *Conn) stream(ctx context.Context, want jetstream.StreamConfig) (jetstream.Stream, error) {
	stream, err := c.js.Stream(ctx, want.Name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound) && c.cfg.MustExist:
		return nil, fault.Later(&noStreamError{want.Name}, 0)
	case errors.Is(err, jetstream.ErrStreamNotFound):
		stream, err = c.create(ctx, want)
		if !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return stream, err
		}
		if stream, err = c.js.Stream(ctx, want.Name); err != nil { // another planner was faster
			return nil, err
		}
	case err != nil || c.cfg.MustExist:
		return stream, err
	}
	have := stream.CachedInfo().Config
	next := merged(have, want)
	if reflect.DeepEqual(have, next) {
		return stream, nil
	}
	updated, err := c.js.UpdateStream(ctx, next)
	if noRoom(err) && next.MaxBytes <= have.MaxBytes {
		// A server that has reserved more than it has refuses even to reserve less, or to
		// allow what nothing depends on: the next start tries again.
		next.MaxBytes, next.AllowMsgTTL = have.MaxBytes, have.AllowMsgTTL
		next.AllowAtomicPublish = have.AllowAtomicPublish || strings.HasPrefix(want.Name, logStream)
		if reflect.DeepEqual(have, next) {
			return stream, nil
		}
	}
	return updated, err
}

// existing opens a stream as it is.
func (c *Conn) existing(ctx context.Context, name string) (jetstream.Stream, error) {
	stream, err := c.js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		err = fault.Later(&noStreamError{name}, 0)
	}
	return stream, err
}

// ErrNoStream says that a stream does not exist: nothing was planned yet, or it was deleted.
var ErrNoStream = errors.New("the stream does not exist")

type noStreamError struct{ name string }

func (e *noStreamError) Error() string {
	return fmt.Sprintf("stream %s does not exist yet: start the planner, which makes it", e.name)
}

func (e *noStreamError) Is(target error) bool { return target == ErrNoStream }

// lateRelease is how long a cluster may take to give back what a deleted stream, such as
// a probe, has reserved.
const lateRelease = 3 * time.Second

// create makes a stream. In a cluster it may be refused for what has just been deleted.
func (c *Conn) create(ctx context.Context, want jetstream.StreamConfig) (jetstream.Stream, error) {
	for began := time.Now(); ; {
		stream, err := c.js.CreateStream(ctx, want)
		if !noRoom(err) || c.cfg.Replicas < 2 || time.Since(began) > lateRelease {
			return stream, err
		}
		if fault.Sleep(ctx, lateRelease/10) != nil {
			return nil, err
		}
	}
}

// merged returns the configuration of a stream with everything in it that matters as
// wanted. The rest (placement, compression, metadata) is the operator's.
func merged(have, want jetstream.StreamConfig) jetstream.StreamConfig {
	next := have
	next.Subjects, next.Retention, next.Storage = want.Subjects, want.Retention, want.Storage
	next.MaxBytes, next.Replicas, next.Discard = want.MaxBytes, want.Replicas, want.Discard
	next.DiscardNewPerSubject, next.AllowDirect = want.DiscardNewPerSubject, want.AllowDirect
	next.AllowAtomicPublish, next.DenyDelete, next.AllowRollup = want.AllowAtomicPublish, want.DenyDelete, want.AllowRollup
	next.MaxMsgsPerSubject = cmp.Or(want.MaxMsgsPerSubject, -1)
	next.AllowMsgTTL = have.AllowMsgTTL || want.AllowMsgTTL // it cannot be taken back
	// Nothing but ampipe removes or refuses messages.
	next.MaxAge, next.MaxMsgs, next.MaxMsgSize, next.NoAck = 0, -1, -1, false
	return next
}

// durable opens a durable consumer, and makes it or brings it to this configuration if
// need be.
func durable(ctx context.Context, js jetstream.JetStream, stream string, want jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	consumer, err := js.Consumer(ctx, stream, want.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return js.CreateOrUpdateConsumer(ctx, stream, want)
	}
	if err != nil {
		return nil, err
	}
	have := consumer.CachedInfo().Config
	next := have
	next.FilterSubject, next.FilterSubjects, next.DeliverPolicy = want.FilterSubject, want.FilterSubjects, want.DeliverPolicy
	next.AckPolicy, next.AckWait, next.MaxDeliver, next.MaxAckPending = want.AckPolicy, want.AckWait, want.MaxDeliver, want.MaxAckPending
	next.MaxWaiting = cmp.Or(want.MaxWaiting, have.MaxWaiting)
	switch {
	case have.MemoryStorage: // it began where it was to, and that cannot be changed
		next.DeliverPolicy = have.DeliverPolicy
	case want.MemoryStorage: // an earlier version has kept it on disk, which cannot be changed either
		if err := js.DeleteConsumer(ctx, stream, want.Durable); err != nil {
			return nil, err
		}
		return js.CreateOrUpdateConsumer(ctx, stream, want)
	}
	next.PriorityPolicy, next.PriorityGroups, next.PinnedTTL = want.PriorityPolicy, want.PriorityGroups, want.PinnedTTL
	if reflect.DeepEqual(have, next) {
		return consumer, nil
	}
	return js.CreateOrUpdateConsumer(ctx, stream, next)
}

// ClockAhead returns by how much the clock of this machine is ahead of that of the NATS
// server, which is in the state of a stream; 0 if there is none yet.
func (c *Conn) ClockAhead(ctx context.Context) (time.Duration, error) {
	asked := time.Now()
	stream, err := c.js.Stream(ctx, stateStream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, c.classify(ctx, fmt.Errorf("ask NATS for its time: %w", err))
	}
	answered := time.Now()
	theirs := stream.CachedInfo().TimeStamp
	if theirs.IsZero() || (!theirs.Before(asked) && !theirs.After(answered)) {
		return 0, nil
	}
	return asked.Add(answered.Sub(asked) / 2).Sub(theirs), nil
}

// folderRemoval is how long a server may take to remove the folder of a deleted stream.
// It frees the name first (nats-server 2.15): the folder of a stream that is made
// meanwhile is removed with the old one, and then nothing can be stored in it.
const folderRemoval = time.Second

// remake opens a stream that was found missing, which may have been a moment ago.
func (c *Conn) remake(ctx context.Context, want jetstream.StreamConfig) error {
	if !c.cfg.MustExist {
		if err := fault.Sleep(ctx, folderRemoval); err != nil {
			return err
		}
	}
	_, err := c.stream(ctx, want)
	return err
}

// stores explains an error of a publish that was not answered, if the server answers
// other requests: it does not answer when it cannot write.
func (c *Conn) stores(ctx context.Context, stream string, err error) error {
	if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, infoWait)
	defer cancel()
	if _, away := c.js.Stream(ctx, stream); away != nil {
		return err
	}
	return fault.Later(fmt.Errorf("NATS answers and does not store what is published: "+
		"its own log says why, mostly a disk that is full or a folder that was removed; "+
		"make room and restart NATS, or else delete the stream %s, which is made again without a loss: %w", stream, err), 0)
}

// infoWait bounds the check whether the server answers at all.
const infoWait = 2 * time.Second
