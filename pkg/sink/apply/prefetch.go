package apply

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow/util"

	"github.com/ampipe/ampipe/pkg/entry"
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
	limit   int            // bytes of rows of a load, passed by less than one entry
	loads   chan load
	slots   chan struct{} // a token for every load that is decoded and not done
}

func (r *run) newPrefetch() *prefetch {
	slots := r.Writers + 1
	if r.live {
		slots = 1
	}
	return &prefetch{
		run: r, decoder: entry.NewDecoder(r.Allocator), limit: r.Decoded * r.Writers / slots,
		loads: make(chan load), slots: make(chan struct{}, slots),
	}
}

// decode makes loads of batches until there are no more.
func (a *prefetch) decode(batches <-chan []*message) {
	defer close(a.loads)
	for {
		a.slots <- struct{}{}
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
			a.slots <- struct{}{}
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
		err := a.caught("decoding an entry", func() (err error) {
			c, err = a.change(&m.Message)
			return err
		})
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
		if size >= a.limit {
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
	<-a.slots
}
