package queue

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/ampipe/ampipe/pkg/state"
)

// batchSize is how many messages are published together that do not depend on each other.
const batchSize = 500

// leastBatch is how many make a batch worth its own cost in the server: a folder with a store.
const leastBatch = 10

// batch publishes messages of one stream in one step, which the server syncs once, and
// returns the sequence of the first; the others follow it. After an error they may be
// stored, or not: each is published by itself then, which shows why. Few messages are always
// refused.
func (c *Conn) batch(ctx context.Context, msgs []*nats.Msg) (first uint64, err error) {
	if len(msgs) < leastBatch {
		return 0, errors.ErrUnsupported
	}
	if err := c.disconnected(); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, apiWait)
	defer cancel()
	ack, err := jetstreamext.PublishMsgBatch(ctx, c.js, msgs, jetstreamext.BatchFlowControl{AckFirst: true, AckTimeout: apiWait})
	if err != nil {
		return 0, err
	}
	return ack.Sequence - uint64(len(msgs)-1), nil
}

// after returns a message for a document that has revision rev; 0: there is none.
func (s *State) after(key string, text []byte, rev uint64) *nats.Msg {
	msg := nats.NewMsg(stateSubject + s.key(key))
	msg.Data = text
	msg.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(rev, 10))
	return msg
}

// documentRemovedFor is how long the message stays that removes a document: a watch that was
// interrupted for less than that still sees it.
const documentRemovedFor = time.Minute

// removal returns a message that removes a document which has revision rev.
func (s *State) removal(key string, rev uint64) *nats.Msg {
	gone := s.after(key, nil, rev)
	gone.Header.Set(headerOperation, "DEL")
	gone.Header.Set(jetstream.MsgTTLHeader, documentRemovedFor.String())
	return gone
}

// write is a change of a document.
type write struct {
	msg    *nats.Msg
	single func() (rev uint64, err error) // makes it by itself
}

// writeAll makes changes that do not depend on each other, but for the first if it decides,
// and returns the revision of each; 0 of one that has met [ErrConflict].
func (s *State) writeAll(ctx context.Context, writes []write, firstDecides bool) (revs []uint64, err error) {
	for chunk := range slices.Chunk(writes, batchSize) {
		msgs := make([]*nats.Msg, len(chunk))
		for i, w := range chunk {
			msgs[i] = w.msg
		}
		first, batchErr := s.conn.batch(ctx, msgs)
		for i, w := range chunk {
			rev := first + uint64(i)
			if batchErr != nil {
				rev, err = w.single()
				if err != nil && (!errors.Is(err, ErrConflict) || (firstDecides && len(revs) == 0)) {
					return revs, err
				}
			}
			revs = append(revs, rev)
		}
	}
	return revs, nil
}

// CreatePartitions writes new partitions and returns the revision of each; 0 for one whose
// start and generation there are already.
func (s *State) CreatePartitions(ctx context.Context, parts []state.Partition) (revs []uint64, err error) {
	writes := make([]write, len(parts))
	for i, p := range parts {
		text, err := json.Marshal(p)
		if err != nil {
			return nil, err
		}
		writes[i] = write{s.after(keyPartition+"."+p.ID(), text, 0), func() (uint64, error) { return s.CreatePartition(ctx, p) }}
	}
	return s.writeAll(ctx, writes, false)
}

// ReplacePartitions updates a partition that still has revision rev, or returns
// [ErrConflict], and removes others, which it stands for from now on. It returns the new
// revision of each, the updated one first; 0 of one that was not removed, because it was
// changed.
func (s *State) ReplacePartitions(
	ctx context.Context, whole state.Partition, rev uint64, others []Stored[state.Partition],
) (revs []uint64, err error) {
	text, err := json.Marshal(whole)
	if err != nil {
		return nil, err
	}
	writes := []write{{
		s.after(keyPartition+"."+whole.ID(), text, rev), func() (uint64, error) { return s.UpdatePartition(ctx, whole, rev) },
	}}
	for _, o := range others {
		key := keyPartition + "." + o.Value.ID()
		writes = append(writes, write{s.removal(key, o.Rev), func() (uint64, error) { return s.Remove(ctx, key, o.Rev) }})
	}
	return s.writeAll(ctx, writes, true)
}

// AddAll queues tasks behind all others, in their order, but for those that are queued or
// held already. It returns the place of each in the queue, see [Tasks.Delivered]; 0: not known.
func (t *Tasks) AddAll(ctx context.Context, kind string, ids []string) (places []uint64, err error) {
	for chunk := range slices.Chunk(ids, batchSize) {
		msgs := make([]*nats.Msg, len(chunk))
		for i, id := range chunk {
			msgs[i] = nats.NewMsg(t.subject(kind, id))
		}
		first, err := t.conn.batch(ctx, msgs)
		for i, id := range chunk {
			place := first + uint64(i)
			if err != nil {
				place = 0
				if _, err := t.Add(ctx, kind, id); err != nil {
					return places, err
				}
			}
			places = append(places, place)
		}
	}
	return places, nil
}
