package apply

import (
	"context"
	"errors"
	"fmt"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/state"
)

// PastLetters are the dead letters that a sink has had so far; [queue.PastLetters] is one.
type PastLetters interface {
	// Mark returns up to where there are letters now.
	Mark(ctx context.Context) (state.LettersMark, error)
	// Blocks returns the blocks that have letters, and perhaps some that had.
	Blocks(ctx context.Context) (block.Set, error)
	// RemoveBefore removes the letters of blocks up to a mark. It may be repeated, at any time.
	RemoveBefore(ctx context.Context, blocks block.Set, mark state.LettersMark) error
}

// mark notes, before anything is removed, up to where there are letters: those that come
// after are of rows that were refused again.
func (j *replay) mark(ctx context.Context) error {
	if j.Letters == nil || j.now().Before != nil {
		return nil
	}
	mark, err := j.Letters.Mark(ctx)
	if err != nil {
		return fmt.Errorf("look for dead letters: %w", err)
	}
	return j.save(ctx, func(q *state.Replay) { q.Before = &mark })
}

// settle removes the letters of blocks that were removed and are there again, no
// matter which process has loaded them. A row that was refused again has become the same letter again before its
// block was committed, and that one comes after the mark. So a row is always in the
// destination, or a letter, or of a block that is still to come.
func (r *Replayer) settle(ctx context.Context, request state.Replay, rev uint64) error {
	if r.Letters == nil || len(request.Past) == 0 {
		return nil
	}
	have, err := r.Letters.Blocks(ctx)
	if err != nil {
		return fmt.Errorf("look for dead letters: %w", err)
	}
	holds, err := r.Loop.Writer.State(ctx)
	if err != nil {
		return fmt.Errorf("look which blocks are loaded again: %w", err)
	}
	var left []state.PastLetters
	changed := false
	for _, past := range request.Past {
		due := past.Blocks.Intersect(have)
		again := due.Intersect(holds.Coverage)
		err := r.Letters.RemoveBefore(ctx, again, past.Before)
		if err != nil {
			return fmt.Errorf("remove dead letters: %w", err)
		}
		for _, loaded := range again.Ranges() {
			due.Remove(loaded)
		}
		changed = changed || !due.Equal(past.Blocks)
		if due.Len() > 0 {
			left = append(left, state.PastLetters{Blocks: due, Before: past.Before})
		}
	}
	if !changed {
		return nil
	}
	request.Past = left
	_, err = r.Requests.SaveReplay(ctx, r.name(), request, rev)
	if err != nil && !errors.Is(err, queue.ErrConflict) { // else another process does it, or there is a new request
		return fmt.Errorf("record that dead letters were removed: %w", err)
	}
	return nil
}
