package delta

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/delta/deltalog"
	"github.com/ampipe/ampipe/pkg/sink/delta/storage"
)

// shownFiles is how many removed files are named.
const shownFiles = 20

// How long files are kept at least and at most: a commit that is under way has
// files in the table that no version names yet, and the log forgets in time which
// files left the table when.
const (
	MinRetention = time.Hour
	MaxRetention = deltalog.Retention
)

// Vacuum removes files that the newest version does not need, and that are older
// than the retention: versions of the table from before then cannot be read any
// more. The log stays. A file that left the table within the retention stays, too.
func (w *Writer) Vacuum(ctx context.Context, retention time.Duration, dry bool, now time.Time) (sink.Vacuumed, error) {
	var done sink.Vacuumed
	switch {
	case w.log == nil:
		return done, errNotOpen
	case retention < MinRetention:
		return done, fault.Permanent(fmt.Errorf("a retention of %v is shorter than %v, within which a commit may still be under "+
			"way; give a longer --retention", retention, MinRetention))
	case retention > MaxRetention:
		return done, fault.Permanent(fmt.Errorf("a retention of %v is longer than %v, for which the log remembers the files that "+
			"left the table; give a shorter --retention", retention, MaxRetention))
	}
	// The list comes before the log is read: a file that is committed between the
	// two is then in the log.
	var old []storage.Info
	limit := now.Add(-retention)
	err := w.store.List(ctx, "", "", func(i storage.Info) error {
		if i.Modified.Before(limit) && !kept(i.Name, w.target.names) {
			old = append(old, i)
		}
		return nil
	})
	if err != nil {
		return done, err
	}
	s, err := w.log.Refresh(ctx)
	if err != nil {
		return done, err
	}
	needed, err := needed(s, limit)
	if err != nil {
		return done, err
	}
	for _, i := range old {
		if needed[i.Name] {
			continue
		}
		if !dry {
			if err := w.store.Delete(ctx, i.Name); err != nil {
				return done, fmt.Errorf("vacuum %s: %w", w.store, err)
			}
		}
		done.Files++
		done.Bytes += i.Size
		if len(done.Names) < shownFiles {
			done.Names = append(done.Names, i.Name)
		}
	}
	return done, nil
}

// needed are the files that a version names, and those that left the table after
// the limit.
func needed(s *deltalog.Snapshot, limit time.Time) (map[string]bool, error) {
	all := map[string]bool{}
	for path := range s.Files.All() {
		name, err := deltalog.FileName(path)
		if err != nil {
			return nil, err
		}
		all[name] = true
	}
	for path, r := range s.Removed.All() {
		if name, err := deltalog.FileName(path); err == nil && r.DeletionTimestamp >= limit.UnixMilli() {
			all[name] = true
		}
	}
	return all, nil
}

// kept reports whether a name is not a data file's: folders and files that begin
// with "_" or "." belong to others, except for what we leave behind when we are
// killed in the middle of a write, and for partitions of such columns.
func kept(name string, partitions []string) bool {
	parts := strings.Split(name, "/")
	if strings.HasPrefix(parts[len(parts)-1], storage.Temporary) {
		return false
	}
	for i, part := range parts {
		if strings.HasPrefix(part, "_") || strings.HasPrefix(part, ".") {
			column, _, isPartition := strings.Cut(part, "=")
			if i == len(parts)-1 || !isPartition || !slices.ContainsFunc(partitions, func(n string) bool { return escaped(n) == column }) {
				return true
			}
		}
	}
	return false
}
