package queue

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// ForgetSink removes what the state holds of a sink that no process runs: its report, its
// pause, its replay, and the documents of its processes.
func (s *State) ForgetSink(ctx context.Context, sink string) error {
	if err := checkName("sink", sink); err != nil {
		return err
	}
	for _, key := range []string{keySink + "." + sink, keyPause + "." + sink, keyReplay + "." + sink, keyProcess + ".sink-" + sink + ".*"} {
		if err := s.purge(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// Forget removes all documents of the pipeline. Nobody may write them meanwhile.
func (s *State) Forget(ctx context.Context) error { return s.purge(ctx, ">") }

// purge removes documents, and leaves no marks of them behind, as deleting does.
func (s *State) purge(ctx context.Context, keys string) error {
	if err := s.conn.purge(ctx, stateStream, stateSubject+s.key(keys)); err != nil {
		return s.fail(ctx, "remove", keys, err)
	}
	return nil
}

// Forget removes all tasks of the pipeline, and the consumers that hand them out. No worker
// may ask for them meanwhile.
func (t *Tasks) Forget(ctx context.Context) error {
	for _, kind := range []string{PartitionTask, LiveTask} {
		err := t.conn.js.DeleteConsumer(ctx, taskStream, kind+"-"+t.pipeline)
		if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return t.conn.classify(ctx, fmt.Errorf("remove the consumer of %s tasks: %w", kind, err))
		}
	}
	if err := t.conn.purge(ctx, taskStream, taskSubject+t.pipeline+".>"); err != nil {
		return t.conn.classify(ctx, fmt.Errorf("remove the tasks of pipeline %s: %w", t.pipeline, err))
	}
	return nil
}

// purge removes the messages of a stream on some subjects. A stream that is not there has none.
func (c *Conn) purge(ctx context.Context, stream, subject string) error {
	asked, cancel := context.WithTimeout(ctx, requestWait)
	defer cancel()
	s, err := c.js.Stream(asked, stream)
	if err == nil {
		err = s.Purge(asked, jetstream.WithPurgeSubject(subject))
	}
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	return err
}
