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
	// fastBytes is how much has to come in a second for these files to be worth it.
	fastBytes = 8 << 20
	// lookEvery is how often it is looked whether more has been published. The source makes a
	// pause when sameLooks have seen nothing new, and is not fast when mostLooks, which are a
	// second, have not seen a file filled.
	lookEvery = 25 * time.Millisecond
	sameLooks = 3
	mostLooks = 40
)

// behind has a consumer of the history read only from files of the log that are full, as long
// as messages come fast. It is for a server in this process, whose memory is ours. Only one
// goroutine uses it.
type behind struct {
	since   time.Time // when the second began
	bytes   int       // that came in it
	fast    bool      // the second before had as many
	size    int       // of a message, about
	pending uint64    // messages after the last that came
}

// came notes a message and how many there are after it.
func (b *behind) came(now time.Time, size int, pending uint64) {
	if passed := now.Sub(b.since); passed >= time.Second {
		b.fast = passed < 2*time.Second && b.bytes >= fastBytes
		b.since, b.bytes = now, 0
	}
	b.bytes += size
	if b.size == 0 {
		b.size = size
	}
	b.size += (size - b.size) / 8
	b.pending = pending
}

// full returns about how many messages are in full files.
func (b *behind) full() int { return (int(b.pending)*b.size - logBlock) / max(b.size, 1) }

// allowed returns how many messages may be requested, at most so many. It waits until there
// are some in full files, or the source does not publish fast any more.
func (b *behind) allowed(ctx context.Context, consumer jetstream.Consumer, most int) int {
	if !b.fast {
		return most
	}
	same := 0
	for looks := 0; b.full() <= 0; looks++ {
		if same == sameLooks || looks == mostLooks || fault.Sleep(ctx, lookEvery) != nil {
			b.fast = false
			return min(most, max(1, int(b.pending)))
		}
		info, err := consumer.Info(ctx)
		if err != nil {
			return most // the request meets the same
		}
		same++
		if info.NumPending != b.pending {
			same = 0
		}
		b.pending = info.NumPending
	}
	return min(most, b.full())
}
