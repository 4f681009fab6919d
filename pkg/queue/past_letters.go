package queue

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/deadletter"
	"github.com/ampipe/ampipe/pkg/state"
)

// PastLetters are the dead letters that a sink has had so far. They may be there although
// the sink stops at refused rows now, and opening them makes no stream.
type PastLetters struct {
	conn           *Conn
	pipeline, sink string
}

// PastLetters returns the dead letters that a sink has had so far.
func (c *Conn) PastLetters(pipeline, sink string) *PastLetters {
	return &PastLetters{c, pipeline, sink}
}

// open returns nil if there was never a letter.
func (p *PastLetters) open(ctx context.Context) (*DeadLetters, error) {
	letters, err := p.conn.DeadLetters(ctx, p.pipeline, p.sink, 0)
	if errors.Is(err, ErrNoStream) {
		return nil, nil
	}
	return letters, err
}

// Mark returns up to where there are letters now.
func (p *PastLetters) Mark(ctx context.Context) (state.LettersMark, error) {
	letters, err := p.open(ctx)
	if err != nil || letters == nil {
		return state.LettersMark{}, err
	}
	return letters.Mark(), nil
}

// Mark returns up to where there were letters when they were opened.
func (d *DeadLetters) Mark() state.LettersMark {
	info := d.read.stream.CachedInfo()
	return state.LettersMark{Stream: info.Created, Seq: info.State.LastSeq}
}

// Blocks returns the blocks that have letters, or had a moment ago.
func (p *PastLetters) Blocks(ctx context.Context) (blocks block.Set, err error) {
	letters, err := p.open(ctx)
	if err != nil || letters == nil {
		return blocks, err
	}
	return letters.Blocks(ctx)
}

// Blocks returns the blocks that have letters, or had a moment ago.
func (d *DeadLetters) Blocks(ctx context.Context) (blocks block.Set, err error) {
	subjects, err := d.subjects(ctx)
	if err != nil {
		return blocks, err
	}
	for _, subject := range subjects {
		at, _, ok := d.place(subject)
		if ok {
			blocks.Add(block.Closed(at, at))
		}
	}
	return blocks, nil
}

// Len returns how many letters there are now, and what else stands in their place.
func (d *DeadLetters) Len(ctx context.Context) (n int, err error) {
	subjects, err := d.subjects(ctx)
	if err != nil {
		return 0, err
	}
	for _, subject := range subjects {
		msg, err := d.read.get(ctx, getRequest{LastFor: subject})
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
		case err != nil:
			return n, d.fail(ctx, fmt.Errorf("read a dead letter: %w", err))
		case len(msg.Data) > 0:
			n++
		}
	}
	return n, nil
}

// RemoveBefore removes the letters of blocks up to a mark. It may be repeated, at any time.
func (p *PastLetters) RemoveBefore(ctx context.Context, blocks block.Set, mark state.LettersMark) error {
	letters, err := p.open(ctx)
	if err != nil || letters == nil {
		return err
	}
	if !letters.Mark().Stream.Equal(mark.Stream) {
		return nil // it was made anew: what is there came after
	}
	return letters.removeOf(ctx, blocks.Has, func(seq uint64, _ deadletter.Origin) bool { return seq <= mark.Seq })
}

// Newest returns the letters that were stored last, the newest first, at most limit of them.
// The caller releases them. What is no letter is left out; [DeadLetters.Each] names it.
func (d *DeadLetters) Newest(ctx context.Context, limit int) (all []StoredLetter, err error) {
	info := d.read.stream.CachedInfo().State
	for seq := info.LastSeq; seq >= max(info.FirstSeq, 1) && len(all) < limit && info.LastSeq-seq < lookedThrough; seq-- {
		msg, err := d.read.get(ctx, getRequest{Seq: seq})
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue // it was stored again, or removed
		}
		if err != nil {
			return all, d.conn.classify(ctx, fmt.Errorf("read a dead letter: %w", err))
		}
		at, id, ok := d.place(msg.Subject)
		l, err := deadletter.Decode(msg.Header, msg.Data)
		if err != nil {
			continue
		}
		if !ok || l.Block != at {
			l.Release()
			continue
		}
		l.ID = id
		all = append(all, StoredLetter{l, msg.Time})
	}
	return all, nil
}

// lookedThrough is how many places of the stream are looked at for the newest letters: after
// a replay many are empty.
const lookedThrough = 1000
