package pipeline

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/config"
	"github.com/ampipe/ampipe/pkg/ops"
	"github.com/ampipe/ampipe/pkg/queue"
	"github.com/ampipe/ampipe/pkg/status"
)

// deadReplay is what is replayed of the dead letters of a sink.
type deadReplay struct {
	Pipeline string        `json:"pipeline"`
	Sink     string        `json:"sink"`
	Rows     int           `json:"rows"`           // of the blocks that are replayed
	Blocks   []block.Range `json:"blocks"`         // that are replayed
	Left     []block.Range `json:"left,omitempty"` // that have letters and are not replayed now
	DryRun   bool          `json:"dry_run"`
}

// ReplayDeadLetters has the blocks of dead letters removed from their destinations and loaded
// again, as [Replay] does: rows that are accepted now are there, and their letters are
// removed; rows that are refused again stay letters. Blocks that a reorg may still reach
// are left out; then the error is [ops.Incomplete]. The sinks and ranges are those of the
// letters, not of the options.
func ReplayDeadLetters(ctx context.Context, p *config.Pipeline, o Options, of Letters, as ReplayOptions) error {
	type found struct {
		rows   map[block.Number]int
		blocks block.Set
	}
	letters := map[string]*found{}
	err := eachDeadLetter(ctx, p, o, of, func(sink string, l queue.StoredLetter) error {
		f := letters[sink]
		if f == nil {
			f = &found{rows: map[block.Number]int{}}
			letters[sink] = f
		}
		f.rows[l.Block]++
		f.blocks.Add(block.Closed(l.Block, l.Block))
		return nil
	})
	if err != nil {
		return err
	}
	if len(letters) == 0 {
		if !o.JSON {
			say(o.out(), "%s: no dead letters", p.Name)
		}
		return nil
	}
	var facts status.Facts
	err = readFacts(ctx, p, asOperator, o.Logger, func(_ context.Context, _ *natsConn, f status.Facts) error {
		facts = f
		return nil
	})
	if err != nil {
		return err
	}
	text := o
	if o.JSON {
		text.Out = io.Discard
	}
	var left error
	for _, name := range sinkNames(p) {
		f := letters[name]
		if f == nil {
			continue
		}
		ready, later := replayable(p, facts, name, f.blocks)
		ready = fewer(ready, replayedRanges)
		one := deadReplay{Pipeline: p.Name, Sink: name, Blocks: ready.Ranges(), Left: later.Ranges(), DryRun: as.DryRun}
		for n, rows := range f.rows {
			if ready.Has(n) {
				one.Rows += rows
			}
		}
		if later.Len() > 0 {
			left = ops.Incomplete(ops.ErrSaid)
			say(text.out(), "%s: sink %s: blocks %v have dead letters, and are not replayed yet: "+
				"a reorg may still replace them, or the sink has not said yet that it holds them; ask again later", p.Name, name, later)
		}
		if len(one.Blocks) > 0 {
			say(text.out(), "%s: sink %s has %s in these blocks", p.Name, name, counted(one.Rows, "dead letter"))
			as.Sink, as.Ranges = name, nil
			for _, r := range one.Blocks {
				as.Ranges = append(as.Ranges, fmt.Sprintf("%d:%d", r.Start, r.End))
			}
			err := Replay(ctx, p, text, as)
			if err != nil {
				return err
			}
		}
		if o.JSON {
			one.Blocks = slices.Concat([]block.Range{}, one.Blocks) // a list, also if it is empty
			err := json.NewEncoder(o.out()).Encode(one)
			if err != nil {
				return err
			}
		}
	}
	return left
}

// replayable divides blocks into those that can be replayed now and those that cannot yet.
func replayable(p *config.Pipeline, f status.Facts, name string, blocks block.Set) (ready, later block.Set) {
	at := slices.IndexFunc(f.Sinks, func(s status.SinkFacts) bool { return s.Name == name })
	if at < 0 || f.Spec == nil || f.Sinks[at].Reported.IsZero() {
		return block.Set{}, blocks
	}
	report := f.Sinks[at].Report
	final := block.NewSet(block.Range{End: finalBlock(p, f.Spec.Network, report.Live)})
	later = blocks.Clone()
	later.Remove(block.Range{End: report.Pruned}) // they do not come any more
	ready = later.Intersect(final).Intersect(report.Coverage)
	for _, r := range ready.Ranges() {
		later.Remove(r)
	}
	return ready, later
}

// replayedRanges is how many ranges a request of dead letters has: it is a message of NATS,
// and each is removed by a transaction.
const replayedRanges = 1000

// fewer closes the smallest gaps of a set until it has no more than limit ranges.
func fewer(s block.Set, limit int) block.Set {
	ranges := s.Ranges()
	if len(ranges) <= limit {
		return s
	}
	gaps := make([]block.Range, 0, len(ranges)-1)
	for i := 1; i < len(ranges); i++ {
		gaps = append(gaps, block.Range{Start: ranges[i-1].End, End: ranges[i].Start})
	}
	slices.SortStableFunc(gaps, func(a, b block.Range) int { return cmp.Compare(a.Len(), b.Len()) })
	closed := s.Clone()
	for _, gap := range gaps[:len(ranges)-limit] {
		closed.Add(gap)
	}
	return closed
}
