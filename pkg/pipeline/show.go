package pipeline

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/sink"
)

// widest is how many characters of a value are shown.
const widest = 42

// Show prints the rows of the highest blocks of every Delta table of the pipeline:
// these columns of them, or all.
func Show(ctx context.Context, p *config.Pipeline, o Options, rows int, columns []string) error {
	return eachMaintained(ctx, p, o, func(name string, w sink.Maintainer) error {
		all := w.Columns()
		if len(columns) == 0 {
			columns = all
		}
		at := make([]int, len(columns))
		for i, c := range columns {
			at[i] = slices.Index(all, c)
			if at[i] < 0 {
				return ops.Config(fmt.Errorf("the table has no column %q; it has %s", c, strings.Join(all, ", ")))
			}
		}
		newest, err := w.Preview(ctx, rows)
		if err != nil {
			return err
		}
		out := tabwriter.NewWriter(o.out(), 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(out, strings.Join(columns, "\t"))
		for _, row := range newest {
			line := make([]string, len(at))
			for i, c := range at {
				line[i] = row.Values[c]
				if len(line[i]) > widest {
					line[i] = line[i][:widest-1] + "…"
				}
			}
			_, _ = fmt.Fprintln(out, strings.Join(line, "\t"))
		}
		return out.Flush()
	})
}
