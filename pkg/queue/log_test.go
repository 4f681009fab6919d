package queue_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/queue"
)

func TestPublishAndTail(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	l := mustLog(t, mustConn(t), 0)
	tail, err := l.Tail(ctx, "p.0.0")
	if err != nil || tail.Found || tail.Seq != 0 {
		t.Fatalf("an empty lane ends with %+v (%v)", tail, err)
	}
	one := mustPublish(t, l, "p.0.0", 0, "a", group(0, 4, 10))
	other := mustPublish(t, l, "p.50.0", 0, "b", group(50, 54, 10))
	two := mustPublish(t, l, "p.0.0", one, "c", group(5, 9, 10))
	if one != 1 || other != 2 || two != 3 {
		t.Errorf("sequences are %d, %d, %d", one, other, two)
	}
	tail, err = l.Tail(ctx, "p.0.0")
	if err != nil || !tail.Found || tail.Seq != two || tail.ID != "c" || tail.Entry.Range != block.Closed(5, 9) {
		t.Errorf("the lane ends with %+v (%v)", tail, err)
	}
	state, err := l.State(ctx)
	if err != nil || state.First != 1 || state.Last != 3 || state.Messages != 3 || state.Bytes == 0 {
		t.Errorf("state is %+v (%v)", state, err)
	}
}

// TestZombieIsFenced: a worker that lost its task cannot continue the lane.
func TestZombieIsFenced(t *testing.T) {
	t.Parallel()
	l := mustLog(t, mustConn(t), 0)
	start := mustPublish(t, l, "p.0.0", 0, "start", group(0, 0, 10))
	mustPublish(t, l, "p.0.0", start, "new holder", group(1, 5, 10))
	for _, after := range []uint64{0, start} {
		_, err := l.Publish(testContext(t), "p.0.0", after, "zombie", group(1, 3, 10))
		if !errors.Is(err, queue.ErrFenced) || fault.Of(err) != fault.ClassPermanent {
			t.Errorf("after %d: %v", after, err)
		}
		_, err = l.Publish(testContext(t), "p.0.0", after, "zombie batch", parts(1, 3, 10))
		if !errors.Is(err, queue.ErrFenced) {
			t.Errorf("batch after %d: %v", after, err)
		}
	}
	if state, _ := l.State(testContext(t)); state.Messages != 2 {
		t.Errorf("the log has %d messages", state.Messages)
	}
}

// TestLostAnswerIsRecognised repeats calls that were stored.
func TestLostAnswerIsRecognised(t *testing.T) {
	t.Parallel()
	l := mustLog(t, mustConn(t), 0)
	first := mustPublish(t, l, "p.0.0", 0, "a", group(0, 0, 10))
	if again := mustPublish(t, l, "p.0.0", 0, "a", group(0, 0, 10)); again != first {
		t.Errorf("repeated: %d, first: %d", again, first)
	}
	batch := mustPublish(t, l, "p.0.0", first, "b", parts(1, 4, 10))
	if again := mustPublish(t, l, "p.0.0", first, "b", parts(1, 4, 10)); again != batch || batch != first+4 {
		t.Errorf("repeated: %d, first: %d", again, batch)
	}
	if state, _ := l.State(testContext(t)); state.Messages != 5 {
		t.Errorf("the log has %d messages", state.Messages)
	}
}

// TestBatchIsAllOrNone: readers see a block's parts next to each other or not at
// all, and the names of their predecessors.
func TestBatchIsAllOrNone(t *testing.T) {
	t.Parallel()
	l := mustLog(t, mustConn(t), 0)
	a := mustPublish(t, l, "p.0.0", 0, "a", group(0, 0, 10))
	mustPublish(t, l, "p.9.0", 0, "else", group(9, 9, 10))
	b := mustPublish(t, l, "p.0.0", a, "b", parts(1, 40, 300<<10))
	bad := parts(2, 3, 10)
	bad[2].Payload = make([]byte, 9<<20) // over max_payload
	if _, err := l.Publish(testContext(t), "p.0.0", b, "c", bad); err == nil || fault.Of(err) != fault.ClassPermanent {
		t.Errorf("a part over the limit gives %v", err)
	}
	mustPublish(t, l, "p.0.0", b, "d", group(2, 2, 10))
	c := mustConsume(t, l, queue.ConsumeOptions{})
	defer c.Close()
	after := map[string]uint64{}
	part := 0
	for range 43 {
		m := mustNext(t, c)
		if m.After != after[m.Lane] {
			t.Errorf("message %d of lane %s follows %d, says %d", m.Seq, m.Lane, after[m.Lane], m.After)
		}
		after[m.Lane] = m.Seq
		if m.Entry.Parts > 0 {
			if m.Entry.Part != part || m.Entry.Parts != 40 || len(m.Entry.Payload) != 300<<10 {
				t.Errorf("part %d is %+v", part, m.Entry.Header)
			}
			part++
		}
		if err := m.Ack(); err != nil {
			t.Error(err)
		}
	}
	if part != 40 || after["p.0.0"] != b+1 {
		t.Errorf("%d parts, lane ends at %d", part, after["p.0.0"])
	}
}

