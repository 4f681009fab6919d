package cluster

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sink/redis/format"
)

// Coordinator is what the coordinating slot of a Cluster holds besides coverage and live
// lane: which slots may have rows, and the fence, a number that grows with every
// rollback. What was planned under an older fence is refused, by the coordinator and,
// once pending is done, by every slot.
type Coordinator struct {
	ID      string // of the state, from its beginning to its removal
	Fence   string
	Pending *rollback // has begun and has to be finished before anything else
	Slots   bitmap    // may have rows
	Ready   bitmap    // have a state of their own
}

// rollback is ranges of blocks that are to be removed from all slots.
type rollback struct {
	fence  string
	ranges []string // from and to, of each
}

func (v *rollback) String() string { return v.fence + " " + strings.Join(v.ranges, " ") }

// Reading is a script that returns what is committed, with the slots. It is one command, so
// that all is of one moment.
const Reading = `return {redis.call('HGETALL', KEYS[1]), redis.call('ZRANGE', KEYS[2], 0, -1), redis.call('HGETALL', KEYS[3]),
	redis.call('GET', KEYS[8]), redis.call('GET', KEYS[9])}`

// ReadCoordinator reads the fields of the state, and the two bitmaps of slots.
func (m *Coordinator) ReadCoordinator(state map[string]string, bitmaps []any) error {
	m.ID, m.Fence = state["id"], state["fence"]
	if m.ID == "" || len(m.Fence) != 16 {
		return format.ErrState
	}
	if text := state["pending"]; text != "" {
		parts := strings.Fields(text)
		if len(parts)%2 == 0 {
			return format.ErrState
		}
		m.Pending = &rollback{parts[0], parts[1:]}
	}
	for i, b := range bitmaps {
		text, _ := b.(string)
		switch i {
		case 0:
			m.Slots = bitmap(text)
		case 1:
			m.Ready = bitmap(text)
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

// toCoordinator starts the header of a call to the coordinator: that of a step or, of
// none, one that does not touch coverage and live lane.
func (s *transaction) toCoordinator(st *format.Step) *format.Header {
	if st == nil {
		st = &format.Step{}
	}
	s.table.Begin(&s.header, s.top, st.Before, st.Lane())
	s.header.List("home", s.ID, s.Fence)
	return &s.header
}

// tell calls the coordinator.
func (c *Committer) tell(ctx context.Context, header []byte) ([]any, error) {
	reply, err := c.script.EvalSha(ctx, c.client, c.table.Keys(), header, "").Slice()
	if err == nil {
		_, err = c.table.Answered(reply)
	}
	return reply, err
}

// exec sends calls in a pipe, and returns how many rows they have removed, up to the first
// that has failed.
func (c *Committer) exec(ctx context.Context, pipe redis.Pipeliner, calls []*redis.Cmd) (gone uint64, err error) {
	if _, err := pipe.Exec(ctx); err != nil {
		return 0, err
	}
	for _, cmd := range calls {
		reply, err := cmd.Slice()
		if err != nil {
			return gone, err
		}
		n, err := c.table.Answered(reply)
		if err != nil {
			return gone, err
		}
		gone += n
	}
	return gone, nil
}

// rollBack removes rows: it raises the fence, so that nothing that was planned before
// arrives any more, and has the ranges removed from all slots. more adds to the header
// what else changes at the coordinator.
func (s *transaction) rollBack(ctx context.Context, st *format.Step, voids []block.Range, more func(*format.Header)) error {
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
	n, err := strconv.ParseUint(s.Fence, 16, 64)
	if err != nil {
		return format.ErrState
	}
	v := &rollback{fence: fmt.Sprintf("%016x", n+1)}
	for _, r := range voids {
		v.ranges = append(v.ranges, format.HexBlock(r.Start), format.HexBlock(r.End))
	}
	h := s.toCoordinator(st)
	h.Text("fence", v.fence)
	h.Text("pending", v.String())
	more(h)
	reply, err := s.tell(ctx, h.Bytes())
	if err != nil {
		return err
	}
	if len(reply) > 2 { // who else has put slots there, since
		text, _ := reply[2].(string)
		s.Slots = bitmap(text)
	}
	for _, r := range voids {
		s.Coverage.Remove(r)
		for n := range s.Claims {
			if r.Has(n) {
				delete(s.Claims, n)
			}
		}
	}
	return s.finishRollback(ctx, v)
}

// rollbackSlots is how many slots are told of a new fence at a time.
const rollbackSlots = 2048

// finishRollback removes ranges from all slots that may have rows, and then lets the
// steps under the new fence begin. Several processes may do so at the same time.
func (s *transaction) finishRollback(ctx context.Context, v *rollback) error {
	s.Fence = v.fence
	var headers [2][]byte
	for i := range headers {
		h := s.slotHeader(i == 1, "")
		h.List("voids", v.ranges...)
		headers[i] = slices.Clone(h.Bytes())
	}
	for some := range slices.Chunk(slices.Collect(s.Slots.Each), rollbackSlots) {
		pipe, calls := s.client.Pipeline(), make([]*redis.Cmd, len(some))
		for i, slot := range some {
			header := headers[0]
			if s.Ready.has(slot) {
				header = headers[1]
			}
			calls[i] = s.slotCall(ctx, pipe, slot, header, "", "")
		}
		gone, err := s.exec(ctx, pipe, calls)
		s.applied.Deleted += gone
		if err != nil {
			return err
		}
	}
	h := s.toCoordinator(nil)
	h.Flag("settled", true)
	_, err := s.tell(ctx, h.Bytes())
	return err
}
