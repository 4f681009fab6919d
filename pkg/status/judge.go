package status

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ampipe/ampipe/pkg/health"
	"github.com/ampipe/ampipe/pkg/progress"
	"github.com/ampipe/ampipe/pkg/state"
)

// lagPatience is how far behind a live sink may be before that is a trouble, beside the
// time that it may gather entries.
const lagPatience = time.Minute

// judge finds what is not as it is to be, and puts how the pipeline is into a sentence.
func (p *Pipeline) judge(f Facts, o Options) {
	p.judgeDisk(o) // first: nothing else that was written is of now
	p.judgeStreams(f)
	p.judgeSinks(f, o) // then: why a sink has stopped is why a process has ended
	p.judgeStages(f, o)
	p.judgeLane(f, o)
	p.judgeServers(f)
	p.judgeHistory()
	p.judgeReplays(o)
	p.judgeIndexes()
	p.judgeWaits()
	p.judgeLost(f)
	slices.SortStableFunc(p.Troubles, func(a, b Trouble) int {
		return cmp.Compare(slices.Index(worstFirst, a.Level), slices.Index(worstFirst, b.Level))
	})
	p.Level = Healthy
	if len(p.Troubles) == 0 {
		p.Sentence, p.Next = p.calm(o)
		return
	}
	first := p.Troubles[0]
	p.Level, p.Sentence, p.Next = first.Level, first.Text, first.Next
	if more := len(p.Troubles) - 1; more > 0 {
		p.Sentence += fmt.Sprintf(" (and %d more)", more)
	}
}

var worstFirst = []Level{Failed, Degraded, Healthy}

func (p *Pipeline) trouble(level Level, part, next string, since time.Time, format string, values ...any) {
	p.Troubles = append(p.Troubles, Trouble{Level: level, Part: part, Text: fmt.Sprintf(format, values...), Next: next, Since: since})
}

// note adds what is going on and in order.
func (p *Pipeline) note(part string, since time.Time, format string, values ...any) {
	p.Notes = append(p.Notes, Trouble{Level: Healthy, Part: part, Text: fmt.Sprintf(format, values...), Since: since})
}

// judgeStreams finds what somebody has deleted in NATS.
func (p *Pipeline) judgeStreams(f Facts) {
	if p.Complete {
		return // it needs them no more
	}
	for _, gone := range f.Gone {
		const next = "the planner makes it anew by what the destinations hold; start it if it does not run"
		p.trouble(Degraded, "NATS", next, time.Time{}, "%v", gone)
	}
}

// judgeStages finds planners and extractors that are lacking.
func (p *Pipeline) judgeStages(f Facts, o Options) {
	if p.Complete || slices.Contains(f.Gone, GoneState) { // processes are told in the state
		return
	}
	if len(p.Processes) == 0 && len(p.Sinks) == 0 {
		p.trouble(Failed, "pipeline", p.startAdvice(o, "planner", ""), time.Time{}, "nothing was started yet")
		return
	}
	if p.nothingRuns(f) {
		last := p.newest()
		p.trouble(Failed, "pipeline", p.startAdvice(o, "planner", errorOf(last)), overSince(last), "nothing runs: %s", f.epitaph(last))
		return
	}
	for _, stage := range []string{"planner", "extractor"} {
		if !p.knows(stage) || p.runs(stage) != nil {
			continue // of an earlier version, or as it should be
		}
		last := p.last(stage)
		p.trouble(Failed, stage, p.startAdvice(o, stage, errorOf(last)), overSince(last), "no %s runs: %s", stage, f.epitaph(last))
	}
	if !p.knows("extractor") && p.knows("planner") && p.Planned {
		p.trouble(Failed, "extractor", p.startAdvice(o, "extractor", ""), time.Time{}, "no extractor was started yet")
	}
}

// nothingRuns reports whether no process of the pipeline runs, as far as is known.
func (p *Pipeline) nothingRuns(f Facts) bool {
	for _, one := range p.Processes {
		if one.State == Running {
			return false
		}
	}
	return !slices.ContainsFunc(f.Sinks, func(s SinkFacts) bool { // of earlier versions
		stops := s.Report.State == state.SinkStopped || s.Report.State == state.SinkFailed
		return !stops && !s.Reported.IsZero() && f.Now.Sub(s.Reported) < reportAge && !p.knows(stageSink(s.Name))
	})
}

