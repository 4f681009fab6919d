package queue

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ampipe/ampipe/pkg/fault"
)

const (
	// logBlock is the size of a file of the log. The server keeps one in memory until ten
	// seconds after its last write, unless nobody has read from it before it was full.
	logBlock = 8 << 20
	// fastRate is how many bytes have to be published in a second for these files to be worth
	// waiting for: a slower source fills seven of them in ten seconds at most.
	fastRate = 6 << 20
	// slowBytes is how much is requested at a time of a source that is not fast: it may become
	// so, and what has been requested comes as soon as it is published.
	slowBytes = 1 << 20
	// judgeEvery is how long is measured at a time.
	judgeEvery = 250 * time.Millisecond
	// lookEvery is how often it is looked whether more has been published. The source makes a
	// pause when that was nothing for leastPause, or for as long as pauseMessages take.
	lookEvery     = 25 * time.Millisecond
	leastPause    = 75 * time.Millisecond
	pauseMessages = 4
)

// behind has a consumer of the history read only from files of the log that are full, as long
// as messages are published fast. It is for a server in this process, whose memory is ours.
// Only one goroutine uses it.
type behind struct {
	since time.Time // when what is measured now began
	from  uint64    // published before
	rate  int       // bytes published in a second, as measured last

	count   uint64 // messages that came
	size    int    // of a message, about
	pending uint64 // messages after the last that came
}

// came notes a message and how many there are after it.
func (b *behind) came(now time.Time, size int, pending uint64) {
	if b.size == 0 {
		b.size = size
	}
	b.size += (size - b.size) / 8
	b.count++
	b.published(now, pending)
}

// published notes how many messages have been published and did not come yet. What others
// were given meanwhile, who read for the same sink, counts as not published.
func (b *behind) published(now time.Time, pending uint64) {
	b.pending = pending
	total := b.count + pending
	passed := now.Sub(b.since)
	switch {
	case b.since.IsZero():
	case passed < judgeEvery:
		return
	default:
		b.rate = int(float64(total-min(total, b.from)) * float64(b.size) / passed.Seconds())
	}
	b.since, b.from = now, total
}

func (b *behind) fast() bool { return b.rate >= fastRate }

// full returns about how many messages are in full files: all but those of one file, and a few
// that may be smaller than others.
func (b *behind) full() int { return (int(b.pending)*b.size - logBlock - logBlock/4) / max(b.size, 1) }

// pause returns how long nothing has to be published for a pause of the source.
func (b *behind) pause() time.Duration {
	return max(leastPause, pauseMessages*time.Second*time.Duration(b.size)/time.Duration(max(b.rate, 1)))
}

// allowed returns how many messages may be requested, at most so many. It waits until there
// are some in full files, or the source does not publish fast any more.
func (b *behind) allowed(ctx context.Context, consumer jetstream.Consumer, most int) int {
	same := time.Duration(0)
	for b.full() <= 0 {
		if !b.fast() {
			return min(most, max(1, slowBytes/max(b.size, 1)))
		}
		if same >= b.pause() || fault.Sleep(ctx, lookEvery) != nil {
			return min(most, max(1, int(b.pending)))
		}
		info, err := consumer.Info(ctx)
		if err != nil {
			return most // the request meets the same
		}
		same += lookEvery
		if info.NumPending != b.pending {
			same = 0
		}
		b.published(time.Now(), info.NumPending)
	}
	return min(most, b.full())
}
