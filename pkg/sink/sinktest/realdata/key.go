package realdata

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
)

// Key finds the names of few integer columns that tell rows apart, beginning with the
// block.
func (r Table) Key(t testing.TB) []string {
	t.Helper()
	var ints []int
	for i, f := range r.Table.Schema.Fields() {
		if arrow.IsInteger(f.Type.ID()) && i != r.Table.BlockColumn {
			ints = append(ints, i)
		}
	}
	for size := range 4 {
		var try func(from int, chosen []int) []int
		try = func(from int, chosen []int) []int {
			if len(chosen) == size+1 {
				if r.unique(chosen) {
					return chosen
				}
				return nil
			}
			for i := from; i < len(ints); i++ {
				if found := try(i+1, append(slices.Clone(chosen), ints[i])); found != nil {
					return found
				}
			}
			return nil
		}
		if found := try(0, []int{r.Table.BlockColumn}); found != nil {
			var names []string
			for _, i := range found {
				names = append(names, r.Table.Schema.Field(i).Name)
			}
			return names
		}
	}
	t.Fatal("no few integer columns tell the rows apart")
	return nil
}

func (r Table) unique(columns []int) bool {
	seen := make(map[string]bool)
	for _, rec := range r.Rows {
		for row := range int(rec.NumRows()) {
			var key strings.Builder
			for _, c := range columns {
				if rec.Column(c).IsNull(row) {
					return false
				}
				fmt.Fprintf(&key, "%s ", rec.Column(c).ValueStr(row))
			}
			if seen[key.String()] {
				return false
			}
			seen[key.String()] = true
		}
	}
	return true
}
