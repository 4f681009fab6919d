package delta

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/delta/deltalog"
)

const (
	// openBytes is how much of all files in the making may be in memory.
	openBytes = 64 << 20
	// openFiles is how many there may be: one for each partition that rows are of.
	openFiles = 64
)

// stage is changes on their way into the table: the state as it would be, and
// the rows in spooled files. It is not safe for concurrent use.
type stage struct {
	w       *Writer
	base    *deltalog.Snapshot
	had     *sink.CommitState // of base
	state   *sink.CommitState
	taken   []takenChange
	open    map[string]*parquetWriter // by partition
	done    []*stagedFile
	cuts    block.Set // blocks whose rows in base have to go
	rows    uint64    // staged, those deleted again included
	skipped uint64
	deleted uint64 // of staged rows

	rewritten map[string]*rewrite // files of the table that lose rows, by path
	broken    bool                // a file is not whole: nothing here can be used
	sent      []string            // the files of commits whose outcome nobody knows
}

// takenChange is a change without its rows, and what became of it.
type takenChange struct {
	change sink.Change
	step   sink.Step
	took   bool // a part of a block that was
}

// begin starts a stage on the newest version of the table.
func (w *Writer) begin(ctx context.Context) (*stage, error) {
	base, err := w.refresh(ctx)
	if err != nil {
		return nil, err
	}
	if base.Version < 0 {
		return nil, fault.Permanent(fmt.Errorf("the table %s is gone; start again to load it anew", w.store))
	}
	if err := w.target.fits(base); err != nil {
		return nil, fmt.Errorf("table %s: %w", w.store, err)
	}
	l, _, err := readCommitState(base, w.target.app)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", w.store, err)
	}
	return &stage{w: w, base: base, had: l, state: l.Clone(), open: map[string]*parquetWriter{}, rewritten: map[string]*rewrite{}}, nil
}

// drop forgets everything.
func (s *stage) drop() {
	for _, f := range s.open {
		f.drop()
	}
	for _, f := range s.done {
		f.drop()
	}
	for _, r := range s.rewritten {
		r.drop()
	}
	s.open, s.done, s.rewritten = nil, nil, nil
}

// bytes returns about how large the files are.
func (s *stage) bytes() (n int64) {
	for _, f := range s.done {
		n += f.size
	}
	for _, f := range s.open {
		n += f.size()
	}
	return n
}

// add takes changes in. Everything that a change can be refused for comes before
// the first row is written: then nothing of these changes is staged.
func (s *stage) add(ctx context.Context, changes []sink.Change) error {
	commitState := s.state.Clone()
	steps := make([]stepRows, 0, len(changes))
	taken := make([]bool, 0, len(changes))
	defer func() {
		for _, step := range steps {
			step.release()
		}
	}()
	for _, c := range changes {
		step, took, err := takeOne(commitState, c, s.w.target.table.BlockColumn)
		if err != nil {
			return err
		}
		taken = append(taken, took)
		rows, err := s.w.target.rowsOf(step)
		if err != nil {
			return err
		}
		steps = append(steps, rows)
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
	}
	for i, step := range steps {
		if err := s.put(ctx, step); err != nil {
			s.broken = true
			return err
		}
		c := changes[i]
		c.Records = nil
		for j := range step.Write {
			step.Write[j].Record = nil // borrowed
		}
		s.taken = append(s.taken, takenChange{c, step.Step, taken[i]})
	}
	s.state = commitState
	return nil
}

// put does what a step says: deletes, then writes.
func (s *stage) put(ctx context.Context, step stepRows) error {
	for _, r := range step.Delete {
		s.cuts.Add(r)
		for path, old := range s.rewritten { // of a commit that failed, with fewer cuts
			old.drop()
			delete(s.rewritten, path)
		}
		if err := s.rewriteStaged(ctx, r); err != nil {
			return err
		}
	}
	for _, p := range step.partitioned {
		if err := s.write(p); err != nil {
			return err
		}
	}
	s.rows += sink.CountRows(step.Write)
	s.skipped += step.Skipped
	return nil
}

// write appends rows to the file of their partition.
func (s *stage) write(p partitionedRows) error {
	if p.record.NumRows() == 0 {
		return nil
	}
	key := p.partition.key()
	f, ok := s.open[key]
	if !ok {
		if err := s.makeRoom(); err != nil {
			return err
		}
		var err error
		if f, err = s.w.target.newFile(p.partition); err != nil {
			return err
		}
		s.open[key] = f
	}
	blocks, err := sink.BlocksOf(p.blocks, 0)
	if err != nil {
		return err
	}
	if err := f.add(p.record, blocks); err != nil {
		return err
	}
	if f.size() >= s.w.target.fileSize {
		return s.finish(key)
	}
	return s.spill()
}

// finish ends the file of a partition.
func (s *stage) finish(key string) error {
	f := s.open[key]
	delete(s.open, key)
	done, err := f.finish()
	if err != nil {
		return err
	}
	s.done = append(s.done, done)
	return nil
}

func (s *stage) finishAll() error {
	for _, key := range s.keys() {
		if err := s.finish(key); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) keys() []string { return slices.Sorted(maps.Keys(s.open)) }

// makeRoom ends the largest file when there are too many.
func (s *stage) makeRoom() error {
	if len(s.open) < openFiles {
		return nil
	}
	return s.finish(s.largest((*parquetWriter).size))
}

// spill writes the largest row group to the spool when too much is in memory.
func (s *stage) spill() error {
	var held int64
	for _, f := range s.open {
		held += f.held()
	}
	if held < openBytes {
		return nil
	}
	return s.open[s.largest((*parquetWriter).held)].flush()
}

func (s *stage) largest(by func(*parquetWriter) int64) string {
	best, size := "", int64(-1)
	for key, f := range s.open {
		if n := by(f); n > size {
			best, size = key, n
		}
	}
	return best
}

// rewriteStaged takes the rows of r out of what is staged.
func (s *stage) rewriteStaged(ctx context.Context, r block.Range) error {
	for _, key := range s.keys() {
		if !s.open[key].blocks.Intersect(r).Empty() {
			if err := s.finish(key); err != nil {
				return err
			}
		}
	}
	var kept []*stagedFile
	for _, f := range s.done {
		switch {
		case f.blocks.Intersect(r).Empty():
			kept = append(kept, f)
		case r.Contains(f.blocks):
			s.deleted += uint64(f.rows)
			f.drop()
		default:
			gone := block.NewSet(r)
			rest, deleted, err := s.w.target.without(ctx, f.spool, f.partition, gone)
			if err != nil {
				return err
			}
			s.deleted += deleted
			f.drop()
			if rest != nil {
				kept = append(kept, rest)
			}
		}
	}
	s.done = kept
	return nil
}
