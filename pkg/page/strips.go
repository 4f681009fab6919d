package page

import (
	"fmt"
	"strings"

	"github.com/ampipe/ampipe/pkg/progress"
	"github.com/ampipe/ampipe/pkg/status"
)

// strip is a line of the map: the whole history from left to right.
type strip struct {
	name  string
	value string // for people
	also  string // that a screen reader has beside it
	wide  int    // in pieces
	paths []path
}

// path is what a strip has of a kind of blocks, as the d of an SVG path.
type path struct{ class, d string }

// high is the height of a strip. The less of a piece is there, the lower it is.
const high = 8

// strips returns the map: what was read, and what each sink's destination holds.
func (p pipelineView) strips() []strip {
	if len(p.Pieces) == 0 {
		return nil
	}
	var failed, running uint64
	read := make([]int, len(p.Pieces))
	reading := make([]int, len(p.Pieces)) // with read, which is drawn before it; 0 where nothing is being read
	lost := make([]int, len(p.Pieces))
	for i, piece := range p.Pieces {
		failed += piece.Failed
		running += piece.Reading
		lost[i] = level(piece.Failed, piece.Range.Len())
		read[i] = min(level(piece.InLog, piece.Range.Len()), high-lost[i])
		if piece.Reading > 0 {
			read[i] = min(read[i], high-lost[i]-1) // what runs is seen
			reading[i] = min(read[i]+level(piece.Reading, piece.Range.Len()), high-lost[i])
		}
	}
	value := status.Percent(p.History.InLog, p.History.Blocks)
	if failed > 0 {
		value += ", " + progress.Grouped(failed) + " failed"
	}
	also := ""
	if running > 0 {
		also = ", " + progress.Grouped(running) + " in partitions that are being read"
	}
	all := []strip{{name: "read", value: value, also: also, wide: len(read), paths: []path{
		{"reading", draw(reading, func(h int) int { return high - h })},
		{"read", draw(read, func(h int) int { return high - h })},
		{"lost", draw(lost, func(int) int { return 0 })},
	}}}
	for k, s := range p.Sinks {
		held := make([]int, len(p.Pieces))
		for i, piece := range p.Pieces {
			held[i] = level(piece.Sinks[k], piece.Range.Len())
		}
		all = append(all, strip{
			name: s.Name, value: status.Percent(s.Covered, s.Wanted), wide: len(held),
			paths: []path{{"held", draw(held, func(h int) int { return high - h })}},
		})
	}
	return all
}

// level returns how high something is drawn: a little of it is not nothing, and not quite
// all of it is not all.
func level(have, all uint64) int {
	switch {
	case have == 0:
		return 0
	case have >= all:
		return high
	default:
		return min(max(int(float64(have)/float64(all)*high+0.5), 1), high-1)
	}
}

// draw draws pieces of these heights, from y on. Neighbours of one height are one rectangle.
func draw(heights []int, y func(height int) int) string {
	var d strings.Builder
	for x := 0; x < len(heights); {
		h, from := heights[x], x
		for x < len(heights) && heights[x] == h {
			x++
		}
		if h > 0 {
			fmt.Fprintf(&d, "M%d %dh%dv%dh-%dz", from, y(h), x-from, h, x-from)
		}
	}
	return d.String()
}
