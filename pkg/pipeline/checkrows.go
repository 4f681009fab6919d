package pipeline

import (
	"context"
	"fmt"
	"maps"
	"slices"
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
				c.refuseRows(refused)
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
	if !c.refuseRows(refused) {
		c.say("rows      %s rows of blocks %v fit into the tables", progress.Count(read), parts)
	}
}

// refuseRows keeps the errors of sinks, and reports whether there are some.
func (c *checkup) refuseRows(refused map[string]error) (some bool) {
	for _, name := range slices.Sorted(maps.Keys(refused)) {
		if err := refused[name]; err != nil {
			some = true
			c.refuse(partSink+name, fmt.Errorf("sink %q: %w", name, err))
		}
	}
	return some
}
