package extract

import (
	"errors"
	"fmt"
	"testing"

	"github.com/ampipe/ampipe/pkg/amp"
	"github.com/ampipe/ampipe/pkg/block"
	"github.com/ampipe/ampipe/pkg/fault"
)

// TestBlocksThatAreNotThereYetAreExpected and asked for again, with the same words.
func TestBlocksThatAreNotThereYetAreExpected(t *testing.T) {
	wanted := block.Range{Start: 100, End: 200}
	for want, ranges := range map[string][]amp.Range{
		"blocks [100, 200): the server has no data for this query yet": nil,
		"blocks [100, 200): the server has only [0, 150) of mainnet":   {{Network: "mainnet", Numbers: block.Range{Start: 0, End: 150}}},
	} {
		err := Available(ranges, wanted, notYet)
		if err == nil || err.Error() != want || fault.Of(err) != fault.ClassLater {
			t.Fatalf("%v (%v), want %q", err, fault.Of(err), want)
		}
		if !Expected(fmt.Errorf("read partition 0.0: %w", errors.Join(err, nil))) {
			t.Errorf("%v is not expected", err)
		}
	}
	if Expected(errors.New("the stream was cut")) || Expected(nil) {
		t.Error("another reason is expected")
	}
}
