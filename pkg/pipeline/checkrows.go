package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
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
func checkRows(
	ctx context.Context, out io.Writer, p *config.Pipeline, source plan.Source, checked *plan.Checked, sinks map[string]sink.Writer,
) error {
	all := wanted(p)
	for _, have := range checked.Head {
		all = all.Intersect(have.Numbers)
	}
	if all.Empty() || len(checked.Head) == 0 {
		return nil
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
				return err
			case err != nil:
				say(out, "rows      not looked at whether blocks %v fit into the tables: %v", part, err)
				return joinRefusals(refused)
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
	if err := joinRefusals(refused); err != nil {
		return err
	}
	say(out, "rows      %s rows of blocks %v fit into the tables", progress.Count(read), parts)
	return nil
}

func joinRefusals(refused map[string]error) error {
	var all []error
	for _, name := range slices.Sorted(maps.Keys(refused)) {
		if err := refused[name]; err != nil {
			all = append(all, fmt.Errorf("sink %q: %w", name, err))
		}
	}
	return errors.Join(all...)
}
