package extract_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
	"github.com/ampipe/ampipe/pkg/state"
)

// TestEachResultIsLogged: a partition that ends is a line of the log, which has what the
// observer is told.
func TestEachResultIsLogged(t *testing.T) {
	t.Parallel()
	b := setup(t, newChain(t, 60, someRows))
	bad := block.Closed(31, 31)
	b.chain.before = func(r block.Range) error {
		if r.Has(bad.Start) {
			return fault.Permanent(errors.New("the text is not UTF-8"))
		}
		return nil
	}
	var log lines
	b.x.Logger, b.x.Workers = zerolog.New(&log), 1
	b.add(block.Range{Start: 0, End: 10}, block.Range{Start: 10, End: 60})
	parts := b.run(block.Range{End: 60})

	type line struct {
		Level, Message, Partition, Range, Error string
		Rows                                    uint64
		Seconds, Rate                           float64
		Tries                                   int
	}
	var got []line
	for text := range strings.Lines(strings.ReplaceAll(log.text.String(), "rows_per_second", "rate")) {
		var one line
		err := json.Unmarshal([]byte(text), &one)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(one.Message, "partition ") {
			got = append(got, one)
		}
	}
	if len(got) != len(parts) {
		t.Fatalf("%d lines for %d results:\n%s", len(got), len(parts), log.text.String())
	}
	for i, p := range parts {
		want := line{Level: "info", Message: "partition done"}
		if p.State == state.PartitionFailed {
			want = line{Level: "error", Message: "partition failed", Error: "the text is not UTF-8"}
			if p.Range() != bad {
				t.Errorf("blocks %v have failed", p.Range())
			}
		}
		want.Partition, want.Range, want.Rows, want.Tries = p.ID(), p.Range().String(), p.Rows, 1
		want.Seconds, want.Rate = got[i].Seconds, got[i].Rate // of how fast it was
		if got[i] != want || p.Attempts != 1 || p.Error != want.Error {
			t.Errorf("the line is %+v, want %+v, of %+v", got[i], want, p)
		}
		if p.State == state.PartitionDone && (p.Seconds <= 0 || (p.Rows > 0) != (got[i].Rate > 0)) {
			t.Errorf("the line is %+v, of %+v", got[i], p)
		}
	}
}
