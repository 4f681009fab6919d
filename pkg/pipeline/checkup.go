package pipeline

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/sink"
)

// The kinds of findings that [Check] makes, beside those of an [sink.Examiner].
const (
	KindError       sink.FindingKind = "error"       // run refuses it, or stops at it
	KindUnavailable sink.FindingKind = "unavailable" // run waits for it; what lies behind it was not looked at
	KindWarning     sink.FindingKind = "warning"     // mostly run says it, too, and runs
)

// Finding is something about a pipeline, or about what it needs, that a person has to
// change or may want to.
type Finding struct {
	Pipelines []string `json:"pipelines"` // of the configuration, that it concerns
	Part      string   `json:"part"`      // what it is about: Amp, NATS, disk, machine, or "sink" and its name
	sink.Finding
}

// The parts of findings, beside [partAmp] and [partNATS].
const (
	partMachine = "machine"
	partDisk    = "disk"
	partSink    = "sink " // and its name
)

// checkup is one look at everything that a pipeline needs. What it is told is printed, and
// kept.
type checkup struct {
	pipeline string
	out      io.Writer
	examines bool   // it looks for what costs speed or safety, too
	monitor  string // see [Options.Monitor]

	found   []Finding
	refused []error // of them, those that run refuses or waits for
}

func newCheckup(p *config.Pipeline, o Options) *checkup {
	return &checkup{pipeline: p.Name, out: o.out(), monitor: o.Monitor}
}

// say prints a line that is no finding.
func (c *checkup) say(format string, args ...any) { say(c.out, format, args...) }

// add keeps findings, each once.
func (c *checkup) add(part string, all ...sink.Finding) {
	for _, f := range all {
		known := slices.ContainsFunc(c.found, func(k Finding) bool { return k.Part == part && k.Finding == f })
		if !known {
			c.found = append(c.found, Finding{Pipelines: []string{c.pipeline}, Part: part, Finding: f})
		}
	}
}

// warn prints and keeps what keeps nothing from being loaded.
func (c *checkup) warn(part, text string) {
	name, ofSink := strings.CutPrefix(part, partSink)
	if ofSink {
		c.say("warning   %s: %s", name, text)
	} else {
		c.say("warning   %s", text)
	}
	c.add(part, sink.Finding{Kind: KindWarning, Text: text})
}

// refuse keeps an error, or each of those that were joined into it; nil is none. It is
// printed when the command ends.
func (c *checkup) refuse(part string, err error) {
	for _, one := range ops.Split(err) {
		c.refused = append(c.refused, one)
		kind := KindUnavailable
		if fault.Of(one) == fault.ClassPermanent || ops.ExitCode(one) == ops.ExitConfig {
			kind = KindError
		}
		text := one.Error()
		if name, ofSink := strings.CutPrefix(part, partSink); ofSink {
			text = strings.TrimPrefix(text, fmt.Sprintf("sink %q: ", name)) // the part says it
		}
		c.add(part, sink.Finding{Kind: kind, Text: text})
	}
}
