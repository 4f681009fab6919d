package queue_test

import (
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/trace"
)

// TestATraceIsInTheHeader of all messages of a group that is traced, and of no other. What was
// stored is recognised whatever trace the repetition is of.
func TestATraceIsInTheHeader(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	l := mustLog(t, mustConn(t), 0)
	lane := trace.New(sdktrace.NewTracerProvider(), "p").Lane("p.0.0", false)
	publish := func(after uint64, id string, g entry.Group) (seq uint64, parent string) {
		t.Helper()
		ctx, p := lane.Publish(ctx, g)
		defer p.End(nil)
		seq, err := l.Publish(ctx, "p.0.0", after, id, g)
		if err != nil {
			t.Fatal(err)
		}
		return seq, trace.Parent(ctx)
	}
	first := mustPublish(t, l, "p.0.0", 0, "a", group(0, 0, 10))
	second, one := publish(first, "b", group(1, 1, 10))
	last, several := publish(second, "c", parts(2, 3, 10))
	again, other := publish(second, "c", parts(2, 3, 10))
	if again != last || other == several || one == several || len(one) != 55 {
		t.Errorf("the repetition is message %d, and was %d; the traces are %q, %q and %q", again, last, one, several, other)
	}
	c := mustConsume(t, l, queue.ConsumeOptions{})
	defer c.Close()
	for _, want := range []string{"", one, several, several, several} {
		m := mustNext(t, c)
		read, err := l.Read(ctx, m.Lane, m.Seq)
		if err != nil || m.Damaged != nil || m.Trace != want || read.Trace != want {
			t.Errorf("message %d is of trace %q, want %q; %v %v", m.Seq, m.Trace, want, m.Damaged, err)
		}
		if err := m.Ack(); err != nil {
			t.Error(err)
		}
	}
}
