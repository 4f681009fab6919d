package pipeline

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/ampipe/ampipe/pkg/progress"
)

// listing is a table of a pipeline for people, whose rows may end with a long text, such as
// an error. At a terminal, which [Options.Columns] is for, the texts stand below their rows;
// elsewhere each row is one line, with the pipeline before it.
type listing struct {
	pipeline string
	headings []string
	text     string // its heading
	rows     [][]string
	texts    []string // of the rows; empty: a row has none
}

func (l *listing) add(text string, row ...string) {
	l.rows, l.texts = append(l.rows, row), append(l.texts, progress.Printable(text))
}

func (l *listing) print(o Options) {
	table := append([][]string{l.headings}, l.rows...)
	if o.Columns <= 0 {
		for _, line := range progress.Table(l.whole(table), math.MaxInt) {
			say(o.out(), "%s", line)
		}
		return
	}
	say(o.out(), "%s:", l.pipeline)
	for i, line := range progress.Table(table, o.Columns) {
		say(o.out(), "%s", line)
		if i > 0 && l.texts[i-1] != "" {
			sayIndented(o, textIndent, l.texts[i-1])
		}
	}
}

// whole returns a table with the names of the pipeline and the texts.
func (l *listing) whole(table [][]string) [][]string {
	some := slices.ContainsFunc(l.texts, func(text string) bool { return text != "" })
	all := make([][]string, len(table))
	for i, row := range table {
		first, last := l.pipeline, l.text
		if i == 0 {
			first = "PIPELINE"
		} else {
			last = l.texts[i-1]
		}
		all[i] = append([]string{first}, row...)
		if some {
			all[i] = append(all[i], last)
		}
	}
	return all
}

// textIndent is how far a text stands to the right of what it is about.
const textIndent = 4

// sayWrapped prints a sentence, at a terminal in lines that it shows whole.
func sayWrapped(o Options, format string, values ...any) {
	sayIndented(o, 0, fmt.Sprintf(format, values...))
}

// sayIndented prints a text whose first line is indented so far, and further ones by
// textIndent.
func sayIndented(o Options, indent int, text string) {
	if o.Columns <= 0 {
		say(o.out(), "%s", text)
		return
	}
	for _, line := range progress.Wrap(text, max(20, o.Columns-textIndent), math.MaxInt) {
		say(o.out(), "%s%s", strings.Repeat(" ", indent), line)
		indent = textIndent
	}
}
