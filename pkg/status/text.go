package status

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/progress"
	"github.com/ampipe/ampipe/pkg/queue"
)

// Overview is how several pipelines are. Its JSON form is what `ampipe status --json`
// prints.
type Overview struct {
	Level     Level      `json:"level"`
	Sentence  string     `json:"sentence"`
	Next      string     `json:"next,omitempty"`
	Pipelines []Pipeline `json:"pipelines"`
}

// Summarize puts pipelines together: the worst of them has the sentence.
func Summarize(all []Pipeline) Overview {
	o := Overview{Level: Healthy, Pipelines: all}
	if len(all) == 1 {
		o.Level, o.Sentence, o.Next = all[0].Level, all[0].Sentence, all[0].Next
		return o
	}
	worst := slices.MinFunc(all, func(a, b Pipeline) int {
		return slices.Index(worstFirst, a.Level) - slices.Index(worstFirst, b.Level)
	})
	if worst.Level != Healthy {
		o.Level, o.Sentence, o.Next = worst.Level, worst.Name+": "+worst.Sentence, worst.Next
		return o
	}
	// What most of them are does not matter to one who wants to know whether all are loaded.
	least := slices.MinFunc(all, func(a, b Pipeline) int { return a.rank() - b.rank() })
	o.Sentence = fmt.Sprintf("all %d pipelines are well; %s: %s", len(all), least.Name, least.Sentence)
	if least.rank() == rankLive {
		slowest := slices.MaxFunc(all, func(a, b Pipeline) int { return cmp.Compare(a.worstBehind(), b.worstBehind()) })
		o.Sentence = fmt.Sprintf("all %d pipelines are %s", len(all), slowest.Sentence)
	}
	return o
}

// The order in which pipelines that are well are named: the one that is the least far.
const (
	rankStarting = iota
	rankLoading
	rankWaiting
	rankLive
	rankComplete
)

func (p Pipeline) rank() int {
	switch {
	case p.Complete:
		return rankComplete
	case !p.Planned:
		return rankStarting
	case len(p.Sinks) > 0 && !slices.ContainsFunc(p.Sinks, func(s Sink) bool { return s.State != SinkLive }):
		return rankLive
	case p.Live != nil && p.History.Loaded >= p.History.Blocks:
		return rankWaiting
	default:
		return rankLoading
	}
}

func (p Pipeline) worstBehind() (worst time.Duration) {
	for _, s := range p.Sinks {
		worst = max(worst, s.Behind())
	}
	return worst
}

// Text shows the overview in lines of at most so many columns.
func (o Overview) Text(wide int) []string {
	t := text{wide: max(wide, 40)}
	t.wrapped("", o.Sentence, 6)
	if o.Next != "" {
		t.wrapped("next: ", o.Next, 3)
	}
	for _, p := range o.Pipelines {
		t.pipeline(p, len(o.Pipelines) > 1)
	}
	return t.lines
}

// text collects lines.
type text struct {
	wide  int
	lines []string
}

// wrapped writes a text behind a label; further lines stand below the text.
func (t *text) wrapped(label, value string, most int) {
	for i, line := range progress.Wrap(progress.Printable(value), t.wide-len(label), most) {
		if i > 0 {
			label = strings.Repeat(" ", len(label))
		}
		t.lines = append(t.lines, label+line)
	}
}

func (t *text) line(label, value string) {
	t.lines = append(t.lines, progress.Fit("  "+progress.Pad(label, 10)+" "+progress.Printable(value), t.wide))
}

func (t *text) pipeline(p Pipeline, several bool) {
	t.lines = append(t.lines, "")
	title := p.Name
	if several {
		title += ": " + p.Sentence
	}
	t.wrapped("", title, 4)
	for i, trouble := range p.Troubles {
		if i == 0 { // it is the sentence
			continue
		}
		t.wrapped("  also       ", trouble.Text, 3)
	}
	for _, n := range p.Notes {
		t.wrapped("  in order   ", n.Text, 2)
	}
	for _, l := range p.Lines() {
		t.line(l.Label, l.Value)
	}
	if p.Planned {
		t.table(p.SinkTable())
	}
	if len(p.Processes) > 0 {
		t.table(p.ProcessTable())
	}
}

// Line is a fact about a pipeline, for people.
type Line struct{ Label, Value string }

