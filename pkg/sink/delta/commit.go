package delta

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/delta/deltalog"
)

const (
	// attempts bounds how often a call begins again because another process of
	// the sink was faster.
	attempts = 20
	// raceTries bounds how often a commit goes for the next version because
	// somebody else took the one before.
	raceTries = 100
	// toldRaces is how many of them are no news.
	toldRaces = 5
)

var conflictPause = fault.Backoff{Min: 5 * time.Millisecond, Max: 500 * time.Millisecond}

// errStale is [sink.ErrRestage]: another process of the sink has committed some of
// the same blocks meanwhile.
var errStale = fmt.Errorf("another staging of this sink has committed some of these blocks: %w", sink.ErrRestage)

// commit makes the stage a version of the table. If somebody else made one
// meanwhile it continues from theirs: foreign writers move rows between files and
// leave ours alone, and another process of the sink may have changed what the
// rules say. After an error the stage is as before, and may be committed again.
func (w *Writer) commit(ctx context.Context, s *stage) (sink.Applied, error) {
	if err := s.finishAll(); err != nil {
		s.broken = true
		return sink.Applied{}, fmt.Errorf("%w: %w", sink.ErrRestage, err)
	}
	base := s.base
	for try := 1; ; try++ {
		if s.committed(base) {
			return s.applied(), nil
		}
		commitState, err := s.rebase(base)
		if err != nil {
			w.abandon(ctx, s)
			return sink.Applied{}, err
		}
		actions, err := s.actions(ctx, base, commitState)
		if err != nil || len(actions) == 0 {
			return s.applied(), err
		}
		if err := ctx.Err(); err != nil {
			return sink.Applied{}, context.Cause(ctx)
		}
		next, err := w.log.Commit(ctx, base, actions)
		if err == nil {
			w.checkpoint(ctx, next)
			return s.applied(), nil
		}
		if !errors.Is(err, deltalog.ErrConflict) {
			s.sent = append(s.sent, pathsOf(actions)...)
			return sink.Applied{}, fmt.Errorf("commit version %d of %s: %w", base.Version+1, w.store, err)
		}
		if try == raceTries {
			return sink.Applied{}, fmt.Errorf("commit to %s: other writers were faster %d times in a row", w.store, try)
		}
		if try > toldRaces {
			sink.Waits(ctx, fmt.Errorf("commit to %s: other writers were faster %d times in a row", w.store, try))
		}
		if base, err = w.refresh(ctx); err != nil {
			return sink.Applied{}, err
		}
	}
}

// committed reports whether a commit whose outcome was unknown is in the table.
func (s *stage) committed(now *deltalog.Snapshot) bool {
	return slices.ContainsFunc(s.sent, func(path string) bool {
		return now.Files.Has(path) || now.Removed.Has(path)
	})
}

func pathsOf(actions []deltalog.Action) (paths []string) {
	for _, a := range actions {
		if a.Add != nil {
			paths = append(paths, a.Add.Path)
		}
	}
	return paths
}

// rebase returns the state that the table would have after the stage, on another
// version than it was made for, if the rules still say the same.
func (s *stage) rebase(base *deltalog.Snapshot) (*sink.CommitState, error) {
	if base == s.base {
		return s.state, nil
	}
	if err := s.w.target.fits(base); err != nil {
		return nil, fmt.Errorf("table %s: %w", s.w.store, err)
	}
	had, _, err := readCommitState(base, s.w.target.app)
	if err != nil {
		return nil, err
	}
	if slices.Equal(encodeCommitState(had), encodeCommitState(s.had)) {
		return s.state, nil
	}
	commitState := had.Clone()
	for _, t := range s.taken {
		step, took, err := takeOne(commitState, t.change, s.w.target.table.BlockColumn)
		// A change does not have its rows any more, but they follow from the blocks
		// that it covers or, for a part of a block, from whether it is taken.
		if err != nil || took != t.took || !slices.Equal(step.Covered, t.step.Covered) || !slices.Equal(step.Delete, t.step.Delete) {
			return nil, errStale
		}
	}
	return commitState, nil
}

