package progress

import (
	"fmt"
	"strings"
)

const (
	maxWaits       = 3  // that are shown
	maxReasonLines = 3  // lines of a reason
	minColumns     = 20 // columns that a block is made for
	indent         = 2  // columns before the lines below the name of a pipeline
)

// Block shows a pipeline in lines of less than so many columns: what it does and waits
// for first, then its history, each sink and the live chain.
func (s Snapshot) Block(name string, wide int) []string {
	b := &blockText{wide: max(minColumns, wide) - 1} // a line that fills the last column may wrap
	b.label = len("history")
	for _, sink := range s.Sinks {
		b.label = max(b.label, Columns(sink.Name))
	}
	b.label = min(b.label, b.wide/3)
	b.head(Printable(name), string(s.State))
	if s.Failure != "" {
		b.text("FAILED", s.Failure)
		return b.lines
	}
	if s.Sentence != "" {
		b.text("status", s.Sentence)
	}
	waits := unsaid(s.Sentence, s.Waits)
	for i, w := range waits {
		if i == maxWaits {
			b.text("", fmt.Sprintf("and %d more", len(waits)-i))
			break
		}
		b.text("waits", w.Part+": "+w.Reason)
	}
	if s.Blocks > 0 {
		b.history(s)
	} else if s.Rows > 0 {
		b.parts("log", Count(uint64(s.RowsPerSec))+" rows/s")
	}
	for _, sink := range s.Sinks {
		switch {
		case sink.Stopped != "":
			b.text(sink.Name, "STOPPED: "+sink.Stopped)
		case sink.Active && sink.BehindKnown:
			b.parts(sink.Name, Count(uint64(sink.RowsPerSec))+" rows/s", Duration(sink.Behind)+" behind")
		case sink.Active:
			b.parts(sink.Name, Count(uint64(sink.RowsPerSec))+" rows/s")
		}
	}
	if s.Live != "" {
		reorgs := ""
		if s.Reorgs > 0 {
			reorgs = fmt.Sprintf("reorgs %d", s.Reorgs)
		}
		b.parts("live", strings.TrimPrefix(s.Live, "live "), reorgs)
	}
	return b.lines
}

// blockText writes the lines of a block.
type blockText struct {
	wide, label int
	lines       []string
}

func (b *blockText) head(name, state string) {
	b.lines = append(b.lines, Fit(Fit(name, max(1, b.wide-Columns(state)-2))+"  "+state, b.wide))
}

// room returns how many columns a line has behind its label.
func (b *blockText) room() int { return b.wide - indent - b.label - 1 }

func (b *blockText) line(label, text string) {
	b.lines = append(b.lines, strings.Repeat(" ", indent)+Pad(Fit(Printable(label), b.label), b.label)+" "+text)
}

// text writes what may need several lines.
func (b *blockText) text(label, text string) {
	for i, line := range Wrap(Printable(text), b.room(), maxReasonLines) {
		if i > 0 {
			label = ""
		}
		b.line(label, line)
	}
}

// parts writes what there is room for, the first first.
func (b *blockText) parts(label string, parts ...string) {
	line := Fit(parts[0], b.room())
	for _, p := range parts[1:] {
		if p != "" && Columns(line)+2+Columns(p) <= b.room() {
			line += "  " + p
		}
	}
	b.line(label, line)
}

// history writes how far the history is. A bar takes the room that is left.
func (b *blockText) history(s Snapshot) {
	parts := []string{fmt.Sprintf("%d %%", s.Done*100/s.Blocks)}
	if s.Left > 0 {
		parts = append(parts, Duration(s.Left)+" left")
	}
	parts = append(parts, Count(s.Done)+"/"+Count(s.Blocks)+" blocks")
	if s.Rows > 0 {
		parts = append(parts, Count(uint64(s.RowsPerSec))+" rows/s")
	}
	const shortest, longest = 8, 30 // columns of the bar
	bar := min(longest, b.room()-Columns(strings.Join(parts, "  "))-2)
	if bar >= shortest {
		full := int(uint64(bar) * s.Done / s.Blocks)
		parts = append([]string{strings.Repeat("█", full) + strings.Repeat("░", bar-full)}, parts...)
	}
	b.parts("history", parts...)
}
