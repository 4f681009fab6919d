package cli

import (
	"fmt"
	"strings"
)

// didYouMean returns "; did you mean X?" with the nearest of names, or "" if none
// is near.
func didYouMean(name string, names []string) string {
	if near := nearest(name, names); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}

// nearest returns the one of names that name was most likely meant to be: the first
// with the fewest edits, at most a third of its characters, or one that begins with
// name. It returns "" if there is none.
func nearest(name string, names []string) string {
	best, least := "", 0
	for _, n := range names {
		edits := distance(strings.ToLower(name), strings.ToLower(n))
		if edits > max(1, len(n)/3) {
			continue
		}
		if best == "" || edits < least {
			best, least = n, edits
		}
	}
	for _, n := range names {
		if best == "" && len(strings.TrimLeft(name, "-")) > 1 && strings.HasPrefix(n, name) {
			best = n
		}
	}
	return best
}

// distance returns the number of edits between a and b: characters that are
// inserted, deleted or replaced, and neighbours that are swapped.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	before, last := make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := range x {
		row := make([]int, len(y)+1)
		row[0] = i + 1
		for j := range y {
			replaced := last[j]
			if x[i] != y[j] {
				replaced++
			}
			row[j+1] = min(row[j]+1, last[j+1]+1, replaced)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(y)]
}