// Lines returns how far history, live lane and log are.
func (p Pipeline) Lines() (lines []Line) {
	if !p.Planned {
		return nil
	}
	add := func(label, value string) { lines = append(lines, Line{label, value}) }
	if h := p.History; h.Blocks > 0 {
		add("history", fmt.Sprintf("%v, %s loaded", block.Range{Start: h.Start, End: h.End}, p.percent()))
		add("partitions", partitionsOf(p.Partitions, p.History.Unplanned))
	}
	if l := p.Live; l != nil {
		value := "from block " + progress.Grouped(uint64(l.Start)) + " on: " + l.Phase
		if l.Watermark != nil {
			value = "up to block " + progress.Grouped(uint64(*l.Watermark))
			if *l.Head > *l.Watermark {
				value += fmt.Sprintf(" (%s is arriving)", progress.Grouped(uint64(*l.Head)))
			}
		}
		add("live", value)
		add("reorgs", p.reorgs())
	}
	var pruned []string
	for _, s := range p.Sinks {
		if s.Pruned > 0 {
			pruned = append(pruned, fmt.Sprintf("%s below block %s", s.Name, progress.Grouped(uint64(s.Pruned))))
		}
	}
	if len(pruned) > 0 {
		add("pruned", strings.Join(pruned, ", "))
	}
	value := fmt.Sprintf("%s of %s (%.0f %%)", queue.Size(int64(p.Log.Bytes)), queue.Size(p.Log.MaxBytes), 100*p.Log.Fill())
	if !p.Log.Oldest.IsZero() {
		value += ", oldest " + progress.Duration(p.At.Sub(p.Log.Oldest))
	}
	if p.Log.Unread > 0 {
		value += fmt.Sprintf("; %s lacks %s", p.Log.HeldBy, progress.Counted(p.Log.Unread, "entry"))
	}
	add("log", value)
	return lines
}

// partitionsOf counts partitions for people, without what there is none of.
func partitionsOf(p Partitions, unplanned uint64) string {
	all := p.Total()
	if all == 0 {
		return "none yet"
	}
	if p.Done == all && unplanned == 0 {
		return fmt.Sprintf("all %d done", all)
	}
	var parts []string
	for _, one := range []struct {
		n    int
		what string
	}{{p.Done, "done"}, {p.Running, "running"}, {p.Queued, "queued"}, {p.Planned, "planned"}, {p.Failed, "FAILED"}} {
		if one.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", one.n, one.what))
		}
	}
	if unplanned > 0 {
		parts = append(parts, "more to come")
	}
	return strings.Join(parts, ", ")
}

// reorgs describes the reorgs of a pipeline.
func (p *Pipeline) reorgs() string {
	l := p.Live
	if l.Reorgs == 0 {
		return "none"
	}
	value := progress.Grouped(l.Reorgs)
	if len(l.Recent) > 0 {
		last := l.Recent[len(l.Recent)-1]
		value += fmt.Sprintf(", the last %s ago: %s", progress.Duration(p.At.Sub(last.At)), progress.Counted(last.Blocks, "block"))
		if last.Rows != nil {
			value += ", " + progress.Counted(*last.Rows, "row")
		}
	}
	return value
}

// SinkTable returns the sinks as rows for people, below a row with the headings.
func (p Pipeline) SinkTable() [][]string {
	rows := [][]string{{"SINK", "STATE", "LOADED", "POSITION", "BEHIND", "ROWS/S"}}
	for _, s := range p.Sinks {
		position, behind := "-", "-"
		if s.Position != nil {
			position = progress.Grouped(uint64(*s.Position))
		}
		if s.State == SinkLive || s.LagBlocks > 0 {
			behind = progress.Duration(s.Behind())
			if s.LagBlocks > 0 {
				behind = progress.Counted(s.LagBlocks, "block") + ", " + behind
			}
		}
		rows = append(rows, []string{s.Name, string(s.State), Percent(s.Covered, s.Wanted), position, behind, progress.Count(uint64(s.PerSec))})
	}
	return rows
}

// ProcessTable returns the processes as rows for people, below a row with the headings.
func (p Pipeline) ProcessTable() [][]string {
	rows := [][]string{{"PROCESS", "STATE", "HOST", "PID", "VERSION", "SINCE", "HEARD OF"}}
	for _, one := range p.Processes {
		rows = append(rows, []string{
			one.Role, string(one.State), one.Host, fmt.Sprint(one.PID), one.Version,
			progress.Duration(max(0, p.At.Sub(one.Started))), progress.Duration(max(0, p.At.Sub(one.Beat))) + " ago",
		})
	}
	return rows
}

// table writes rows in columns.
func (t *text) table(rows [][]string) {
	const indent = "  "
	for _, line := range progress.Table(rows, t.wide-len(indent)) {
		t.lines = append(t.lines, indent+line)
	}
}
