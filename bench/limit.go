package main

import (
	"fmt"
	"os"
	"strings"
)

// limit is a figure and what is demanded of it.
type limit struct {
	what  string
	value float64
	unit  string
	most  float64 // 0: none
	least float64 // 0: none
	worst float64 // what fails, where the demand is known to be missed; 0: anything that misses it
}

func (l limit) missed() bool {
	return (l.most > 0 && l.value > l.most) || (l.least > 0 && l.value < l.least)
}

func (l limit) failed() bool {
	switch {
	case l.worst == 0:
		return l.missed()
	case l.most > 0:
		return l.value > l.worst
	default:
		return l.value < l.worst
	}
}

// demand writes what is demanded, and behind it what fails where that is known to be missed;
// empty: nothing is.
func (l limit) demand() string {
	text := ""
	switch {
	case l.most > 0:
		text = "≤ " + figure(l.most)
	case l.least > 0:
		text = "≥ " + figure(l.least)
	default:
		return ""
	}
	if l.worst > 0 {
		text += " (" + figure(l.worst) + ")"
	}
	return strings.TrimSpace(text + " " + l.unit)
}

func (l limit) summary() string {
	return strings.TrimSpace(l.what + ": " + figure(l.value) + " " + l.unit)
}

// print shows a figure as soon as it is known.
func (l limit) print() { fmt.Fprintln(os.Stderr, "        ", l.summary()) }

// writeLimits writes a table of figures; nothing if there are none.
func (r *report) writeLimits(b *strings.Builder, title string, limits []limit) {
	if len(limits) == 0 {
		return
	}
	fmt.Fprintf(b, "## %s\n\n| what | | demand | |\n|---|--:|--:|---|\n", title)
	for _, l := range limits {
		verdict := ""
		if l.demand() != "" {
			verdict = r.verdict(l)
		}
		fmt.Fprintf(b, "| %s | %s %s | %s | %s |\n", l.what, figure(l.value), l.unit, l.demand(), verdict)
	}
	b.WriteString("\n")
}

// figure writes a figure: as a count from a thousand on.
func figure(n float64) string {
	if n < 1000 {
		return number(n)
	}
	return thousands(n)
}