// newest returns the process that was heard of last.
func (p *Pipeline) newest() (last *Process) {
	for i, one := range p.Processes {
		if last == nil || one.Beat.After(last.Beat) {
			last = &p.Processes[i]
		}
	}
	return last
}

// epitaph says what became of a process.
func (f Facts) epitaph(p *Process) string {
	if p == nil {
		return "it was not started yet"
	}
	ago := progress.Duration(f.Now.Sub(p.Beat))
	who := p.String()
	switch {
	case p.State == Lost:
		return fmt.Sprintf("%s was lost %s ago, without a word", who, ago)
	case p.Error != "":
		return fmt.Sprintf("%s has ended %s ago: %s", who, ago, p.Error)
	case p.Done:
		return fmt.Sprintf("%s was done %s ago", who, ago)
	default:
		return fmt.Sprintf("%s was stopped %s ago", who, ago)
	}
}

func overSince(p *Process) time.Time {
	if p == nil {
		return time.Time{}
	}
	return p.Beat
}

// startAdvice returns what starts a stage again, once a cause is mended if there is one.
func (p *Pipeline) startAdvice(o Options, stage, cause string) string {
	last := p.last(stage)
	again := ""
	if last != nil {
		again = " again"
	}
	if cause != "" {
		again += ", when the cause is mended"
	}
	name, isSink := strings.CutPrefix(stage, "sink ")
	switch {
	case o.Embedded || (last != nil && last.Role == "run"):
		return "start ampipe run" + again
	case isSink:
		return "start the process of sink " + name + again
	default:
		return "start the " + stage + again
	}
}

func errorOf(p *Process) string {
	if p == nil {
		return ""
	}
	return p.Error
}

// judgeSinks finds sinks that do not do what they are to do.
func (p *Pipeline) judgeSinks(f Facts, o Options) {
	nothing := p.nothingRuns(f)
	for _, s := range p.Sinks {
		stage := stageSink(s.Name)
		switch s.State {
		case SinkStopped:
			next := "mend the cause, then stop ampipe run and start it again"
			if runs := p.runs(stage); runs == nil {
				next = p.startAdvice(o, stage, s.Reason)
			} else if runs.Role != "run" {
				next = "mend the cause, then start its process again"
			}
			p.trouble(Failed, stage, next, s.Since, "%s is stopped: %s", s.Name, s.Reason)
		case SinkGone:
			if !nothing {
				p.trouble(Failed, stage, p.startAdvice(o, stage, errorOf(p.last(stage))), s.Since, "%s does not run: %s", s.Name, s.Reason)
			}
		case SinkPaused:
			if s.ByRequest {
				p.trouble(Degraded, stage, "ampipe resume "+s.Name, s.Since, "%s is %s", s.Name, s.Reason)
				continue
			}
			p.trouble(Degraded, stage, retried, s.Since, "%s is paused: %s", s.Name, s.Reason)
		case SinkLive:
			lag := time.Duration(s.LagSeconds * float64(time.Second))
			if lag > lagPatience+o.CommitDelays[s.Name] && !nothing {
				p.trouble(Degraded, stage, "it catches up unless its destination is slower than the chain: see rows/s", time.Time{},
					"%s is %s and %s behind", s.Name, progress.Duration(lag), progress.Counted(s.LagBlocks, "block"))
			}
		}
		if s.DeadLetters > 0 {
			p.trouble(Degraded, "dead letters of "+s.Name, "`ampipe dlq list` shows why", time.Time{},
				"%s has put %s aside", s.Name, progress.Counted(s.DeadLetters, "row"))
		}
	}
}

// retried is the advice for what continues by itself.
const retried = "it is tried again until it works; docs/troubleshooting.md has more about the message"

// judgeIndexes says how far the indexes of destinations are, and finds those that cannot be
// built.
func (p *Pipeline) judgeIndexes() {
	for _, s := range p.Sinks {
		part := "indexes of sink " + s.Name
		switch {
		case s.Indexing == nil:
		case s.Indexing.Error != "":
			p.trouble(Degraded, part, retried, time.Time{}, "indexes of %s could not be built: %s", s.Name, s.Indexing.Error)
		default:
			p.note(part, time.Time{}, "%s: %s", s.Name, s.Indexing.Progress)
		}
	}
}

