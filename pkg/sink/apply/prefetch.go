package apply

import (
	"cmp"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow/util"

	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/pool"
	"github.com/ampipe/ampipe/pkg/sink"
)

// load is what one transaction is to apply: a batch, or as much of it as may be
// decoded at the same time.
type load struct {
	messages []*message
	units    []unit // of messages, those that are not broken
	broken   error  // the first of those that are
}

// prefetch decodes loads while the transactions before them run, so that the
// destination need not wait for them: one more than there are workers. On the
// live lane it decodes only for a worker that has nothing to do, because the
// entries that come meanwhile are to share a transaction.
type prefetch struct {
	*run
	decoder *entry.Decoder // of the goroutine of decode
	loads   chan load
	slots   slots // one for every load that is decoded and not done
}

func (r *run) newPrefetch() *prefetch {
	ahead := 1
	if r.live {
		ahead = 0
	}
	return &prefetch{
		run: r, decoder: entry.NewDecoder(r.Allocator), loads: make(chan load),
		slots: slots{size: r.Resize, ahead: ahead, freed: make(chan struct{}, 1)},
	}
}

// limit returns how many bytes of rows a load may have, which it passes by less than one
// entry.
func (a *prefetch) limit() int {
	writers := a.Resize.N()
	return a.Decoded * writers / (writers + a.slots.ahead)
}

// slots bounds how many loads there are at once, by the number of workers and how many loads
// may wait for them. One goroutine takes, any may free.
type slots struct {
	size  *pool.Size
	ahead int
	used  atomic.Int64
	freed chan struct{} // holds a token after free
}

// take waits for a free slot. Those that are taken when there are fewer workers stay taken.
func (s *slots) take() {
	for {
		n, changed := s.size.Get()
		if s.used.Load() < int64(n+s.ahead) {
			s.used.Add(1)
			return
		}
		select {
		case <-changed:
		case <-s.freed:
		}
	}
}

func (s *slots) free() {
	s.used.Add(-1)
	select {
	case s.freed <- struct{}{}:
	default:
	}
}

// decode makes loads of batches until there are no more.
func (a *prefetch) decode(batches <-chan []*message) {
	defer close(a.loads)
	for {
		a.slots.take()
		batch, ok := <-batches
		if !ok {
			return
		}
		for {
			l := a.load(batch)
			a.loads <- l
			batch = batch[len(l.messages):]
			if len(batch) == 0 {
				break
			}
			a.slots.take()
		}
	}
}

// load decodes the first messages of a batch.
func (a *prefetch) load(batch []*message) load {
	var l load
	size := 0
	for i, m := range batch {
		l.messages = batch[:i+1]
		if m.Kind == entry.Ended && !a.live {
			m.ack() // it covers nothing
			continue
		}
		var c sink.Change
		begin := m.trace.Decodes()
		err := a.caught("decoding an entry", func() (err error) {
			c, err = a.change(&m.Message)
			return err
		})
		m.trace.Decoded(begin, err)
		if damaged, ok := errors.AsType[*damagedError](err); ok {
			if err = a.drop(m, damaged); err == nil && !a.live {
				continue
			}
			if err == nil {
				break // nothing can be applied after it; what comes is returned to the log
			}
		}
		if err != nil {
			l.broken = cmp.Or(l.broken, fmt.Errorf("log entry %d: %w", m.Seq, err))
			if a.live {
				break // nothing may be applied after it
			}
			continue
		}
		l.units = append(l.units, unit{message: m, change: c})
		for _, rec := range c.Records {
			size += int(util.TotalRecordSize(rec))
		}
		if size >= a.limit() {
			break
		}
	}
	return l
}

// done releases the rows of a load and returns to the log what was not answered of it.
func (a *prefetch) done(l load) {
	for _, u := range l.units {
		release(u.change)
	}
	for _, m := range l.messages {
		m.nak(0)
	}
	a.slots.free()
}
