package page

import (
	"fmt"
	"strconv"
	"time"

	"github.com/ampipe/ampipe/pkg/progress"
	"github.com/ampipe/ampipe/pkg/status"
)

// section is a part of the page that is replaced when it changes.
type section struct {
	ID   string `json:"id"`
	HTML markup `json:"html"`
	of   string // the pipeline
}

// shownFailed is how many failed partitions are listed.
const shownFailed = 50

// pipelineView is what the sections of a pipeline are rendered of.
type pipelineView struct {
	status.Pipeline
	status.Detail
	id      string // of the pipeline in the page, "p0"
	several bool   // the page shows several pipelines
}

// render renders the sections of the page, those with buttons if it has some.
func render(v View, steers bool) []section {
	var b builder
	b.add(`<div class="answer %v" data-level="%v"><p class="level">%v</p><h1>%v</h1>`, v.Level, v.Level, v.Level, v.Sentence)
	b.next(v.Next)
	b.add(`</div>`)
	sections := []section{{ID: "answer", HTML: markup(b.String())}}
	for i, p := range v.Pipelines {
		one := pipelineView{Pipeline: p, id: fmt.Sprintf("p%d", i), several: len(v.Pipelines) > 1}
		if i < len(v.Details) {
			one.Detail = v.Details[i]
		}
		for _, part := range []struct {
			name  string
			write func(b *builder)
		}{
			{"pipeline", one.writeState}, {"map", one.writeMap}, {"charts", one.writeCharts}, {"sinks", one.writeSinks},
			{"failed", one.writeFailed}, {"letters", one.writeLetters}, {"reorgs", one.writeReorgs}, {"processes", one.writeProcesses},
			{"steer", one.writeSteer},
		} {
			if part.name == "steer" && !steers {
				continue
			}
			var b builder
			part.write(&b)
			sections = append(sections, section{ID: one.id + "-" + part.name, HTML: markup(b.String()), of: p.Name})
		}
	}
	return sections
}

// writeState writes how the pipeline is, and how far.
func (p pipelineView) writeState(b *builder) {
	b.add(`<h2>%v <span class="level %v">%v</span></h2>`, p.Name, p.Level, p.Level)
	if p.several {
		b.add(`<p>%v</p>`, p.Sentence)
		b.next(p.Next)
	}
	if len(p.Troubles) > 1 { // the first is the sentence
		b.add(`<ul class="troubles">`)
		for _, t := range p.Troubles[1:] {
			b.add(`<li><span class="level %v">%v</span> %v`, t.Level, t.Level, t.Text)
			b.next(t.Next)
			b.add("</li>\n")
		}
		b.add(`</ul>`)
	}
	if len(p.Notes) > 0 {
		b.add(`<ul class="notes">`)
		for _, n := range p.Notes {
			b.add("<li>in order: %v</li>\n", n.Text)
		}
		b.add(`</ul>`)
	}
	b.add(`<dl>`)
	for _, l := range append(p.Lines(), status.Line{Label: "as of", Value: p.At.UTC().Format("2006-01-02 15:04:05 UTC")}) {
		b.add("<div><dt>%v</dt><dd>%v</dd></div>\n", l.Label, l.Value)
	}
	b.add(`</dl>`)
}

// writeMap draws the history.
func (p pipelineView) writeMap(b *builder) {
	strips := p.strips()
	if len(strips) == 0 {
		return
	}
	b.add("<h3>Blocks</h3>\n")
	for _, s := range strips {
		b.add(`<div class="strip"><span class="name">%v</span>`+
			`<svg viewBox="0 0 %v %v" preserveAspectRatio="none" role="img" aria-label="%v: %v">`,
			s.name, s.wide, high, s.name, s.value+s.also)
		for _, path := range s.paths {
			if path.d != "" {
				b.add(`<path class="%v" d="%v"/>`, path.class, path.d)
			}
		}
		b.add("</svg><span class=\"value\">%v</span></div>\n", s.value)
	}
	b.add("<p class=\"ends\"><span>%v</span><span>%v</span></p>\n",
		progress.Grouped(uint64(p.History.Start)), progress.Grouped(uint64(p.History.End)))
	b.add(`<p class="legend"><span class="key read"></span> read <span class="key reading"></span> being read ` +
		`<span class="key held"></span> in the destination <span class="key lost"></span> failed <span class="key"></span> not yet</p>`)
}

// writeCharts writes where the script draws the charts.
func (p pipelineView) writeCharts(b *builder) {
	b.add(`<div class="charts" data-pipeline="%v"></div>`, p.Name)
}

func (p pipelineView) writeSinks(b *builder) {
	if len(p.Sinks) > 0 {
		b.table(p.id+"-sinks", "Sinks", p.SinkTable())
	}
}

func (p pipelineView) writeFailed(b *builder) {
	if len(p.Failed) == 0 {
		return
	}
	rows := [][]string{{"BLOCKS", "TRIES", "ERROR"}}
	for _, f := range p.Failed[:min(len(p.Failed), shownFailed)] {
		rows = append(rows, []string{f.Blocks.String(), strconv.Itoa(f.Attempts), f.Error})
	}
	b.table(p.id+"-failed", "Failed partitions", rows)
	b.add(`<p>%v in all. <code>ampipe failed %v</code> shows each, <code>ampipe retry %v --all</code> loads them again.</p>`,
		len(p.Failed), p.Name, p.Name)
}

func (p pipelineView) writeReorgs(b *builder) {
	if p.Live == nil || len(p.Live.Recent) == 0 {
		return
	}
	rows := [][]string{{"WHEN", "FROM BLOCK", "BLOCKS", "ROWS"}}
	for i := len(p.Live.Recent) - 1; i >= 0; i-- {
		r, removed := p.Live.Recent[i], "not known"
		if r.Rows != nil {
			removed = progress.Grouped(*r.Rows)
		}
		ago := progress.Duration(max(0, p.At.Sub(r.At)).Truncate(time.Second)) + " ago"
		rows = append(rows, []string{ago, progress.Grouped(uint64(r.From)), progress.Grouped(r.Blocks), removed})
	}
	b.table(p.id+"-reorgs", "Last reorgs", rows)
}

func (p pipelineView) writeProcesses(b *builder) {
	if len(p.Processes) > 0 {
		b.table(p.id+"-processes", "Processes", p.ProcessTable())
	}
}
