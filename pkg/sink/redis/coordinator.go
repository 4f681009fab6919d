package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
)

var (
	errLost = fault.Permanent(errors.New("a node of the cluster has lost what it was sent: it was flushed, keys were removed, " +
		"or a replica took over that was behind; remove the keys of this sink and load it again"))
	errKept = fault.Permanent(errors.New("a node of the cluster holds state, and perhaps rows, of an earlier life of this " +
		"sink; remove all its keys and those of its rows, and start it again"))
)

// coordinator is what the coordinating slot of a Cluster holds besides coverage and live
// lane: which slots may have rows, and the fence, a number that grows with every
// rollback. What was planned under an older fence is refused, by the coordinator and,
// once pending is done, by every slot.
type coordinator struct {
	id      string // of the state, from its beginning to its removal
	fence   string
	pending *rollback // has begun and has to be finished before anything else
	slots   bitmap    // may have rows
	ready   bitmap    // have a state of their own
}

// rollback is ranges of blocks that are to be removed from all slots.
type rollback struct {
	fence  string
	ranges []string // from and to, of each
}

func (v *rollback) String() string { return v.fence + " " + strings.Join(v.ranges, " ") }

// coordinatorReading is the script reading, with the slots.
const coordinatorReading = `return {redis.call('HGETALL', KEYS[1]), redis.call('ZRANGE', KEYS[2], 0, -1), redis.call('HGETALL', KEYS[3]),
	redis.call('GET', KEYS[8]), redis.call('GET', KEYS[9])}`

func (m *coordinator) readCoordinator(state map[string]string, bitmaps []any) error {
	m.id, m.fence = state["id"], state["fence"]
	if m.id == "" || len(m.fence) != 16 {
		return errState
	}
	if text := state["pending"]; text != "" {
		parts := strings.Fields(text)
		if len(parts)%2 == 0 {
			return errState
		}
		m.pending = &rollback{parts[0], parts[1:]}
	}
	for i, b := range bitmaps {
		text, _ := b.(string)
		switch i {
		case 0:
			m.slots = bitmap(text)
		case 1:
			m.ready = bitmap(text)
		}
	}
	return nil
}

// grace is how long a step that has begun may continue when the call is cancelled: it
// would leave rows that are not known to be there until the step is repeated.
const grace = 5 * time.Second

// steady returns a context that ends that long after the one given.
func steady(ctx context.Context) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	return longer, func() {
		stop()
		cancel()
	}
}

// coordinatorHeader starts a header for the coordinator.
func (s *clusterCommit) coordinatorHeader(st *step) *header {
	s.begin(st.before, st.change.Live)
	h := &s.pack.header
	h.list("home", s.id, s.fence)
	return h
}

// rollBack removes rows: it raises the fence, so that nothing that was planned before
// arrives any more, and has the ranges removed from all slots. more adds to the header
// what else changes at the coordinator.
func (s *clusterCommit) rollBack(ctx context.Context, st *step, voids []block.Range, more func(*header)) error {
	if err := s.flush(ctx); err != nil {
		return err
	}
	if err := s.wait(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	ctx, done := steady(ctx)
	defer done()
	n, err := strconv.ParseUint(s.fence, 16, 64)
	if err != nil {
		return errState
	}
	v := &rollback{fence: fmt.Sprintf("%016x", n+1)}
	for _, r := range voids {
		v.ranges = append(v.ranges, hexBlock(r.Start), hexBlock(r.End))
	}
	h := s.coordinatorHeader(st)
	h.text("fence", v.fence)
	h.text("pending", v.String())
	more(h)
	reply, err := s.script.EvalSha(ctx, s.client, s.target.keys(), s.pack.header.bytes(), "").Slice()
	if err != nil {
		return err
	}
	if _, err := s.answered(reply); err != nil {
		return err
	}
	if len(reply) > 2 { // who else has put slots there, since
		text, _ := reply[2].(string)
		s.slots = bitmap(text)
	}
	for _, r := range voids {
		s.covered.Remove(r)
		for n := range s.claims {
			if r.Has(n) {
				delete(s.claims, n)
			}
		}
	}
	return s.finishRollback(ctx, v)
}

// rollbackSlots is how many slots are told of a new fence at a time.
const rollbackSlots = 2048

// finishRollback removes ranges from all slots that may have rows, and then lets the
// steps under the new fence begin. Several processes may do so at the same time.
func (s *clusterCommit) finishRollback(ctx context.Context, v *rollback) error {
	s.fence = v.fence
	var headers [2][]byte
	for i := range headers {
		h := s.slotHeader(i == 1, "")
		h.list("voids", v.ranges...)
		headers[i] = append([]byte(nil), h.bytes()...)
	}
	var some []*redis.Cmd
	pipe := s.client.Pipeline()
	tell := func() error {
		if len(some) == 0 {
			return nil
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return err
		}
		for _, cmd := range some {
			reply, err := cmd.Slice()
			if err != nil {
				return err
			}
			gone, err := s.answered(reply)
			if err != nil {
				return err
			}
			s.applied.Deleted += gone
		}
		some = some[:0]
		return nil
	}
	for slot := range s.slots.each {
		header := headers[0]
		if s.ready.has(slot) {
			header = headers[1]
		}
		some = append(some, s.slotCall(ctx, pipe, slot, header, "", ""))
		if len(some) == rollbackSlots {
			if err := tell(); err != nil {
				return err
			}
		}
	}
	if err := tell(); err != nil {
		return err
	}
	s.begin(sink.LiveState{}, false)
	h := &s.pack.header
	h.list("home", s.id, s.fence)
	h.flag("settled", true)
	reply, err := s.script.EvalSha(ctx, s.client, s.target.keys(), h.bytes(), "").Slice()
	if err != nil {
		return err
	}
	_, err = s.answered(reply)
	return err
}

// answered reads the answer of a script, and returns the number of rows that were
// removed.
func (w *Writer) answered(reply []any) (gone uint64, err error) {
	if len(reply) < 2 {
		return 0, errState
	}
	switch status, _ := reply[0].(int64); status {
	case 0:
		n, _ := reply[1].(int64)
		return uint64(n), nil
	case 1:
		why := ""
		if len(reply) > 2 {
			why, _ = reply[2].(string)
		}
		switch why {
		case "forgotten":
			return 0, errForgotten
		case "lost":
			return 0, errLost
		case "kept":
			return 0, errKept
		default:
			return 0, errStale
		}
	case 3:
		return 0, errTaken
	default:
		return 0, fault.Permanent(fmt.Errorf("a reorg reaches below block %s, where the index of rows by block was dropped "+
			"(finality: %d), so its rows cannot be removed exactly; "+
			"remove the keys of this sink and load it again, with a higher finality", shownBlock(reply[2]), w.target.Finality))
	}
}
