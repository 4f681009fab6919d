package status_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/state"
	"github.com/ampipe/ampipe/pkg/status"
)

// TestPiecesCountEveryBlock compares the pieces with a count of single blocks, for histories
// whose partitions were split, have failed and came again.
func TestPiecesCountEveryBlock(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		start := block.Number(random.Uint64N(50))
		history := block.Range{Start: start, End: start + block.Number(random.Uint64N(300))}
		f := status.Facts{Name: "p", Spec: &state.Spec{History: history, Sinks: []string{"a", "b"}}}
		pick := func() block.Range {
			from := history.Start + block.Number(random.Uint64N(history.Len()+1))
			return block.Range{Start: from, End: min(from+block.Number(random.Uint64N(80)), history.End)}
		}
		kinds := []state.PartitionState{state.PartitionOpen, state.PartitionDone, state.PartitionFailed}
		is := map[block.Number]state.PartitionState{}
		for range random.IntN(40) {
			p := state.Partition{State: kinds[random.IntN(3)]}
			r := pick()
			p.Start, p.End = r.Start, r.End
			f.Parts = append(f.Parts, p)
			for n := r.Start; n < r.End; n++ {
				is[n] = p.State
			}
		}
		for range f.Spec.Sinks {
			held := block.NewSet(pick(), pick(), block.Range{Start: history.End, End: history.End + 9}) // live blocks, too
			f.Sinks = append(f.Sinks, status.SinkFacts{Report: state.SinkReport{Coverage: held}})
		}
		now := time.Now()
		dead := now.Add(-time.Hour) // what it has said last is long not so
		f.Now = now
		f.Processes = []state.Process{
			{Beat: now, Reading: []block.Range{pick(), pick()}}, {Beat: now, Reading: []block.Range{pick()}}, {Beat: dead, Reading: []block.Range{pick()}},
		}
		reading := block.NewSet(append(f.Processes[0].Reading, f.Processes[1].Reading...)...)
		most := 1 + random.IntN(40)
		d := status.NewDetail(f, most)
		if len(d.Pieces) != int(min(uint64(most), history.Len())) {
			t.Fatalf("seed %d: %d pieces of %d blocks, want at most %d", seed, len(d.Pieces), history.Len(), most)
		}
		next := history.Start
		for _, piece := range d.Pieces {
			if piece.Range.Start != next || piece.Range.Empty() {
				t.Fatalf("seed %d: a piece is %v, want it to begin at %d", seed, piece.Range, next)
			}
			next = piece.Range.End
			want := status.Piece{Range: piece.Range, Sinks: make([]uint64, 2)}
			for n := piece.Range.Start; n < piece.Range.End; n++ {
				switch is[n] {
				case state.PartitionOpen:
					if reading.Has(n) {
						want.Reading++
					}
				case state.PartitionDone:
					want.InLog++
				case state.PartitionFailed:
					want.Failed++
				}
				for i, s := range f.Sinks {
					if s.Report.Coverage.Has(n) {
						want.Sinks[i]++
					}
				}
			}
			if piece.InLog != want.InLog || piece.Reading != want.Reading || piece.Failed != want.Failed || !slices.Equal(piece.Sinks, want.Sinks) {
				t.Fatalf("seed %d: a piece is %+v, want %+v", seed, piece, want)
			}
		}
		if next != history.End {
			t.Fatalf("seed %d: the pieces end at %d, want %d", seed, next, history.End)
		}
	}
}

// TestPiecesOfEverything has a history of as many blocks as there can be.
func TestPiecesOfEverything(t *testing.T) {
	t.Parallel()
	all := block.Range{End: block.Max}
	f := status.Facts{Spec: &state.Spec{History: all}, Parts: []state.Partition{{End: all.End, State: state.PartitionDone}}}
	pieces := status.NewDetail(f, 7).Pieces
	var read uint64
	for _, p := range pieces {
		read += p.InLog
	}
	if len(pieces) != 7 || pieces[6].Range.End != all.End || read != all.Len() {
		t.Errorf("%+v", pieces)
	}
	if d := status.NewDetail(status.Facts{}, 7); d.Pieces != nil || d.Failed != nil {
		t.Errorf("of what was never planned: %+v", d)
	}
}

// TestLinesAreThoseOfTheText: the page and the terminal say the same.
func TestLinesAreThoseOfTheText(t *testing.T) {
	t.Parallel()
	o := status.Summarize([]status.Pipeline{status.Build(live(), status.Options{})})
	text := strings.Join(o.Text(200), "\n")
	p := o.Pipelines[0]
	for _, l := range p.Lines() {
		if !strings.Contains(text, l.Label) || !strings.Contains(text, l.Value) {
			t.Errorf("%+v is not in\n%s", l, text)
		}
	}
	for _, table := range [][][]string{p.SinkTable(), p.ProcessTable()} {
		for _, cell := range slices.Concat(table...) {
			if !strings.Contains(text, cell) {
				t.Errorf("%q is not in\n%s", cell, text)
			}
		}
	}
	if len(p.Lines()) != 5 || len(p.SinkTable()) != 3 || len(p.ProcessTable()) != 2 {
		t.Errorf("%d facts, %d and %d rows", len(p.Lines()), len(p.SinkTable()), len(p.ProcessTable()))
	}
	if lines := status.Unseen("p", errors.New("no")).Lines(); lines != nil {
		t.Errorf("of a pipeline that cannot be seen: %v", lines)
	}
}
