package delta

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ampipe/ampipe/pkg/sink"
	"github.com/ampipe/ampipe/pkg/sink/delta/deltalog"
)

const (
	versionsExamined = 30
	manySmall        = 200 // files that compacting would join
)

// condition is what a table is like.
type condition struct {
	versions  []deltalog.Authored // the last few
	retention time.Duration       // see [deltalog.Snapshot.VacuumRetention]
	small     int                 // files that compacting would join
	pipeline  string
}

// Examine looks at the log of the table for what costs speed or safety; see
// [sink.Examiner].
func (w *Writer) Examine(ctx context.Context, t sink.Table) (found []sink.Finding, err error) {
	if err := w.openStorage(ctx); err != nil {
		return nil, err
	}
	c := condition{pipeline: t.Pipeline}
	log := deltalog.New(w.store)
	s, err := log.Refresh(ctx)
	if err == nil && s.Version >= 0 {
		c.retention = s.VacuumRetention()
		c.versions, err = log.History(ctx, s.Version, versionsExamined)
		c.small = w.smallFiles(s, t)
	}
	if err != nil {
		return nil, w.opened(ctx, err)
	}
	if s.Version >= 0 {
		found = c.findings()
	}
	return found, w.Close()
}

// smallFiles counts the files that compacting would join; 0 if the columns are not known.
func (w *Writer) smallFiles(s *deltalog.Snapshot, t sink.Table) (n int) {
	if t.Schema == nil {
		return 0
	}
	g, err := newTarget(w.cfg, t)
	if err != nil {
		return 0 // Check says it
	}
	for _, group := range g.small(s) {
		n += len(group)
	}
	return n
}

// findings judges the table.
func (c condition) findings() (all []sink.Finding) {
	others := map[string]int{}
	for _, v := range c.versions {
		if v.Changes && !strings.HasPrefix(v.Engine, deltalog.Engine+" ") {
			others[cmp.Or(v.Engine, "a program that does not say its name")]++
		}
	}
	for _, engine := range slices.Sorted(maps.Keys(others)) {
		all = append(all, sink.Finding{
			Kind: sink.Safety,
			Text: fmt.Sprintf("%d of the last %d versions of the table change its rows and are of %s: a reorg and ampipe compact treat "+
				"their rows like those that were loaded", others[engine], len(c.versions), engine),
			Fix: "let other programs only read, OPTIMIZE and VACUUM the table, and run ampipe verify " + c.pipeline,
		})
	}
	if c.retention < MinRetention {
		all = append(all, sink.Finding{
			Kind: sink.Safety,
			Text: fmt.Sprintf("delta.deletedFileRetentionDuration of the table is %v: a VACUUM of another program may remove files of a commit "+
				"that is under way", c.retention),
			Fix: "set the property to interval 1 week, or more than an hour",
		})
	}
	if c.small >= manySmall {
		all = append(all, sink.Finding{
			Kind: sink.Speed,
			Text: fmt.Sprintf("%d files of the table are small: who reads it opens each of them, and the log lists each", c.small),
			Fix:  "run ampipe compact " + c.pipeline,
		})
	}
	return all
}
