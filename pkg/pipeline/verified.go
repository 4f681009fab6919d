package pipeline

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/progress"
)

// What became of a sink in a comparison.
const (
	resultEqual       = "equal"
	resultDifferent   = "different"
	resultNotCompared = "not_compared"
)

// Verified is what was found of one destination. Its JSON form is what `ampipe verify
// --json` prints; it is documented in docs/verify.md, and stable.
type Verified struct {
	Pipeline string `json:"pipeline"`
	Sink     string `json:"sink"`
	Result   string `json:"result"`          // equal, different or not_compared
	Error    string `json:"error,omitempty"` // why it could not be compared, or not to the end

	Start      block.Number `json:"start"`
	End        block.Number `json:"end"`    // the first block not in it
	Blocks     uint64       `json:"blocks"` // that were compared: those of the range, and those beyond that have rows
	WithRows   uint64       `json:"with_rows"`
	Rows       uint64       `json:"rows"` // of the source
	Equal      uint64       `json:"equal"`
	Differing  uint64       `json:"differing"`  // blocks that both sides have rows of, and not the same
	Missing    uint64       `json:"missing"`    // blocks of which the destination has no row
	Surplus    uint64       `json:"surplus"`    // blocks of which only the destination has rows
	Unreadable uint64       `json:"unreadable"` // blocks that cannot be compared
	Extra      uint64       `json:"extra"`      // rows of no block, found by --deep

	Differences []Differing `json:"differences"` // by their first block
	More        uint64      `json:"more"`        // blocks that differ and are not among Differences
	Notes       []string    `json:"notes"`
	Repair      *Repaired   `json:"repair"` // null: it was not asked for
}

// Differing is a [Difference] as it is printed.
type Differing struct {
	Start       block.Number `json:"start"`
	End         block.Number `json:"end"`
	Kind        kind         `json:"kind"`
	Source      uint64       `json:"source_rows"`
	Destination uint64       `json:"destination_rows"`
	Reason      string       `json:"reason,omitempty"`
}

// kind is how a block differs.
type kind string

const (
	kindDiffering  kind = "differing"
	kindMissing    kind = "missing"
	kindSurplus    kind = "surplus"
	kindUnreadable kind = "unreadable"
)

// kind returns how the blocks differ.
func (d Difference) kind() kind {
	switch {
	case d.Reason != nil:
		return kindUnreadable
	case d.Source.Rows == 0:
		return kindSurplus
	case d.Destination.Rows == 0:
		return kindMissing
	default:
		return kindDiffering
	}
}

// verified returns what was found of the sink. err is why it was not compared to the end,
// extra how many rows are of no block.
func (v *verification) verified(err error, extra uint64) Verified {
	out := Verified{
		Pipeline: v.config.Name, Sink: v.sink.Name, Result: resultEqual, Start: v.all.Start, End: v.all.End,
		Blocks: v.all.Len(), WithRows: v.found.Blocks, Rows: v.found.Rows, Extra: extra,
		Differences: []Differing{}, Notes: append([]string{}, v.notes...), Repair: v.repaired,
	}
	v.found.merge()
	var differ uint64
	for i, d := range v.found.Differences {
		n := d.Blocks.Len()
		differ += n
		if d.Beyond {
			out.Blocks += n
		}
		is := d.kind()
		*map[kind]*uint64{
			kindDiffering: &out.Differing, kindMissing: &out.Missing, kindSurplus: &out.Surplus, kindUnreadable: &out.Unreadable,
		}[is] += n
		if i >= maxDifferences {
			out.More += n
			continue
		}
		one := Differing{Start: d.Blocks.Start, End: d.Blocks.End, Kind: is, Source: d.Source.Rows, Destination: d.Destination.Rows}
		if d.Reason != nil {
			one.Reason = brief(d.Reason).Error()
		}
		out.Differences = append(out.Differences, one)
	}
	out.Equal = out.Blocks - min(differ, out.Blocks)
	switch {
	case err != nil:
		out.Result, out.Error = resultNotCompared, brief(err).Error()
		out.Equal = 0 // how many were compared is not known
	case differ > 0, extra > 0:
		out.Result = resultDifferent
	}
	return out
}

// printVerified prints what was found of the sinks of a pipeline: a line of JSON for each,
// or a table.
func printVerified(out io.Writer, o Options, all []Verified) error {
	if o.JSON {
		encoder := json.NewEncoder(out)
		for _, one := range all {
			err := encoder.Encode(one)
			if err != nil {
				return err
			}
		}
		return nil
	}
	if len(all) == 0 {
		return nil
	}
	wide := o.Columns
	if wide <= 0 {
		wide = math.MaxInt
	}
	if o.Several {
		say(out, "%s:", all[0].Pipeline)
	}
	for _, line := range progress.Table(verifiedTable(all), wide) {
		say(out, "%s", line)
	}
	return nil
}

// verifiedTable returns sinks as rows for people, below a row with the headings.
func verifiedTable(all []Verified) [][]string {
	headings := []string{"SINK", "BLOCKS", "ROWS", "EQUAL", "DIFFER", "MISSING", "SURPLUS"}
	unreadable := slices.ContainsFunc(all, func(v Verified) bool { return v.Unreadable > 0 })
	if unreadable {
		headings = append(headings, "UNREADABLE")
	}
	rows := [][]string{append(headings, "WHERE")}
	for _, v := range all {
		row := []string{v.Sink}
		counts := []uint64{v.Blocks, v.Rows, v.Equal, v.Differing, v.Missing, v.Surplus}
		if unreadable {
			counts = append(counts, v.Unreadable)
		}
		for _, n := range counts {
			cell := progress.Grouped(n)
			if v.Result == resultNotCompared {
				cell = "-"
			}
			row = append(row, cell)
		}
		rows = append(rows, append(row, v.where()))
	}
	return rows
}

// mostWhere is how many ranges a row of the table names.
const mostWhere = 8

// where names the first blocks that differ.
func (v Verified) where() string {
	if v.Result == resultNotCompared {
		return "not compared"
	}
	text := ""
	for i, d := range v.Differences {
		if i > 0 {
			text += ", "
		}
		if i == mostWhere {
			return text + "…"
		}
		if d.End == d.Start+1 {
			text += fmt.Sprint(d.Start)
		} else {
			text += block.Range{Start: d.Start, End: d.End}.String()
		}
	}
	if text == "" {
		return "-"
	}
	return text
}
