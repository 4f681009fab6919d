package progress_test

import (
	"strings"
	"testing"

	"github.com/ampipe/ampipe/pkg/progress"
)

// TestATableFits the terminal, however long its cells are: what is widest is cut, also where
// a wider column cannot be cut any more.
func TestATableFits(t *testing.T) {
	rows := [][]string{{"A", "A LONG HEADING", "C"}, {strings.Repeat("a", 12), "b", strings.Repeat("c", 13)}, {"a", "b", "c"}}
	for wide := 40; wide > 2; wide-- {
		for _, line := range progress.Table(rows, wide) {
			if progress.Columns(line) > wide {
				t.Errorf("of %d columns: %q", wide, line)
			}
		}
	}
	want := "A         A LONG HEADING  C\naaaaaaa…  b               ccccccc…\na         b               c"
	if got := strings.Join(progress.Table(rows, 34), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestCounted(t *testing.T) {
	for _, c := range []struct {
		n          uint64
		what, want string
	}{{1, "row", "1 row"}, {0, "row", "0 rows"}, {2, "entry", "2 entries"}, {1200, "dead letter", "1,200 dead letters"}, {3, "key", "3 keys"}} {
		if got := progress.Counted(c.n, c.what); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
