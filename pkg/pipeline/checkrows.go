package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
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
				_, err := judgeRefusals(out, p, refused)
				return err
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
	aside, err := judgeRefusals(out, p, refused)
	if err != nil || aside {
		return err
	}
	say(out, "rows      %s rows of blocks %v fit into the tables", progress.Count(read), parts)
	return nil
}

// judgeRefusals returns the errors of rows that would stop their sinks, and reports whether
// others would put theirs aside, which it prints.
func judgeRefusals(out io.Writer, p *config.Pipeline, refused map[string]error) (aside bool, err error) {
	var all []error
	for _, c := range p.Sinks {
		reason := refused[c.Name]
		bad, isRow := errors.AsType[*sink.BadRowError](reason)
		switch {
		case reason == nil:
		case isRow && c.PutsAside():
			aside = true
			say(out, "warning   sink %s would put rows aside as dead letters: %v", c.Name, bad)
		default:
			all = append(all, fmt.Errorf("sink %q: %w", c.Name, reason))
		}
	}
	return aside, errors.Join(all...)
}
