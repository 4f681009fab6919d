package queue

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// pendingConsumer answers looks with the numbers given, the last of them again and again.
type pendingConsumer struct {
	jetstream.Consumer
	pending []uint64
	err     error
	looks   int
}

func (c *pendingConsumer) Info(context.Context) (*jetstream.ConsumerInfo, error) {
	if c.err != nil {
		return nil, c.err
	}
	n := c.pending[min(c.looks, len(c.pending)-1)]
	c.looks++
	return &jetstream.ConsumerInfo{NumPending: n}, nil
}

// TestAFastLogIsReadFromFullFiles: a file of the log that is read while it is written stays
// in memory for ten seconds.
func TestAFastLogIsReadFromFullFiles(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	growing := make([]uint64, mostLooks)
	for i := range growing {
		growing[i] = uint64(i % 7)
	}
	for name, test := range map[string]struct {
		perSecond int // messages of 1 MiB that came
		pending   uint64
		looks     []uint64
		lost      error
		want      int
		wantLooks int
	}{
		"slow":                      {perSecond: 7, pending: 1, want: 100},
		"far behind":                {perSecond: 8, pending: 50, want: 42},
		"further than is wanted":    {perSecond: 8, pending: 500, want: 100},
		"until a file is full":      {perSecond: 20, pending: 2, looks: []uint64{5, 5, 8, 10}, want: 2, wantLooks: 4},
		"the source makes a pause":  {perSecond: 20, pending: 2, looks: []uint64{3}, want: 3, wantLooks: 1 + sameLooks},
		"everything has been read":  {perSecond: 20, pending: 0, looks: []uint64{0}, want: 1, wantLooks: sameLooks},
		"the source becomes slow":   {perSecond: 20, pending: 1, looks: growing, want: 4, wantLooks: mostLooks},
		"the server does not reply": {perSecond: 20, pending: 1, lost: errors.New("no responders"), want: 100},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var b behind
				for range 2 { // the first message of a second judges the one before
					for range test.perSecond {
						b.came(time.Now(), mib, test.pending)
					}
					time.Sleep(time.Second)
				}
				b.came(time.Now(), mib, test.pending)
				c := &pendingConsumer{pending: test.looks, err: test.lost}
				began := time.Now()
				if got := b.allowed(t.Context(), c, 100); got != test.want || c.looks != test.wantLooks {
					t.Errorf("%d messages may be requested after %d looks, want %d after %d", got, c.looks, test.want, test.wantLooks)
				}
				if took := time.Since(began); took > time.Second {
					t.Errorf("they were waited for for %v", took)
				}
			})
		})
	}
}

// TestASecondWithoutMessagesIsNotFast: what came long ago does not say how fast it comes now.
func TestASecondWithoutMessagesIsNotFast(t *testing.T) {
	t.Parallel()
	var b behind
	began := time.Now()
	for range 100 {
		b.came(began, 1<<20, 0)
	}
	b.came(began.Add(time.Minute), 1<<20, 0)
	if got := b.allowed(t.Context(), nil, 100); got != 100 {
		t.Errorf("%d messages may be requested, want 100", got)
	}
}
