package queue

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Reclaim takes back what workers hold, without waiting until they are known to be
// dead. It is for a process whose embedded server has just started: whoever had tasks
// ended with the server before.
func (t *Tasks) Reclaim(ctx context.Context) error {
	for _, kind := range []string{PartitionTask, LiveTask} {
		// Only the stream, which stays, says which tasks there are.
		err := t.conn.js.DeleteConsumer(ctx, taskStream, kind+"-"+t.pipeline)
		t.forget(kind)
		if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return t.fail(ctx, fmt.Errorf("take back the %s tasks: %w", kind, err))
		}
	}
	return nil
}

// Reclaim lets a sink read the live lane at once, though a process of it that has ended
// was to have it next; see [Tasks.Reclaim].
func (l *Log) Reclaim(ctx context.Context, sink string) error {
	if err := checkName("sink", sink); err != nil {
		return err
	}
	stream, err := l.conn.js.Stream(ctx, l.stream())
	if err == nil {
		err = stream.UnpinConsumer(ctx, Live.durable(sink), liveGroup)
	}
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return l.fail(ctx, fmt.Errorf("take back the live lane of sink %s: %w", sink, err))
	}
	return nil
}
