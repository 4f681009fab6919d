package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/progress"
	"github.com/ampipe/ampipe/pkg/sink"
)

// How much check reads of the rows that would be loaded.
const (
	checkedBlocks   = 8 // at each end
	checkedRows     = 20_000
	checkedPatience = 10 * time.Second
)

// checkRows reads a few of the first and of the last blocks that would be loaded, and
// asks the sinks whether their tables take them: what run would stop at in its first
// minute is known then. If the source does not answer soon, that is said, and no error.
func (c *checkup) checkRows(
	ctx context.Context, p *config.Pipeline, source plan.Source, checked *plan.Checked, sinks map[string]sink.Writer,
) {
	all := wanted(p)
	for _, have := range checked.Head {
		all = all.Intersect(have.Numbers)
	}
	if all.Empty() || len(checked.Head) == 0 {
		return
	}
	parts := []block.Range{all}
	if all.Len() > 2*checkedBlocks {
		parts = []block.Range{{Start: all.Start, End: all.Start + checkedBlocks}, {Start: all.End - checkedBlocks, End: all.End}}
	}
	within, cancel := context.WithTimeout(ctx, checkedPatience)
	defer cancel()
	var (
		read    uint64
		refused = make(map[string]error)
	)
	for _, part := range parts {
		for msg, err := range source.Fetch(within, checked.Query.Wrap(checked.BlockColumn(), part)) {
			switch {
			case err != nil && ctx.Err() != nil:
				return // it was interrupted
			case err != nil:
				c.say("rows      not looked at whether blocks %v fit into the tables: %v", part, err)
				c.refuseRows(p, refused)
				return
			}
			read += uint64(msg.Record.NumRows())
			for name, w := range sinks {
				if refused[name] == nil {
					refused[name] = w.CheckRows(msg.Record)
				}
			}
			if read >= checkedRows {
				break
			}
		}
	}
	if !c.refuseRows(p, refused) {
		c.say("rows      %s rows of blocks %v fit into the tables", progress.Count(read), block.NewSet(parts...))
	}
}

// refuseRows keeps the errors of rows that would stop their sinks, and reports whether some
// are refused. Of sinks that would put theirs aside it says so.
func (c *checkup) refuseRows(p *config.Pipeline, refused map[string]error) (some bool) {
	for _, s := range p.Sinks {
		reason := refused[s.Name]
		if reason == nil {
			continue
		}
		some = true
		bad, isRow := errors.AsType[*sink.BadRowError](reason)
		if isRow && s.PutsAside() {
			c.say("warning   sink %s would put rows aside as dead letters: %v", s.Name, bad)
			continue
		}
		c.refuse(partSink+s.Name, fmt.Errorf("sink %q: %w", s.Name, reason))
	}
	return some
}
