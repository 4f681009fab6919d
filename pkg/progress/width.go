package progress

import (
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// Columns returns how many columns of a terminal a text takes.
func Columns(text string) (n int) {
	for _, r := range text {
		n += runeColumns(r)
	}
	return n
}

func runeColumns(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	default:
		return 1
	}
}

// Printable replaces what controls a terminal.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
}

// prefix returns the beginning of a text that takes at most so many columns.
func prefix(text string, most int) string {
	used := 0
	for i, r := range text {
		used += runeColumns(r)
		if used > most {
			return text[:i]
		}
	}
	return text
}

// Fit returns a text that takes at most so many columns, cut if it must be.
func Fit(text string, most int) string {
	if Columns(text) <= most {
		return text
	}
	return prefix(text, max(0, most-1)) + "…"
}

// Pad fills a text up to so many columns.
func Pad(text string, to int) string { return text + strings.Repeat(" ", max(0, to-Columns(text))) }

// Table writes rows in columns, in lines of at most so many columns. Where they do not fit,
// what is widest is cut, the headings in the first row last.
func Table(rows [][]string, wide int) (lines []string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], Columns(Printable(cell)))
		}
	}
	const gap = 2
	for sum(widths)+gap*(len(widths)-1) > wide {
		widest := -1
		for i, w := range widths {
			if w > Columns(rows[0][i]) && (widest < 0 || w > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
	}
	for _, row := range rows {
		line := ""
		for i, cell := range row {
			line += Pad(Fit(Printable(cell), widths[i]), widths[i]+gap)
		}
		lines = append(lines, Fit(strings.TrimRight(line, " "), wide))
	}
	return lines
}

func sum(widths []int) (all int) {
	for _, w := range widths {
		all += w
	}
	return all
}

// Wrap breaks a text at spaces into lines of at most so many columns. Of more than most
// lines the last is cut.
func Wrap(text string, wide, most int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && Columns(line)+1+Columns(word) <= wide {
			line += " " + word
			continue
		}
		if line != "" {
			lines = append(lines, line)
		}
		for Columns(word) > wide { // it is longer than a line
			head := prefix(word, wide)
			lines, word = append(lines, head), word[len(head):]
		}
		line = word
	}
	if line != "" {
		lines = append(lines, line)
	}
	if len(lines) > most {
		lines[most-1] = Fit(strings.Join(lines[most-1:], " "), wide)
		lines = lines[:most]
	}
	return lines
}