// takeOne asks the rules what a change does. For a part of a block it also tells
// whether it was taken.
func takeOne(l *sink.CommitState, c sink.Change, column int) (step sink.Step, took bool, err error) {
	before := hasPart(l, c)
	step, err = l.Take(c, column)
	return step, !c.Whole() && (len(step.Covered) > 0 || !before && hasPart(l, c)), err
}

// hasPart reports whether a part of a block that is not whole has arrived.
func hasPart(l *sink.CommitState, c sink.Change) bool {
	p := l.Partial[c.Range.Start]
	return !c.Whole() && p.Batch == c.Batch && p.Parts == c.Parts && slices.Contains(p.Have, c.Part)
}

// abandon removes uploaded files that no commit will name.
func (w *Writer) abandon(ctx context.Context, s *stage) {
	if len(s.sent) > 0 {
		return // a commit may name them after all
	}
	files := slices.Clone(s.done)
	for _, r := range s.rewritten {
		files = append(files, r.rest)
	}
	for _, f := range files {
		if f != nil && w.takeBack(ctx, f) != nil {
			return
		}
	}
}

// takeBack removes an uploaded file that no version names. What stays behind is for
// vacuum.
func (w *Writer) takeBack(ctx context.Context, f *stagedFile) error {
	if f.path == "" {
		return nil
	}
	name, err := deltalog.FileName(f.path)
	if err == nil {
		err = w.store.Delete(context.WithoutCancel(ctx), name)
	}
	if err == nil {
		f.path = ""
	}
	return err
}

// applied counts what the stage does.
func (s *stage) applied() sink.Applied {
	a := sink.Applied{Rows: s.rows, Skipped: s.skipped, Deleted: s.deleted}
	for _, r := range s.rewritten {
		a.Deleted += r.deleted
	}
	return a
}

// actions uploads what is missing and returns the actions of the commit; none if
// there is nothing to say.
func (s *stage) actions(ctx context.Context, base *deltalog.Snapshot, commitState *sink.CommitState) ([]deltalog.Action, error) {
	w := s.w
	gone, added, err := s.rewriteFiles(ctx, base)
	if err != nil {
		return nil, err
	}
	now := time.Now().UnixMilli()
	progress := commitStateActions(base, w.target.app, commitState, now)
	if len(s.done) == 0 && len(gone) == 0 && len(progress) == 1 {
		return nil, nil
	}
	out := append(make([]deltalog.Action, 1, len(s.done)+2*len(gone)+len(progress)+1), progress...)
	var bytes int64
	for _, f := range slices.Concat(s.done, added) {
		if err := w.upload(ctx, f); err != nil {
			return nil, err
		}
		bytes += f.size
		out = append(out, deltalog.Action{Add: w.target.addOf(f, now, true)})
	}
	for _, a := range gone {
		out = append(out, deltalog.Action{Remove: a.Remove(now, true)})
	}
	applied := s.applied()
	info := w.target.info("WRITE", base.Version, now, map[string]string{"mode": "Append"})
	info.IsBlindAppend = len(gone) == 0
	if len(gone) > 0 {
		info.OperationParameters["mode"] = s.deletes()
	}
	info.OperationMetrics = map[string]string{
		"numFiles": strconv.Itoa(len(s.done) + len(added)), "numRemovedFiles": strconv.Itoa(len(gone)),
		"numOutputRows": strconv.FormatUint(applied.Rows, 10), "numDeletedRows": strconv.FormatUint(applied.Deleted, 10),
		"numOutputBytes": strconv.FormatInt(bytes, 10),
	}
	out[0].CommitInfo = info
	return out, nil
}

// deletes returns why rows of the table are deleted, for those who read its history.
func (s *stage) deletes() string {
	if slices.ContainsFunc(s.taken, func(t takenChange) bool { return t.change.Kind == sink.Remove }) {
		return "Remove"
	}
	return "Reorg"
}

// info returns what is said about a commit.
func (g *target) info(operation string, readVersion, now int64, parameters map[string]string) *deltalog.CommitInfo {
	parameters["pipeline"], parameters["sink"] = g.table.Pipeline, g.table.Sink
	return &deltalog.CommitInfo{Timestamp: now, Operation: operation, OperationParameters: parameters,
		ReadVersion: &readVersion, EngineInfo: deltalog.Engine + " " + version(), TxnID: rand.Text()}
}

