package arrowfmt_test

import (
	"math"
	"testing"

	"github.com/ampipe/ampipe/pkg/arrowfmt"
)

func TestAppendSeconds(t *testing.T) {
	t.Parallel()
	for want, c := range map[string][2]int64{
		"0S": {0, 1000}, "1S": {1000, 1000}, "-1.5S": {-1500, 1000}, "0.001S": {1, 1000},
		"-9223372036.854775808S": {math.MinInt64, 1e9}, "7S": {7, 1},
	} {
		if got := string(arrowfmt.AppendSeconds(nil, c[0], c[1])); got != want {
			t.Errorf("%d of %d: %s, want %s", c[0], c[1], got, want)
		}
	}
}
