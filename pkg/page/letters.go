package page

import (
	"cmp"
	"strconv"
	"time"

	"github.com/ampipe/ampipe/pkg/progress"
)

// writeLetters lists the newest dead letters of each sink.
func (p pipelineView) writeLetters(b *builder) {
	if len(p.Letters) == 0 {
		return
	}
	rows := [][]string{{"SINK", "BLOCK", "COLUMN", "VALUE", "ERROR", "WHEN"}}
	for _, l := range p.Letters {
		ago := progress.Duration(max(0, p.At.Sub(l.At)).Truncate(time.Minute)) + " ago"
		rows = append(rows, []string{l.Sink, strconv.FormatUint(uint64(l.Block), 10), cmp.Or(l.Column, "the row"), l.Value, l.Error, ago})
	}
	b.table(p.id+"-letters", "Dead letters", rows)
	b.add(`<p>The newest of each sink. <code>ampipe dlq list %v</code> counts all, <code>ampipe dlq show %v</code> shows their rows, `+
		`<code>ampipe dlq replay %v --all</code> loads them when the table is mended.</p>`, p.Name, p.Name, p.Name)
}