// rewriteFiles finds the files of a version that hold rows of void blocks, and writes those
// anew that hold others, too.
func (s *stage) rewriteFiles(ctx context.Context, base *deltalog.Snapshot) (gone []*deltalog.Add, rest []*stagedFile, err error) {
	if len(s.cuts.Ranges()) == 0 {
		return nil, nil, nil
	}
	g := s.w.target
	used := map[string]*rewrite{}
	for path, a := range base.Files.All() {
		blocks := g.blocksOf(a)
		if len(s.cuts.Missing(blocks)) == 1 && s.cuts.Missing(blocks)[0] == blocks {
			continue
		}
		r, ok := s.rewritten[path]
		if !ok {
			if r, err = s.rewrite(ctx, a, blocks); err != nil {
				return nil, nil, err
			}
		}
		used[path] = r
		if r.deleted == 0 {
			continue // by its range only
		}
		gone = append(gone, a)
		if r.rest != nil {
			rest = append(rest, r.rest)
		}
	}
	for path, r := range s.rewritten {
		if used[path] == nil { // a foreign writer took the file away meanwhile
			r.drop()
		}
	}
	s.rewritten = used
	return gone, rest, nil
}

// rewrite returns what is left of a file.
func (s *stage) rewrite(ctx context.Context, a *deltalog.Add, blocks block.Range) (*rewrite, error) {
	g := s.w.target
	if rows := a.ParseStats().NumRecords; rows != nil && s.cuts.Covers(blocks) {
		return &rewrite{deleted: *rows}, nil
	}
	f, err := openFile(ctx, s.w.store, a.Path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	rest, deleted, err := g.without(ctx, f, g.partitionFor(a), s.cuts)
	if err != nil {
		return nil, fmt.Errorf("take blocks out of %s: %w", a.Path, err)
	}
	if deleted == 0 && rest != nil {
		rest.drop()
		rest = nil
	}
	return &rewrite{rest: rest, deleted: deleted}, nil
}

// upload puts a file where the table is. One that has waited there for its commit
// so long that a vacuum may have taken it is put there again, under another name.
func (w *Writer) upload(ctx context.Context, f *stagedFile) error {
	if f.path != "" && time.Since(f.uploaded) < MinRetention/2 {
		return nil
	}
	begun := time.Now()
	name := f.partition.folder(w.target.names) + fmt.Sprintf("part-%s.parquet", rand.Text())
	if err := w.store.Write(ctx, name, f.spool, f.size); err != nil {
		return err
	}
	f.path, f.uploaded = deltalog.EscapePath(name), begun
	return nil
}

// addOf returns the action that puts a file into the table. dataChange is false if its
// rows were there before.
func (g *target) addOf(f *stagedFile, now int64, dataChange bool) *deltalog.Add {
	return &deltalog.Add{Path: f.path, PartitionValues: f.partition.values(g.names), Size: f.size, ModificationTime: now,
		DataChange: dataChange, Stats: f.stats, Tags: blockTags(f.blocks)}
}

// checkpoint writes one if the version is due. The table is right without it, so
// an error is for the next time.
func (w *Writer) checkpoint(ctx context.Context, s *deltalog.Snapshot) {
	if isCheckpoint(s.Version, int64(w.cfg.CheckpointEvery), int64(s.Files.Len()+s.Removed.Len())) {
		_ = w.log.Checkpoint(ctx, s, time.Now())
	}
}

// filesPerVersion is how many files a checkpoint has at most for each version since the one
// before: it has all of the table, and a commit must not cost the more the more there are.
const filesPerVersion = 50

// isCheckpoint reports whether a checkpoint of so many files is due at a version, so many
// versions after the one before, or a power of two times as many.
func isCheckpoint(version, every, files int64) bool {
	if every <= 0 || version <= 0 {
		return false
	}
	for every*filesPerVersion < files {
		every *= 2
	}
	return version%every == 0
}
