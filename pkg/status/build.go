package status

import (
	"cmp"
	"slices"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/entry"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/state"
)

// Options are what a configuration adds to the facts.
type Options struct {
	Embedded     bool                     // all stages run in one process
	Alone        bool                     // no process of the pipeline can run, as its server did not
	FullDisk     string                   // the folder of the embedded server, if its disk is full
	CommitDelays map[string]time.Duration // by sink: how long it may gather entries before it commits them
}

const (
	// reportAge is how old the report of a sink may be that runs and says nothing of its
	// processes, as earlier versions do. It reports every 15 s.
	reportAge = 45 * time.Second
	// forgetAfter is how long a process is shown that has ended or was lost, while others
	// do its work.
	forgetAfter = 10 * time.Minute
	// shownRanges is how many ranges of failed blocks are listed.
	shownRanges = 20
)

// Build returns how a pipeline is by the facts.
func Build(f Facts, o Options) Pipeline {
	p := Pipeline{
		Name: f.Name, At: f.Now, Planned: f.Spec != nil,
		Troubles: []Trouble{}, Notes: []Trouble{}, Sinks: []Sink{}, Processes: []Process{},
	}
	for _, one := range f.Processes {
		state := Running
		switch {
		case !one.Ended.IsZero():
			state = Ended
		case o.Alone || one.Lost(f.Now):
			state = Lost
		}
		p.Processes = append(p.Processes, Process{one, state})
	}
	p.forget(f.Now)
	if p.Planned {
		failed := plan.Failed(f.Parts)
		p.history(f, failed)
		p.live(f)
		p.Log = Log{
			Bytes: f.Log.Bytes, MaxBytes: f.Log.MaxBytes, Entries: f.Log.Messages, Oldest: f.Log.Oldest,
			Copies: f.Log.Copies, Away: f.Log.Away,
		}
		for _, s := range f.Sinks {
			p.Sinks = append(p.Sinks, p.sink(f, s, failed))
		}
		p.loaded(f, failed)
	}
	p.judge(f, o)
	return p
}

// forget removes processes that have been over for long, unless nothing else does their
// work.
func (p *Pipeline) forget(now time.Time) {
	all := slices.Clone(p.Processes)
	p.Processes = slices.DeleteFunc(p.Processes, func(one Process) bool {
		over := one.State != Running && now.Sub(one.Beat) > forgetAfter
		return over && !slices.ContainsFunc(one.Stages, func(stage string) bool {
			return !slices.ContainsFunc(all, func(other Process) bool {
				return other.Beat.After(one.Beat) && slices.Contains(other.Stages, stage)
			})
		})
	})
}

// history counts blocks and partitions.
func (p *Pipeline) history(f Facts, failed block.Set) {
	h := &p.History
	h.Start, h.End = f.Spec.History.Start, f.Spec.History.End
	h.Blocks = f.Spec.History.Len()
	var extracted, planned block.Set
	open := 0
	for _, part := range f.Parts {
		h.Rows += part.Rows
		planned.Add(part.Range())
		switch part.State {
		case state.PartitionDone:
			p.Partitions.Done += part.Count()
			extracted.Add(part.Range())
		case state.PartitionFailed: // counted below
		default:
			open++
		}
	}
	p.Partitions.Failed = len(FailedPartitions(f.Parts))
	p.Partitions.Queued = min(f.Tasks.Queued, open)
	p.Partitions.Running = min(f.Tasks.Held, open-p.Partitions.Queued)
	p.Partitions.Planned = open - p.Partitions.Queued - p.Partitions.Running
	h.Unplanned = missing(planned, f.Spec.History)
	h.InLog = h.Blocks - missing(extracted, f.Spec.History)
	h.Failed = failed.Len()
	h.Missing = failed.Ranges()
	h.Missing = h.Missing[:min(len(h.Missing), shownRanges)]
	for _, one := range p.Processes {
		if one.State == Running {
			h.PerSec += one.Read.PerSec
			h.Seconds = max(h.Seconds, one.Left)
		}
	}
}

