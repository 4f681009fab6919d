package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/state"
)

const keyProcess = "process"

func processKey(p state.Process) string { return fmt.Sprintf("%s.%s.%d", keyProcess, p.Role, p.Slot) }

// Processes reads the documents of all processes, by role and slot. When each was written
// is of the clock of NATS, which all have in common.
func (s *State) Processes(ctx context.Context) ([]Stored[state.Process], error) {
	all, err := List[state.Process](ctx, s, keyProcess)
	for i := range all {
		all[i].Value.Beat = all[i].Written
	}
	slices.SortFunc(all, func(a, b Stored[state.Process]) int {
		return cmp.Or(cmp.Compare(a.Value.Role, b.Value.Role), cmp.Compare(a.Value.Slot, b.Value.Slot))
	})
	return all, err
}

// ProcessWriter writes the document of this process. It is for one goroutine.
type ProcessWriter struct {
	state  *State
	alone  bool
	slot   int
	rev    uint64 // 0: it has no slot
	claims int
}

// ProcessWriter returns a writer without a slot. alone says that no other process of its
// role can run.
func (s *State) ProcessWriter(alone bool) *ProcessWriter {
	return &ProcessWriter{state: s, alone: alone}
}

// Put writes the document. The first time, and when the slot has become another process's
// because this one could not write for long, it takes the first slot that is free.
func (w *ProcessWriter) Put(ctx context.Context, p state.Process) error {
	if err := checkName("role", p.Role); err != nil {
		return err
	}
	if refused := w.state.conn.silenced.Load(); refused != nil {
		return refused.err
	}
	ctx, cancel := context.WithTimeout(ctx, apiWait) // what is refused is not answered
	defer cancel()
	err := w.write(ctx, p)
	if refused := w.state.conn.silenced.Load(); err != nil && refused != nil {
		return refused.err
	}
	return err
}

func (w *ProcessWriter) write(ctx context.Context, p state.Process) error {
	if w.rev > 0 {
		p.Slot = w.slot
		rev, err := w.state.Update(ctx, processKey(p), p, w.rev)
		if err == nil {
			w.rev = rev
		}
		if !errors.Is(err, ErrConflict) {
			return err
		}
	}
	w.rev = 0
	return w.claim(ctx, p)
}

// claimPause is how soon a slot is looked for again.
const claimPause = 50 * time.Millisecond

// claim takes a slot and writes the document there, until ctx ends.
func (w *ProcessWriter) claim(ctx context.Context, p state.Process) error {
	first := w.claims == 0
	w.claims++
	for {
		err := w.claimFree(ctx, p, first)
		if !errors.Is(err, ErrConflict) {
			return err
		}
		// What was read is outdated: another process was faster, or a write of this one, which
		// was not answered, was stored late. It must not take a second slot.
		if err := fault.Sleep(ctx, claimPause); err != nil {
			return err
		}
	}
}

// claimFree writes the document to the slot that this process has, or to the first that is
// free. If that has changed meanwhile the error is [ErrConflict].
func (w *ProcessWriter) claimFree(ctx context.Context, p state.Process, first bool) error {
	all, err := w.state.Processes(ctx)
	if err != nil {
		return err
	}
	ahead, err := w.state.conn.ClockAhead(ctx)
	if err != nil {
		return err
	}
	now := time.Now().Add(-ahead)
	taken := map[int]Stored[state.Process]{}
	for _, other := range all {
		if other.Value.Role == p.Role {
			taken[other.Value.Slot] = other
		}
	}
	own := slices.IndexFunc(all, func(other Stored[state.Process]) bool { return other.Value.Role == p.Role && other.Value.Is(p) })
	free := func(slot int) bool {
		other, exists := taken[slot]
		return !exists || w.alone || p.Replaces(other.Value, now, first)
	}
	p.Slot = 0
	if own >= 0 {
		p.Slot = all[own].Value.Slot
	} else {
		for !free(p.Slot) {
			p.Slot++
		}
	}
	rev, err := w.state.save(ctx, processKey(p), p, taken[p.Slot].Rev)
	if err == nil {
		w.slot, w.rev = p.Slot, rev
	}
	return err
}
