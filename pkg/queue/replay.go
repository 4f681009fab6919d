package queue

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/state"
	"github.com/ampipe/ampipe/pkg/trace"
)

const keyReplay = "replay"

// Replay returns the last request to load blocks of a sink again, or [ErrNotFound].
func (s *State) Replay(ctx context.Context, sink string) (r state.Replay, rev uint64, err error) {
	if err := checkName("sink", sink); err != nil {
		return r, 0, err
	}
	return Get[state.Replay](ctx, s, keyReplay+"."+sink)
}

// SaveReplay writes a request. rev is the revision it was read with, 0 if there must not be
// one yet; otherwise the error is [ErrConflict].
func (s *State) SaveReplay(ctx context.Context, sink string, r state.Replay, rev uint64) (newRev uint64, err error) {
	if err := checkName("sink", sink); err != nil {
		return 0, err
	}
	return s.save(ctx, keyReplay+"."+sink, r, rev)
}

// Read reads the first message of a lane at or above a sequence, payload and all; nil if
// there is none. It is on its way to nobody, and has no Reply.
func (l *Log) Read(ctx context.Context, lane string, seq uint64) (*Message, error) {
	if err := checkPath("lane", lane); err != nil {
		return nil, err
	}
	msg, err := l.read.get(ctx, getRequest{Seq: max(seq, 1), NextFor: l.subject(lane)})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, l.fail(ctx, fmt.Errorf("read lane %s from message %d on: %w", lane, seq, err))
	}
	m := &Message{
		Lane: lane, Seq: msg.Sequence, After: predecessor(msg.Header, msg.Sequence), ID: msg.Header.Get(headerID), Delivered: 1, Time: msg.Time,
		Trace: msg.Header.Get(trace.Header),
	}
	if m.Entry, err = entry.Parse(msg.Header, msg.Data); err != nil {
		m.Damaged = fault.Permanent(fmt.Errorf("message %d of lane %s is not an entry: %w", m.Seq, m.Lane, err))
	}
	return m, nil
}

// WaitReplay waits until there is a request to load blocks of a sink again, and its revision
// is not rev.
func (s *State) WaitReplay(ctx context.Context, sink string, rev uint64) error {
	if err := checkName("sink", sink); err != nil {
		return err
	}
	found := errors.New("found")
	err := Watch(ctx, s, keyReplay+"."+sink, func(_ state.Replay, now uint64) error {
		if now == rev {
			return nil
		}
		return found
	})
	if errors.Is(err, found) {
		err = nil
	}
	return err
}
