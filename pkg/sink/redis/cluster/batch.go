package cluster

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/sink/redis/format"
)

// batch is what has been sent together. Its goroutine owns it until done is closed.
type batch struct {
	done    chan struct{}
	err     error
	release context.CancelFunc

	rows    int
	prepare []byte // header of a call to the coordinator that comes first; nil: none is needed
	pipe    redis.Pipeliner
	slices  []*redis.Cmd
	calls   [][]byte

	ranges         block.Set
	claimed        block.Number
	token          string // of a part that the coordinator is told of; else empty
	fresh, unready []int
	written, gone  uint64
}

// flush sends what has been collected, once the batch before has been answered.
func (s *transaction) flush(ctx context.Context) error {
	if err := s.wait(); err != nil {
		return err
	}
	if len(s.calls) == 0 {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	ctx, release := steady(ctx)
	e := &batch{done: make(chan struct{}), release: release, rows: len(s.rows.rows), pipe: s.client.Pipeline(),
		calls: s.calls, ranges: s.ranges}
	if s.part != nil {
		n, token := s.part.Blocks.Start, s.part.Token()
		if s.Claims[n] != token {
			e.claimed, e.token = n, token
		}
	}
	s.rows.arena = s.rows.arena[:0]
	s.assemble(ctx, e)
	if len(e.fresh) > 0 || e.token != "" {
		h := s.toCoordinator(nil)
		h.List("slots", numerals(e.fresh)...)
		if e.token != "" {
			h.List("claims", format.HexBlock(e.claimed), e.token)
		}
		e.prepare = slices.Clone(h.Bytes())
	}
	if len(e.unready) > 0 {
		h := s.toCoordinator(nil)
		h.List("ready", numerals(e.unready)...)
		e.calls = slices.Insert(e.calls, 0, slices.Clone(h.Bytes()))
	}
	s.calls, s.ranges, s.part = nil, block.Set{}, nil
	s.rows.reset()
	s.running = e
	go func() {
		defer close(e.done)
		e.err = s.run(ctx, e)
	}()
	return nil
}

func numerals(numbers []int) []string {
	texts := make([]string, len(numbers))
	for i, n := range numbers {
		texts[i] = strconv.Itoa(n)
	}
	return texts
}

// run tells the coordinator which slots will have rows, sends the rows to them, and then
// tells the coordinator that they are there.
func (w *Committer) run(ctx context.Context, e *batch) error {
	if e.prepare != nil {
		if _, err := w.tell(ctx, e.prepare); err != nil {
			return err
		}
	}
	if len(e.slices) > 0 {
		_, failed := e.pipe.Exec(ctx)
		for _, cmd := range e.slices {
			reply, err := cmd.Slice()
			if err != nil {
				failed = cmp.Or(failed, err)
				continue
			}
			gone, err := w.table.Answered(reply)
			if err != nil {
				failed = cmp.Or(failed, err)
				continue
			}
			if len(reply) > 2 {
				n, _ := reply[2].(int64)
				e.written += uint64(n)
			}
			e.gone += gone
		}
		if failed != nil {
			return failed
		}
	}
	pipe, told := w.client.Pipeline(), make([]*redis.Cmd, len(e.calls))
	for i, h := range e.calls {
		told[i] = w.script.EvalSha(ctx, pipe, w.table.Keys(), h, "")
	}
	_, err := w.exec(ctx, pipe, told)
	return err
}

// wait waits for the batch in flight and notes what it did.
func (s *transaction) wait() error {
	e := s.running
	if e == nil {
		return nil
	}
	<-e.done
	e.release()
	s.running = nil
	s.applied.Rows += e.written
	s.applied.Deleted += e.gone
	if e.err != nil {
		return e.err
	}
	s.applied.Skipped += uint64(e.rows) - min(e.written, uint64(e.rows))
	s.Coverage.AddAll(e.ranges)
	if e.token != "" {
		s.Claims[e.claimed] = e.token
	}
	s.Slots, s.Ready = slices.Clone(s.Slots), slices.Clone(s.Ready)
	for _, slot := range e.fresh {
		s.Slots.add(slot)
	}
	for _, slot := range e.unready {
		s.Ready.add(slot)
	}
	for n := range maps.Keys(s.Claims) { // blocks that came whole
		if s.Coverage.Has(n) {
			delete(s.Claims, n)
		}
	}
	return nil
}