// judgeLane finds a live lane that nobody can continue.
func (p *Pipeline) judgeLane(f Facts, o Options) {
	switch {
	case p.Live == nil:
	case p.Live.Phase == string(state.LiveFailed):
		p.trouble(Failed, "live", p.startAdvice(o, "planner", f.Position.Error), f.Position.Updated,
			"the chain cannot be followed: %s", f.Position.Error)
	case p.Live.Phase == string(state.LiveLost):
		p.trouble(Degraded, "live", "the planner begins the live lane again", f.Position.Updated, "the log has lost the end of the live lane")
	}
}

// judgeDisk finds that nothing can be stored any more, not even why a process has ended.
func (p *Pipeline) judgeDisk(o Options) {
	if o.FullDisk != "" {
		p.trouble(Failed, "NATS", "make room there; then start ampipe run again, if it has ended", time.Time{}, "%s", DiskFull(o.FullDisk))
	}
}

// DiskFull says that the disk of the folder of an embedded server is full.
func DiskFull(folder string) string { return fmt.Sprintf("the disk of folder %s is full", folder) }

// judgeServers finds servers of the NATS cluster that are away, while the others do their
// work.
func (p *Pipeline) judgeServers(f Facts) {
	away := len(f.Log.Away)
	if away == 0 {
		return
	}
	p.trouble(Degraded, "NATS", "start it again, or mend its connection to the others", time.Time{},
		"%s cannot be reached by the other NATS servers: the log has %d of %s", strings.Join(f.Log.Away, ", "),
		max(0, f.Log.Copies-away), progress.Counted(uint64(f.Log.Copies), "copy"))
}

// judgeHistory finds blocks that could not be read.
func (p *Pipeline) judgeHistory() {
	if n := p.History.Failed; n > 0 {
		p.trouble(Degraded, "history", "`ampipe failed` shows why; `ampipe retry --all` loads them again", time.Time{},
			"%s of %s could not be read", progress.Counted(n, "block"), progress.Counted(uint64(p.Partitions.Failed), "partition"))
	}
}

// judgeWaits takes over what the processes that run wait for.
func (p *Pipeline) judgeWaits() {
	said := map[string]bool{}
	for _, t := range p.Troubles {
		said[t.Part] = true
	}
	for _, one := range p.Processes {
		if one.State != Running {
			continue
		}
		for _, w := range one.Waits {
			sink := strings.TrimPrefix(w.Part, "live lane of ")
			if said[w.Part] || said[sink] || w.Part == "history" { // a planner and a sink may say the same
				continue
			}
			said[w.Part] = true
			t := Trouble{Level: Degraded, Part: w.Part, Text: w.Part + " waits: " + w.Reason, Next: retried, Since: w.Since}
			switch health.State(w.State) {
			case health.StateExpected, health.StateBackPressure:
				t.Level, t.Next = Healthy, ""
				p.Notes = append(p.Notes, t)
				continue
			case health.StateHung:
				t.Level, t.Text, t.Next = Failed, w.Part+" hangs: "+w.Reason, "restart "+one.Command()+" on "+one.Host
			case health.StateStopped:
				t.Level, t.Text, t.Next = Failed, w.Part+" is stopped: "+w.Reason, "mend the cause and start it again"
			}
			p.Troubles = append(p.Troubles, t)
		}
	}
}

// judgeLost finds processes that have died without a word, whose work others do, and in
// whose place none was started since.
func (p *Pipeline) judgeLost(f Facts) {
	successors := map[int]bool{}
	for i, one := range p.Processes {
		covered := !slices.ContainsFunc(one.Stages, func(stage string) bool { return p.runs(stage) == nil })
		if one.State != Lost || !covered || f.Now.Sub(one.Beat) > forgetAfter {
			continue
		}
		successor := -1
		for k, other := range p.Processes {
			if other.State == Running && other.Role == one.Role && other.Started.After(one.Beat) && !successors[k] {
				successor = k
			}
		}
		if successor >= 0 {
			successors[successor] = true
			continue
		}
		p.trouble(Degraded, "process", "others do its work; start it again if it is to run", one.Beat, "%s", f.epitaph(&p.Processes[i]))
	}
}