func missing(have block.Set, r block.Range) (n uint64) {
	for _, gap := range have.Missing(r) {
		n += gap.Len()
	}
	return n
}

// live describes the live lane.
func (p *Pipeline) live(f Facts) {
	if f.Spec.Live == nil || !f.Spec.Follows() {
		return
	}
	l := &Live{
		Phase: string(f.Position.Phase), Epoch: f.Spec.Epoch, Start: f.Spec.Live.Start,
		Reorgs: f.Position.Reorgs, Recent: f.Position.Recent,
	}
	if l.Recent == nil {
		l.Recent = []state.Reorg{}
	}
	p.Live = l
	if f.Position.Epoch != f.Spec.Epoch || f.Spec.Live.Tentative || l.Phase == "" {
		l.Phase = "waiting"
		return
	}
	next := f.Position.Next
	tail := f.Tail.Entry
	if f.Tail.Found && f.Tail.Damaged == nil && tail.Epoch == f.Spec.Epoch {
		if tail.Closes() {
			next = max(next, tail.Range.End)
		}
		if tail.Kind == entry.Data {
			head := tail.Range.Last()
			l.Head = &head
		}
	}
	if next > l.Start {
		complete := next - 1
		l.Watermark = &complete
		if l.Head == nil || *l.Head < complete {
			l.Head = &complete
		}
	}
}

// sink describes a sink.
func (p *Pipeline) sink(f Facts, facts SinkFacts, failed block.Set) Sink {
	r := facts.Report
	s := Sink{Name: facts.Name, Reported: facts.Reported, Unread: facts.History.Unread() + facts.Live.Unread(), DeadLetters: facts.Dead}
	if !facts.History.Exists {
		s.Unread = f.Log.Messages
	}
	wanted := plan.Wanted(*f.Spec, r.Live)
	s.Wanted = wanted.Len()
	s.Covered = s.Wanted - missing(r.Coverage, wanted)
	if r.Live.Started && r.Live.Cursor.Network != "" {
		s.Position = &r.Live.Cursor.Number
	}
	if p.Live != nil && p.Live.Watermark != nil {
		first := p.Live.Start
		if r.Live.Started && r.Live.Epoch == f.Spec.Epoch && s.Position != nil {
			first = *s.Position + 1
		}
		s.LagBlocks = uint64(max(*p.Live.Watermark+1, first) - first)
	}
	if !facts.Oldest.IsZero() {
		s.LagSeconds = max(0, f.Now.Sub(facts.Oldest).Seconds())
	}
	for _, one := range p.Processes {
		for _, of := range one.Sinks {
			if one.State == Running && of.Name == s.Name {
				s.Rows += of.Rows
				s.PerSec += of.PerSec
				s.Latency = max(s.Latency, of.Latency)
			}
		}
	}
	s.State, s.Reason, s.Since = p.sinkState(f, facts, failed)
	s.ByRequest = s.State == SinkPaused && r.ByRequest && s.Reason == r.Reason
	s.Replay = p.replay(f, facts)
	s.Indexing, s.Pruned = r.Indexing, r.Pruned
	if s.Unread > p.Log.Unread && s.State != SinkStopped || p.Log.HeldBy == "" {
		p.Log.HeldBy, p.Log.Unread = s.Name, s.Unread
	}
	return s
}