// TestFullLogIsBackPressure: a full log makes the publisher wait, visibly, and
// continue with the same entry when there is room.
func TestFullLogIsBackPressure(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	l := mustLog(t, mustConn(t), 64<<20)
	after, n := uint64(0), 0
	for ; ; n++ {
		seq, err := l.Publish(ctx, "p.0.0", after, "x", group(block.Number(n), block.Number(n), 4<<20))
		if err != nil {
			if !errors.Is(err, queue.ErrFull) || fault.Of(err) != fault.ClassLater {
				t.Fatal(err)
			}
			break
		}
		after = seq
	}
	if n < 10 {
		t.Errorf("only %d MiB fitted", 4*n)
	}
	if _, err := l.Publish(ctx, "p.0.0", after, "batch", parts(100, 3, 4<<20)); !errors.Is(err, queue.ErrFull) || fault.Of(err) != fault.ClassLater {
		t.Errorf("a batch into the full log gives %v", err)
	}
	waits := 0
	seq, err := l.PublishWait(ctx, "p.0.0", after, "last", group(99, 99, 4<<20), func(err error, _ time.Duration) {
		if !errors.Is(err, queue.ErrFull) {
			t.Errorf("waits for %v", err)
		}
		waits++
		if waits == 2 {
			if err := l.Trim(ctx, 3); err != nil {
				t.Error(err)
			}
		}
	})
	if err != nil || seq != after+1 || waits != 2 {
		t.Errorf("published %d after %d waits (%v)", seq, waits, err)
	}
	if state, _ := l.State(ctx); state.First != 4 || state.MaxBytes != 64<<20 {
		t.Errorf("state is %+v", state)
	}
}

// TestResumeAfterTrim: a lane whose messages were all trimmed starts at 0.
func TestResumeAfterTrim(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	l := mustLog(t, mustConn(t), 0)
	seq := mustPublish(t, l, "p.0.0", 0, "a", group(0, 0, 10))
	if err := l.Trim(ctx, seq); err != nil {
		t.Fatal(err)
	}
	if tail, err := l.Tail(ctx, "p.0.0"); err != nil || tail.Found {
		t.Fatalf("a trimmed lane ends with %+v (%v)", tail, err)
	}
	if _, err := l.Publish(ctx, "p.0.0", seq, "b", group(1, 1, 10)); !errors.Is(err, queue.ErrFenced) {
		t.Errorf("the old position is answered with %v", err)
	}
	if next := mustPublish(t, l, "p.0.0", 0, "a", group(0, 0, 10)); next != seq+1 {
		t.Errorf("goes on at %d", next)
	}
}

// TestDeletedLog: the next process that meets it makes it anew.
func TestDeletedLog(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	conn := mustConn(t)
	l := mustLog(t, conn, 0)
	mustPublish(t, l, "p.0.0", 0, "a", group(0, 0, 10))
	for range 2 {
		if err := l.Delete(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Tail(ctx, "p.0.0"); fault.Of(err) != fault.ClassLater || !strings.Contains(err.Error(), "the log was deleted; it has been made anew") {
		t.Errorf("%v", err)
	}
	if state, err := l.State(ctx); err != nil || state.Messages != 0 {
		t.Errorf("%+v, %v", state, err)
	}
	mustPublish(t, l, "p.0.0", 0, "a", group(0, 0, 10))
}

func TestNames(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	conn := mustConn(t)
	for _, name := range []string{"", "a.b", "a b", "*", "ä", strings.Repeat("x", 65)} {
		if _, err := conn.Log(ctx, name, queue.LogConfig{}); fault.Of(err) != fault.ClassPermanent {
			t.Errorf("pipeline %q: %v", name, err)
		}
	}
	l := mustLog(t, conn, 0)
	for _, lane := range []string{"", ".", "p.", "p..1", "p.>", "p *"} {
		if _, err := l.Publish(ctx, lane, 0, "x", group(0, 0, 1)); fault.Of(err) != fault.ClassPermanent {
			t.Errorf("lane %q: %v", lane, err)
		}
	}
}

// TestPublishEndsWithItsContext: back-pressure does not outlive the publisher.
func TestPublishEndsWithItsContext(t *testing.T) {
	t.Parallel()
	l := mustLog(t, mustConn(t), 64<<20)
	after := uint64(0)
	for {
		seq, err := l.Publish(testContext(t), "p.0.0", after, "x", group(0, 0, 8<<20-8<<10))
		if errors.Is(err, queue.ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		after = seq
	}
	stop := errors.New("told to stop")
	ctx, cancel := context.WithCancelCause(testContext(t))
	_, err := l.PublishWait(ctx, "p.0.0", after, "y", group(0, 0, 8<<20-8<<10), func(error, time.Duration) { cancel(stop) })
	if !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
}
