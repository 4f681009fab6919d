package delta

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/delta/deltalog"
)

// smallShare is the part of the target below which a file is small: files that
// are nearly large enough are not worth reading again.
const smallShare = 2 // a half

// Compact joins small files of the same partition into files of about the target
// size, in the order of their blocks. Rows stay as they are, what is loaded as
// well; a sink that runs beside it continues. Each new file is a commit, so stopping
// it loses little. The Writer is open by [Writer.OpenStored] or [Writer.Open].
func (w *Writer) Compact(ctx context.Context, dry bool) (sink.Compacted, error) {
	var done sink.Compacted
	if w.log == nil {
		return done, errNotOpen
	}
	s, err := w.log.Refresh(ctx)
	if err != nil {
		return done, err
	}
	for _, group := range w.target.small(s) {
		done.Before += len(group)
		for _, a := range group {
			done.Bytes += a.Size
		}
		if dry {
			continue
		}
		err := w.join(ctx, group)
		switch {
		case errors.Is(err, deltalog.ErrConflict):
			done.Before -= len(group)
			done.Conflict++
			continue
		case err != nil:
			return done, fmt.Errorf("compact %s: %w", w.store, err)
		}
		done.After++
		done.Commits++
	}
	if s, err = w.log.Refresh(ctx); err == nil {
		done.Version = s.Version
	}
	return done, err
}

// small returns groups of small files that together make a file.
func (g *target) small(s *deltalog.Snapshot) [][]*deltalog.Add {
	partitions := map[string][]*deltalog.Add{}
	for _, a := range s.Files.All() {
		if a.Size < g.fileSize/smallShare {
			key := g.partitionFor(a).key()
			partitions[key] = append(partitions[key], a)
		}
	}
	var groups [][]*deltalog.Add
	for _, key := range slices.Sorted(maps.Keys(partitions)) {
		files := partitions[key]
		slices.SortFunc(files, func(a, b *deltalog.Add) int {
			return cmp.Or(cmp.Compare(g.blocksOf(a).Start, g.blocksOf(b).Start), cmp.Compare(a.Path, b.Path))
		})
		var group []*deltalog.Add
		var size int64
		flush := func() {
			if len(group) > 1 {
				groups = append(groups, group)
			}
			group, size = nil, 0
		}
		for _, a := range files {
			if size+a.Size > g.fileSize {
				flush()
			}
			group = append(group, a)
			size += a.Size
		}
		flush()
	}
	return groups
}

// join writes files into one and commits it in their place. It returns deltalog.ErrConflict
// when one of them is gone by then.
func (w *Writer) join(ctx context.Context, files []*deltalog.Add) (err error) {
	g := w.target
	out, err := g.newFile(g.partitionFor(files[0]))
	if err != nil {
		return err
	}
	var joined *stagedFile
	defer func() {
		if joined != nil {
			joined.drop()
		} else {
			out.drop()
		}
	}()
	for _, a := range files {
		if err := w.readFile(ctx, a, out.add); err != nil {
			return fmt.Errorf("read %s: %w", a.Path, err)
		}
	}
	if joined, err = out.finish(); err != nil {
		return err
	}
	if err := w.upload(ctx, joined); err != nil {
		return err
	}
	certain := true // that no version names the file, unless this succeeds
	defer func() {
		if err != nil && certain {
			_ = w.takeBack(ctx, joined) // else vacuum does it
		}
	}()
	for range raceTries {
		s, err := w.log.Refresh(ctx)
		if err != nil {
			return err
		}
		for _, a := range files {
			if !s.Files.Has(a.Path) {
				return deltalog.ErrConflict
			}
		}
		next, err := w.log.Commit(ctx, s, w.joining(s, files, joined))
		if err == nil {
			w.checkpoint(ctx, next)
			return nil
		}
		if !errors.Is(err, deltalog.ErrConflict) {
			certain = false
			return err
		}
	}
	return deltalog.ErrConflict
}

// joining returns the commit: rows are where they were, for readers that follow changes.
func (w *Writer) joining(s *deltalog.Snapshot, files []*deltalog.Add, joined *stagedFile) []deltalog.Action {
	now := time.Now().UnixMilli()
	info := w.target.info("OPTIMIZE", s.Version, now, map[string]string{"targetSize": strconv.FormatInt(w.target.fileSize, 10)})
	info.OperationMetrics = map[string]string{"numRemovedFiles": strconv.Itoa(len(files)), "numAddedFiles": "1"}
	actions := []deltalog.Action{{CommitInfo: info}}
	for _, a := range files {
		actions = append(actions, deltalog.Action{Remove: a.Remove(now, false)})
	}
	return append(actions, deltalog.Action{Add: w.target.addOf(joined, now, false)})
}
