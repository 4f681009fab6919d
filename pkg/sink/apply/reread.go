package apply

import (
	"context"
	"sync"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/queue"
)

// LaneReader reads entries that are on their way to nobody. [queue.Log] is one.
type LaneReader interface {
	// Read returns the first entry of a lane at or above a sequence, nil if there is none.
	Read(ctx context.Context, lane string, seq uint64) (*queue.Message, error)
}

// Lane is a partition's lane of which some blocks are read again.
type Lane struct {
	Name   string
	Blocks block.Range
}

// Reread is a Source of entries of partitions that the sink has acknowledged before. It
// reads lanes one after the other, and passes over what is damaged: the blocks of that are
// read again from the chain, like those that the log has no more.
type Reread struct {
	log LaneReader
	end func() // called when everything was read and answered

	mu    sync.Mutex
	lanes []Lane // that are not read yet; the first of them up to seq
	seq   uint64
	back  []*queue.Message // returned
	out   int              // messages that are not answered
	bytes int              // of them
	wake  chan struct{}    // a message was answered
}

// rereadBytes bounds what a Reread has in flight.
const rereadBytes = 32 << 20

// NewReread returns a Source of some lanes. Of blocks that several of them have, the first
// brings them. end is called once all are read and applied; it ends the taking.
func NewReread(log LaneReader, lanes []Lane, end func()) *Reread {
	return &Reread{log: log, lanes: lanes, end: end, wake: make(chan struct{}, 1)}
}

// Next returns the next entry; see [Source].
func (r *Reread) Next(ctx context.Context) (*queue.Message, error) {
	for {
		m, wait, err := r.next(ctx)
		if m != nil || err != nil {
			return m, err
		}
		if !wait {
			continue
		}
		select {
		case <-r.wake:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// next returns the next entry, if there is one; wait: there is none until one is answered.
func (r *Reread) next(ctx context.Context) (m *queue.Message, wait bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case len(r.back) > 0:
		m, r.back = r.back[0], r.back[1:]
		return r.deliver(m), false, nil
	case r.bytes >= rereadBytes:
		return nil, true, nil
	case len(r.lanes) == 0:
		if r.out == 0 {
			r.end()
		}
		return nil, true, nil
	}
	lane := r.lanes[0]
	r.mu.Unlock()
	m, err = r.log.Read(ctx, lane.Name, r.seq+1)
	r.mu.Lock()
	switch {
	case err != nil:
		return nil, false, err
	case m == nil, m.Damaged == nil && m.Range.Start >= lane.Blocks.End:
		r.lanes, r.seq = r.lanes[1:], 0
		return nil, false, nil
	}
	r.seq = m.Seq
	if m.Damaged != nil || m.Kind != entry.Data || m.Range.Intersect(lane.Blocks).Empty() {
		return nil, false, nil
	}
	return r.deliver(m), false, nil
}

// deliver makes a message one that is to be answered.
func (r *Reread) deliver(m *queue.Message) *queue.Message {
	kept := *m
	reply := &rereadReply{source: r, message: &kept, size: len(m.Payload)}
	r.out++
	r.bytes += reply.size
	given := kept
	given.Reply = reply
	return &given
}

// Settled returns false: entries that come in no order are not waited for.
func (r *Reread) Settled(context.Context, uint64) (bool, error) { return false, nil }

// Bytes returns how much may be in flight; see [Source].
func (r *Reread) Bytes() int { return rereadBytes }

// Ended reports whether all lanes are read. Entries that were returned may come again.
func (r *Reread) Ended(context.Context) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.lanes) == 0
}

// rereadReply answers a message of a [Reread].
type rereadReply struct {
	source  *Reread
	message *queue.Message
	size    int // that counts
}

func (a *rereadReply) Ack() error              { return a.answer(false) }
func (a *rereadReply) Term(string) error       { return a.answer(false) }
func (a *rereadReply) Nak(time.Duration) error { return a.answer(true) }

func (a *rereadReply) answer(again bool) error {
	r := a.source
	r.mu.Lock()
	defer r.mu.Unlock()
	r.out--
	r.bytes -= a.size
	if again {
		r.back = append(r.back, a.message)
	}
	r.signal()
	return nil
}

func (a *rereadReply) Release() {
	r := a.source
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bytes -= a.size
	a.size = 0
	r.signal()
}

func (r *Reread) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}