// sinkState returns what a sink does, and why, if it does not do what it is to do.
func (p *Pipeline) sinkState(f Facts, facts SinkFacts, failed block.Set) (is SinkState, reason string, since time.Time) {
	r, stage := facts.Report, stageSink(facts.Name)
	runs := p.runs(stage)
	fresh := !facts.Reported.IsZero() && f.Now.Sub(facts.Reported) < reportAge
	if runs == nil && !p.knows(stage) && fresh && (r.State == state.SinkRunning || r.State == state.SinkPaused) {
		runs = &Process{} // of an earlier version
	}
	have := r.Coverage.Clone()
	have.AddAll(failed)
	everything := f.Spec.History
	if f.Spec.MaxBlock != nil {
		everything.End = max(everything.End, *f.Spec.MaxBlock)
	}
	complete := (f.Spec.MaxBlock != nil || !f.Spec.Follows()) && !facts.Reported.IsZero() && have.Covers(everything)
	if wait := p.waits(stage, "stopped"); wait != nil && runs != nil {
		return SinkStopped, wait.Reason, wait.Since
	}
	switch {
	case r.State == state.SinkFailed && (runs == nil || runs.Started.Before(r.Updated)):
		return SinkStopped, cmp.Or(r.Reason, "an error"), facts.Reported
	case complete:
		return SinkComplete, "", time.Time{}
	case runs == nil:
		last := p.last(stage)
		return SinkGone, f.epitaph(last), overSince(last)
	case facts.Reported.IsZero() || r.Updated.Before(runs.Started): // both by the clock of that machine
		if wait := p.waits(stage, ""); wait != nil {
			return SinkPaused, wait.Reason, wait.Since
		}
		return SinkStarting, "", time.Time{}
	case r.State == state.SinkPaused:
		return SinkPaused, r.Reason, p.since(stage)
	case !have.Covers(plan.Wanted(*f.Spec, r.Live)):
		return SinkLoading, "", time.Time{}
	case !f.Spec.Follows():
		return SinkComplete, "", time.Time{}
	case !r.Live.Started || f.Spec.Live.Tentative || r.Live.Epoch < f.Spec.Epoch:
		return SinkWaiting, "", time.Time{}
	default:
		return SinkLive, "", time.Time{}
	}
}

func stageSink(name string) string { return "sink " + name }

// runs returns the process that runs a stage, of several the one that began first; nil:
// none does.
func (p *Pipeline) runs(stage string) (found *Process) {
	for i, one := range p.Processes {
		if one.State == Running && slices.Contains(one.Stages, stage) && (found == nil || one.Started.Before(found.Started)) {
			found = &p.Processes[i]
		}
	}
	return found
}

// last returns the process that has run a stage last; nil: none is known.
func (p *Pipeline) last(stage string) (found *Process) {
	for i, one := range p.Processes {
		if slices.Contains(one.Stages, stage) && (found == nil || one.Beat.After(found.Beat)) {
			found = &p.Processes[i]
		}
	}
	return found
}

func (p *Pipeline) knows(stage string) bool { return p.last(stage) != nil }

// waits returns what a part waits for, by the processes that run; state limits it, unless it
// is empty.
func (p *Pipeline) waits(part, state string) *state.Wait {
	for _, one := range p.Processes {
		for i, w := range one.Waits {
			if one.State == Running && w.Part == part && (state == "" || w.State == state) {
				return &one.Waits[i]
			}
		}
	}
	return nil
}

func (p *Pipeline) since(part string) time.Time {
	if w := p.waits(part, ""); w != nil {
		return w.Since
	}
	return time.Time{}
}

// loaded computes what every sink has, and whether that is everything.
func (p *Pipeline) loaded(f Facts, failed block.Set) {
	loaded, counted := p.History.Blocks, false
	p.Complete = len(p.Sinks) > 0 && p.Partitions.Planned+p.Partitions.Queued+p.Partitions.Running == 0
	for i, s := range p.Sinks {
		p.Complete = p.Complete && s.State == SinkComplete && s.Indexing == nil
		if s.State == SinkStopped {
			continue
		}
		counted = true
		lacks := missing(f.Sinks[i].Report.Coverage, f.Spec.History.Intersect(plan.Wanted(*f.Spec, f.Sinks[i].Report.Live)))
		loaded = min(loaded, p.History.Blocks-lacks)
	}
	if counted {
		p.History.Loaded = loaded
	}
	if f.Spec.Follows() && f.Spec.MaxBlock == nil {
		p.Complete = false
	}
}
