package plan

import (
	"slices"
	"testing"
)

func TestPace(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pace pace
		want []int // rounds
	}{
		"from the first round on": {pace{every: 4}, []int{1, 5, 9}},
		"not in the first round":  {pace{every: 4, left: 4}, []int{4, 8}},
		"in every round":          {pace{every: 1}, []int{1, 2, 3, 4, 5, 6, 7, 8, 9}},
	} {
		var due []int
		for round := 1; round < 10; round++ {
			if c.pace.due() {
				due = append(due, round)
			}
		}
		if !slices.Equal(due, c.want) {
			t.Errorf("%s: it is due in rounds %v, want %v", name, due, c.want)
		}
	}
}
