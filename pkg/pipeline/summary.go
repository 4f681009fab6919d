package pipeline

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/plan"
	"github.com/ampipe/ampipe/pkg/progress"
	"github.com/ampipe/ampipe/pkg/state"
	"github.com/ampipe/ampipe/pkg/status"
)

// summarize prints at the end of a run what was done and what to do next. What has failed
// comes last.
func (s *stages) summarize(o Options, sinks []config.Sink, status plan.Status, took time.Duration, err error) {
	out := o.out()
	s.summarizePlan(o, status, took)
	for _, sink := range sinks {
		rows := s.meter.Rows(sink.Name)
		say(out, "  %-12s %s written, %s rows/s", sink.Name, counted(rows, "row"), progress.Count(uint64(float64(rows)/took.Seconds())))
	}
	if live := s.meter.Live(); live != "" {
		say(out, "  %-12s %s", "live", live)
	}
	say(out, "  %-12s %d, idle at most %.0f %% of the time", "workers", s.settings.workers.N(), 100*s.idle.worst())
	stops := s.meter.Stops()
	for _, part := range slices.Sorted(maps.Keys(stops)) {
		say(out, "  %-12s %s: %s", "STOPPED", part, stops[part])
	}
	sayFailed(out, status.Partitions)
	switch {
	case errors.Is(err, ops.ErrInterrupted):
		say(out, "  interrupted: what was written is kept; the same command resumes from here")
	case err == nil:
		say(out, "  next: ampipe verify %s", s.config.Name)
	}
}

// summarizePlan prints what became of the partitions, but for those that failed.
func (s *stages) summarizePlan(o Options, status plan.Status, took time.Duration) {
	out := o.out()
	parts, err := state.Separate(status.Partitions)
	if err != nil {
		s.logger.Warn().Err(err).Msg("results are shown by range")
		parts = status.Partitions
	}
	done := 0
	for _, p := range parts {
		if p.State == state.PartitionDone {
			done++
		}
	}
	say(out, "%s: blocks %v, %d of %s done, %s", s.config.Name, status.History,
		done, counted(len(parts), "partition"), progress.Duration(took))
	all := resultsOf(s.config.Name, parts)
	shown := all
	if !o.Results {
		shown = merged(all)
	}
	const most = 10
	for i, r := range shown {
		if i == most && len(shown) > most+1 && !o.Results {
			say(out, "  %-12s %d more ranges; --results shows every partition", "", len(shown)-i)
			break
		}
		if o.JSON {
			line, err := json.Marshal(r)
			if err == nil { // it has nothing that JSON has not
				say(out, "%s", line)
			}
			continue
		}
		if r.Error == "" {
			say(out, "  %-12s %v", "read", r)
		}
	}
}

// sayFailed prints what has failed and was not loaded since, each with the whole error.
func sayFailed(out io.Writer, parts []state.Partition) {
	for _, p := range status.FailedPartitions(parts) {
		say(out, "  FAILED       blocks %v: %s", p.Blocks, p.Error)
	}
}

// Result is what became of a partition of the history, or of several that lie beside each
// other.
type Result struct {
	Pipeline   string               `json:"pipeline"`
	Partition  string               `json:"partition,omitempty"` // its id; empty: several
	Start      block.Number         `json:"start"`
	End        block.Number         `json:"end"` // the first block not in it
	Partitions int                  `json:"partitions"`
	State      state.PartitionState `json:"state"` // done: its rows are in the log; or failed
	Rows       uint64               `json:"rows"`
	Seconds    float64              `json:"seconds"` // of workers; 0: unknown
	RowsPerSec float64              `json:"rows_per_second"`
	Tries      int                  `json:"tries"`           // 0: unknown
	Error      string               `json:"error,omitempty"` // why it has failed
}

// Blocks returns the blocks of the partition.
func (r Result) Blocks() block.Range { return block.Range{Start: r.Start, End: r.End} }

// resultOf returns what became of one partition.
func resultOf(pipeline string, p state.Partition) Result {
	return Result{
		Pipeline: pipeline, Partition: p.ID(), Start: p.Start, End: p.End, Partitions: 1, State: p.State,
		Rows: p.Rows, Seconds: p.Seconds, RowsPerSec: p.RowsPerSecond(), Tries: p.Attempts, Error: p.Error,
	}
}

// resultsOf returns what became of each partition that has ended, in the order of blocks.
func resultsOf(pipeline string, parts []state.Partition) []Result {
	var all []Result
	for _, p := range parts {
		if p.State == state.PartitionOpen || p.Range().Empty() {
			continue
		}
		all = append(all, resultOf(pipeline, p))
	}
	slices.SortStableFunc(all, func(a, b Result) int { return cmp.Compare(a.Start, b.Start) })
	return all
}

// merged joins results that lie beside each other and went well at the first try.
func merged(all []Result) []Result {
	var out []Result
	for _, r := range all {
		if n := len(out); n > 0 && out[n-1].End == r.Start && smooth(out[n-1]) && smooth(r) {
			last := &out[n-1]
			last.Partition = ""
			last.End, last.Partitions = r.End, last.Partitions+r.Partitions
			last.Rows, last.Seconds, last.Tries = last.Rows+r.Rows, last.Seconds+r.Seconds, max(last.Tries, r.Tries)
			last.RowsPerSec = 0
			if last.Seconds > 0 {
				last.RowsPerSec = float64(last.Rows) / last.Seconds
			}
			continue
		}
		out = append(out, r)
	}
	return out
}

func smooth(r Result) bool { return r.Error == "" && r.Tries <= 1 }

// String formats it for people.
func (r Result) String() string {
	text := fmt.Sprintf("blocks %v, %s", r.Blocks(), counted(r.Rows, "row"))
	if r.Seconds > 0 {
		text += fmt.Sprintf(", %s of work, %s rows/s a worker",
			progress.Duration(time.Duration(r.Seconds*float64(time.Second))), progress.Count(uint64(r.RowsPerSec)))
	}
	if r.Tries > 1 {
		text += fmt.Sprintf(", %d tries", r.Tries)
	}
	if r.Error != "" {
		text += ", failed: " + r.Error
	}
	return text
}
