package page

import (
	"cmp"
	"strconv"
	"time"
)

// writeLetters lists the newest dead letters of each sink.
func (p pipelineView) writeLetters(b *builder) {
	if len(p.Letters) == 0 {
		return
	}
	rows := [][]string{{"SINK", "BLOCK", "COLUMN", "VALUE", "ERROR", "WHEN (UTC)"}}
	for _, l := range p.Letters {
		rows = append(rows, []string{
			l.Sink, strconv.FormatUint(uint64(l.Block), 10), cmp.Or(l.Column, "the row"), l.Value, l.Error, l.At.UTC().Format(time.DateTime),
		})
	}
	b.table(p.id+"-letters", "Dead letters", rows)
	b.add(`<p>The newest of each sink. <code>ampipe dlq list %v</code> counts all, <code>ampipe dlq show %v</code> shows their rows, `+
		`<code>ampipe dlq replay %v --all</code> loads them when the table is mended.</p>`, p.Name, p.Name, p.Name)
}
