package pipeline

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/progress"
	"github.com/ampipe/ampipe/pkg/sink"
)

// Report is what Diagnose has found about pipelines and everything that they need.
type Report struct {
	Pipelines []string  `json:"pipelines"` // that were looked at
	Findings  []Finding `json:"findings"`  // the worst first
}

// byWeight lists the kinds of findings, the worst first.
var byWeight = []sink.FindingKind{KindError, KindUnavailable, sink.Safety, KindWarning, sink.Speed, sink.Unseen}

// Diagnose makes every check that [Check] makes, and looks for what keeps nothing from
// being loaded, but costs speed or safety. It changes nothing.
func Diagnose(ctx context.Context, pipelines []*config.Pipeline, o Options) (Report, error) {
	o.Out = nil
	r := Report{Findings: []Finding{}}
	for _, p := range pipelines {
		c := newCheckup(p, o)
		c.examines = true
		c.look(ctx, p, o)
		if ctx.Err() != nil {
			return Report{}, context.Cause(ctx)
		}
		r.Pipelines = append(r.Pipelines, p.Name)
		r.add(c.found)
	}
	slices.SortStableFunc(r.Findings, byKind)
	return r, nil
}

// byKind orders findings, the worst first.
func byKind(a, b Finding) int {
	return slices.Index(byWeight, a.Kind) - slices.Index(byWeight, b.Kind)
}

// add adds the findings about one more pipeline. What was found of another one as well,
// such as of a server that they share, is one.
func (r *Report) add(found []Finding) {
	for _, f := range found {
		i := slices.IndexFunc(r.Findings, func(k Finding) bool { return k.Part == f.Part && k.Finding == f.Finding })
		if i < 0 {
			r.Findings = append(r.Findings, f)
		} else {
			r.Findings[i].Pipelines = append(r.Findings[i].Pipelines, f.Pipelines...)
		}
	}
}

// examineSink asks a destination for what costs speed or safety, if it knows.
func (c *checkup) examineSink(ctx context.Context, o Options, p *config.Pipeline, s config.Sink, checked *plan.Checked) {
	w, err := newWriter(o, s)
	if err != nil {
		return // it was said
	}
	examiner, can := w.(sink.Examiner)
	if !can {
		return
	}
	table := sink.Table{Pipeline: p.Name, Sink: s.Name}
	if checked != nil {
		table = tableFor(p, s, checked)
	}
	found, err := examiner.Examine(ctx, table)
	c.refuse(partSink+s.Name, err)
	c.add(partSink+s.Name, found...)
}

// count returns how many findings are of a kind.
func (r Report) count(kind sink.FindingKind) (n int) {
	for _, f := range r.Findings {
		if f.Kind == kind {
			n++
		}
	}
	return n
}

// Err returns the error with which a command ends that has shown the report: nil if there
// is no finding but what nobody could see.
func (r Report) Err() error {
	switch {
	case r.count(KindUnavailable) > 0:
		return &ops.ExitError{Code: ops.ExitFailed, Err: ops.ErrSaid}
	case len(r.Findings) > r.count(sink.Unseen):
		return ops.Incomplete(ops.ErrSaid)
	}
	return nil
}

// sentence sums the report up.
func (r Report) sentence() string {
	unseen := r.count(sink.Unseen)
	text := "everything is as it should be"
	if all := len(r.Findings) - unseen; all > 0 {
		text = counted(all, "finding")
	}
	var parts []string
	for _, kind := range byWeight {
		if n := r.count(kind); n > 0 && kind != sink.Unseen {
			parts = append(parts, ofKind(n, kind))
		}
	}
	if len(parts) > 0 {
		text += ": " + strings.Join(parts, ", ")
	}
	if unseen > 0 {
		text += fmt.Sprintf("; %d could not be seen", unseen)
	}
	return text
}

// ofKind says how many findings there are of a kind.
func ofKind(n int, kind sink.FindingKind) string {
	switch kind {
	case KindError, KindWarning:
		return counted(n, string(kind))
	case KindUnavailable:
		return fmt.Sprintf("%d %s", n, kind)
	default:
		return fmt.Sprintf("%d about %s", n, kind)
	}
}

// reportColumns is how wide a report is where there is no terminal.
const reportColumns = 80

// Print prints the report, for people or as JSON.
func (r Report) Print(o Options) error {
	if o.JSON {
		encoder := json.NewEncoder(o.out())
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r)
	}
	say(o.out(), "%s", strings.Join(r.Text(cmp.Or(o.Columns, reportColumns)), "\n"))
	return nil
}

// widestPart bounds the column of the parts.
const widestPart = 20

// Text shows the report in lines of at most so many columns.
func (r Report) Text(wide int) []string {
	lines := progress.Wrap(r.sentence(), wide, math.MaxInt)
	part, kind := len("PART"), len("KIND")
	var groups []string // of pipelines
	for _, f := range r.Findings {
		part = max(part, min(widestPart, progress.Columns(f.Part)))
		kind = max(kind, len(f.Kind))
		group := strings.Join(f.Pipelines, ", ")
		if !slices.Contains(groups, group) {
			groups = append(groups, group)
		}
	}
	row := func(a, b string, text string) {
		head := "  " + progress.Pad(progress.Fit(a, part), part) + "  " + progress.Pad(b, kind) + "  "
		for _, line := range progress.Wrap(progress.Printable(text), max(20, wide-progress.Columns(head)), math.MaxInt) {
			lines = append(lines, strings.TrimRight(head+line, " "))
			head = strings.Repeat(" ", progress.Columns(head))
		}
	}
	for _, group := range groups {
		lines = append(lines, "")
		if len(r.Pipelines) > 1 {
			lines = append(lines, group+":")
		}
		row("PART", "KIND", "FINDING")
		for _, f := range r.Findings {
			if strings.Join(f.Pipelines, ", ") != group {
				continue
			}
			row(f.Part, string(f.Kind), f.Text)
			if f.Fix != "" {
				row("", "", "fix: "+f.Fix)
			}
		}
	}
	return lines
}
