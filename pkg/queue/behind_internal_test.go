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
	steady := make([]uint64, 60)
	for i := range steady {
		steady[i] = uint64(2 + i*3/10) // 12 MiB a second
	}
	for name, test := range map[string]struct {
		perSecond int // messages of 1 MiB that were published
		pending   uint64
		looks     []uint64
		lost      error
		want      int
		wantLooks int
	}{
		"slow":                      {perSecond: 3, pending: 1, want: 1},
		"slow and far behind":       {perSecond: 3, pending: 50, want: 40},
		"far behind":                {perSecond: 8, pending: 50, want: 40},
		"further than is wanted":    {perSecond: 8, pending: 500, want: 100},
		"until a file is full":      {perSecond: 20, pending: 2, looks: []uint64{5, 5, 8, 12}, want: 2, wantLooks: 4},
		"the source makes a pause":  {perSecond: 80, pending: 2, looks: []uint64{3}, want: 3, wantLooks: 4},
		"a longer pause":            {perSecond: 40, pending: 2, looks: []uint64{3}, want: 3, wantLooks: 5},
		"everything has been read":  {perSecond: 80, pending: 0, looks: []uint64{0}, want: 1, wantLooks: 3},
		"the source becomes slow":   {perSecond: 12, pending: 1, looks: steady[:4], want: 1, wantLooks: 7},
		"a file takes long":         {perSecond: 12, pending: 1, looks: steady, want: 1, wantLooks: 31},
		"the server does not reply": {perSecond: 20, pending: 1, lost: errors.New("no responders"), want: 100},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var b behind
				for range test.perSecond + 1 {
					b.came(time.Now(), mib, test.pending)
					time.Sleep(time.Second / time.Duration(test.perSecond))
				}
				c := &pendingConsumer{pending: test.looks, err: test.lost}
				began := time.Now()
				if got := b.allowed(t.Context(), c, 100); got != test.want || c.looks != test.wantLooks {
					t.Errorf("%d messages may be requested after %d looks, want %d after %d", got, c.looks, test.want, test.wantLooks)
				}
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("they were waited for for %v", took)
				}
			})
		})
	}
}

// TestWhatIsNotKnownToBeFastIsRequestedInSmallPortions: what was requested comes while the file
// is written, also when the source has become fast.
func TestWhatIsNotKnownToBeFastIsRequestedInSmallPortions(t *testing.T) {
	t.Parallel()
	var b behind
	b.came(time.Now(), 300_000, 0)
	if got := b.allowed(t.Context(), nil, 500); got != slowBytes/300_000 {
		t.Errorf("%d messages of 300 kB may be requested", got)
	}
}

// TestASecondWithoutMessagesIsNotFast: what came long ago does not say how fast it comes now.
func TestASecondWithoutMessagesIsNotFast(t *testing.T) {
	t.Parallel()
	var b behind
	began := time.Now()
	for i := range 100 {
		b.came(began.Add(time.Duration(i)*10*time.Millisecond), 1<<20, 0)
	}
	if !b.fast() {
		t.Error("100 MiB a second are not fast")
	}
	b.came(began.Add(time.Minute), 1<<20, 0)
	if b.fast() {
		t.Error("a message a minute later is fast")
	}
}

// TestWhatOthersTakeIsNotPublished: the messages that are left become fewer.
func TestWhatOthersTakeIsNotPublished(t *testing.T) {
	t.Parallel()
	var b behind
	began := time.Now()
	for i := range 10 {
		b.came(began.Add(time.Duration(i)*100*time.Millisecond), 1<<20, uint64(1000-50*i))
	}
	if b.fast() {
		t.Errorf("%d bytes a second, though nothing was published", b.rate)
	}
}
